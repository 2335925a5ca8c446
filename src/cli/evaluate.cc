// SPDX-License-Identifier: Apache-2.0
// fastvlm evaluate: how good captions are, in the numbers that papers print and in whether they are
// true.
#include <algorithm>
#include <memory>
#include <set>

#include "cli/answer_flags.h"
#include "cli/caption_set.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/outputs.h"
#include "evaluate/document_frequency_file.h"
#include "evaluate/evaluation.h"
#include "evaluate/evaluation_json.h"
#include "evaluate/evaluation_table.h"
#include "evaluate/report.h"
#include "formats/atomic_file.h"

namespace fastvlm::cli {
namespace {

struct EvaluateCommand {
  std::string predictions;
  std::vector<std::string> compare;
  std::string data;
  std::string references;
  std::string instances;
  std::string tags;
  std::string factors;
  std::string metrics = "all";
  std::string meteor_modules = "exact,stem,synonym";
  std::string paraphrases;
  std::string wordnet{kWordnetFolder};
  std::string frequencies;
  std::string save_frequencies;
  std::string per_image;
  std::string report;
  std::string pictures;
  PairingOptions pairing;
  bool tokenized = false;
  int resamples = 1000;
  uint64_t seed = 0;
  bool json = false;
  // With --data.
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;
  CaptionRequest request;
  AnswerFlags answer;
  std::string predictions_out;
  size_t limit = 0;  // 0: all

  Exit run();

 private:
  Result<MeteorModules> load_modules() const;
  Result<Evaluation> evaluate(const std::string& file, const CaptionFile& reference_file,
                              const EvaluationOptions& options) const;
  Result<Evaluation> evaluate_model(const CaptionFile& reference_file,
                                    const EvaluationOptions& options);
  Result<Evaluation> finish(const std::string& name, EvaluationSet set,
                            const EvaluationOptions& options) const;
  Status attach_tags(EvaluationSet& set) const;
  std::filesystem::path picture_folder() const;
  Status write_files(const Evaluation& evaluation) const;
  Status run_one(const CaptionFile& reference_file, const EvaluationOptions& options);
  Status run_two(const CaptionFile& reference_file, EvaluationOptions options) const;
  Status check_use() const;
  Status run_all();

  size_t failed_ = 0;  // pictures that could not be captioned
};

// A mistyped id would otherwise go unseen.
void warn_of_unused_factors(const Factors& factors, EvaluationSet& set) {
  std::set<std::string> unused;
  for (const auto& entry : factors) unused.insert(entry.first);
  for (const EvaluatedImage& image : set.images) unused.erase(image.id);
  if (unused.empty()) return;
  set.warnings.push_back(cat(unused.size(), unused.size() == 1 ? " image" : " images",
                             " of --factors not scored: ", listed({unused.begin(), unused.end()})));
}

Result<MeteorModules> EvaluateCommand::load_modules() const {
  MeteorModules modules;
  modules.stem = false;
  bool synonym = false;
  for (const std::string& part : split(meteor_modules, ',')) {
    const std::string name(trimmed(part));
    if (name == "stem") {
      modules.stem = true;
    } else if (name == "synonym") {
      synonym = true;
    } else if (name != "exact") {
      return error(Code::kUsage, cat("--meteor-modules: unknown module ", name),
                   "choose among exact, stem, synonym; --meteor-paraphrases adds the fourth");
    }
  }
  if (synonym) {
    FASTVLM_ASSIGN(Wordnet loaded, Wordnet::load(wordnet));
    modules.wordnet = std::make_shared<const Wordnet>(std::move(loaded));
  }
  if (!paraphrases.empty()) {
    FASTVLM_ASSIGN(Paraphrases loaded, Paraphrases::load(paraphrases));
    modules.paraphrases = std::make_shared<const Paraphrases>(std::move(loaded));
  }
  return modules;
}

Result<Evaluation> EvaluateCommand::evaluate(const std::string& file,
                                             const CaptionFile& reference_file,
                                             const EvaluationOptions& options) const {
  FASTVLM_ASSIGN(const CaptionFile captions, read_captions(file));
  FASTVLM_ASSIGN(EvaluationSet set, pair_captions(reference_file, captions, pairing));
  FASTVLM_RETURN_IF_ERROR(attach_tags(set));
  return finish(shown_name(file), std::move(set), options);
}

// Captions the pictures of the set first.
Result<Evaluation> EvaluateCommand::evaluate_model(const CaptionFile& reference_file,
                                                   const EvaluationOptions& options) {
  FASTVLM_ASSIGN(EvaluationSet set, reference_set(reference_file, pairing));
  FASTVLM_RETURN_IF_ERROR(attach_tags(set));
  if (limit > 0 && set.images.size() > limit) set.images.resize(limit);
  FASTVLM_RETURN_IF_ERROR(answer.apply(prompt, request));
  request.order = prompt.prompt_order();
  FASTVLM_ASSIGN(const auto pool, model.prepare());
  FASTVLM_ASSIGN(const auto engine, load_engine(model, image, *pool));
  const CaptionSetOptions how{picture_folder(), predictions_out, image.decode_options(), request};
  FASTVLM_ASSIGN(failed_, caption_set(engine, *pool, how, set));
  FASTVLM_ASSIGN(const ModelIdentity identity, engine->identity());
  return finish(cat(identity.name, " (", describe_precision(engine->precision()), ")"),
                std::move(set), options);
}

Result<Evaluation> EvaluateCommand::finish(const std::string& name, EvaluationSet set,
                                           const EvaluationOptions& options) const {
  warn_of_unused_factors(options.factors, set);
  for (const std::string& warning : set.warnings) warn(cat(name, ": ", warning));
  return fastvlm::evaluate(name, std::move(set), options);
}

Status EvaluateCommand::attach_tags(EvaluationSet& set) const {
  if (tags.empty()) return {};
  FASTVLM_ASSIGN(const CaptionFile tag_file, read_tags(tags));
  return fastvlm::attach_tags(tag_file, set, pairing);
}

// Empty: nobody said where the pictures are.
std::filesystem::path EvaluateCommand::picture_folder() const {
  if (data.empty() || !pictures.empty()) return pictures;
  const std::filesystem::path beside = std::filesystem::path(data).parent_path();
  return beside.empty() ? "." : beside;
}

Status EvaluateCommand::write_files(const Evaluation& evaluation) const {
  if (!save_frequencies.empty()) {
    FASTVLM_RETURN_IF_ERROR(
        save_document_frequencies(save_frequencies, document_frequencies(evaluation.tokens)));
  }
  if (!per_image.empty()) {
    const bool csv = std::filesystem::path(per_image).extension() == ".csv";
    FASTVLM_RETURN_IF_ERROR(write_file_atomically(
        per_image, csv ? images_as_csv(evaluation) : images_as_json_lines(evaluation)));
  }
  if (!report.empty()) {
    FASTVLM_RETURN_IF_ERROR(
        write_file_atomically(report, html_report(evaluation, picture_folder())));
  }
  return {};
}

Status EvaluateCommand::run_one(const CaptionFile& reference_file,
                                const EvaluationOptions& options) {
  FASTVLM_ASSIGN(const Evaluation evaluation, data.empty()
                                                  ? evaluate(predictions, reference_file, options)
                                                  : evaluate_model(reference_file, options));
  FASTVLM_RETURN_IF_ERROR(write_files(evaluation));
  return print(json ? to_json(evaluation) : to_table(evaluation));
}

Status EvaluateCommand::run_two(const CaptionFile& reference_file,
                                EvaluationOptions options) const {
  options.bootstrap.resamples = 0;  // the differences have intervals of their own
  FASTVLM_ASSIGN(const Evaluation first, evaluate(compare[0], reference_file, options));
  FASTVLM_ASSIGN(const Evaluation second, evaluate(compare[1], reference_file, options));
  if (first.set.images.size() != second.set.images.size() ||
      !std::equal(first.set.images.begin(), first.set.images.end(), second.set.images.begin(),
                  [](const auto& a, const auto& b) { return a.id == b.id; })) {
    return error(Code::kInvalid, "--compare: the two files caption different images",
                 "leave --subset out, or caption the same images");
  }
  const MetricDifferences differences =
      paired_bootstrap(first.scores, second.scores, {resamples, seed});
  return print(json ? to_json(first, second, differences) : to_table(first, second, differences));
}

Status EvaluateCommand::run_all() {
  EvaluationOptions options;
  FASTVLM_ASSIGN(options.metrics, parse_metrics(metrics));
  FASTVLM_ASSIGN(const CaptionFile reference_file, read_captions(data.empty() ? references : data));
  if (options.metrics.meteor) {
    FASTVLM_ASSIGN(options.meteor, load_modules());
  }
  DocumentFrequencies table;
  if (!frequencies.empty()) {
    FASTVLM_ASSIGN(table, load_document_frequencies(frequencies));
    options.frequencies = &table;
  }
  Instances instance_table;
  if (!instances.empty()) {
    FASTVLM_ASSIGN(instance_table, read_instances(instances));
    options.instances = &instance_table;
  }
  if (!factors.empty()) {
    FASTVLM_ASSIGN(options.factors, read_factors(factors));
  }
  options.tokenized = tokenized;
  options.bootstrap = {resamples, seed};
  return compare.empty() ? run_one(reference_file, options) : run_two(reference_file, options);
}

Status EvaluateCommand::check_use() const {
  const int ways =
      (predictions.empty() ? 0 : 1) + (compare.empty() ? 0 : 1) + (data.empty() ? 0 : 1);
  if (ways != 1) {
    return error(Code::kUsage, "expected one of --predictions FILE, --compare A B, --data FILE",
                 "see fastvlm evaluate --help");
  }
  if (references.empty() == data.empty()) {
    return error(Code::kUsage,
                 data.empty() ? "expected --references FILE"
                              : "--data holds the references: --references has no place beside it",
                 "see fastvlm evaluate --help");
  }
  if (!compare.empty() && !(report.empty() && per_image.empty() && save_frequencies.empty())) {
    return error(Code::kUsage, "--compare writes no report and no scores by image",
                 "evaluate each file alone with --predictions for these");
  }
  if (!compare.empty() && resamples == 0) {
    return error(Code::kUsage, "--compare: expected resamples, found 0",
                 "leave --resamples out, or give 1000");
  }
  std::vector<std::filesystem::path> inputs{predictions, references,  data,        instances,  tags,
                                            factors,     paraphrases, frequencies, prompt.file};
  inputs.insert(inputs.end(), compare.begin(), compare.end());
  return check_outputs({{"--predictions-out", predictions_out},
                        {"--save-document-frequencies", save_frequencies},
                        {"--per-image", per_image},
                        {"--report", report}},
                       inputs);
}

Exit EvaluateCommand::run() {
  Status status = check_use();
  if (status.ok()) status = run_all();
  if (!status.ok()) return cli::report(status);
  return failed_ > 0 ? kSomeFailed : kDone;
}

void add_input_options(CLI::App& app, EvaluateCommand& command) {
  app.add_option("--predictions", command.predictions,
                 "Captions to score: COCO results, JSON lines of `caption`, LLaVA JSON")
      ->option_text("FILE");
  app.add_option("--compare", command.compare, "Two files of captions to compare")
      ->expected(2)
      ->option_text("A B");
  app.add_option("--references", command.references,
                 "What people wrote: COCO captions, or any form that --predictions takes")
      ->option_text("FILE");
  app.add_option("--instances", command.instances,
                 "COCO instances: grounding, and scores by factor")
      ->option_text("FILE");
  app.add_option("--tags", command.tags,
                 "Detected objects by image: for grounding, and for the prompts with --data")
      ->option_text("FILE");
  app.add_option("--factors", command.factors, "Factors by image, before those of the instances")
      ->option_text("FILE");
  app.add_flag("--tokenized", command.tokenized, "The captions are tokens already");
  app.add_flag("--subset", command.pairing.subset, "Leave images without a prediction out");
  app.add_flag("--join-lines", command.pairing.join_lines, "Line ends in captions are spaces");
}

void add_metric_options(CLI::App& app, EvaluateCommand& command) {
  app.add_option("--metrics", command.metrics, "Among bleu, meteor, rouge, cider")
      ->capture_default_str();
  app.add_option("--meteor-modules", command.meteor_modules, "Among exact, stem, synonym")
      ->capture_default_str();
  app.add_option("--meteor-paraphrases", command.paraphrases,
                 "METEOR's paraphrase table: adds its fourth module")
      ->option_text("FILE");
  app.add_option("--wordnet", command.wordnet, "WordNet's files")
      ->capture_default_str()
      ->option_text("FOLDER");
  app.add_option("--document-frequencies", command.frequencies,
                 "CIDEr against this saved table instead of the set's own references")
      ->option_text("FILE");
  app.add_option("--save-document-frequencies", command.save_frequencies,
                 "Write the references' table")
      ->option_text("FILE");
  app.add_option("--resamples", command.resamples, "Bootstrap resamples; 0: no intervals")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000000));
  app.add_option("--seed", command.seed, "Seed of the resamples")->capture_default_str();
}

void add_output_options(CLI::App& app, EvaluateCommand& command) {
  app.add_flag("--json", command.json, "One JSON object at full precision");
  app.add_option("--per-image", command.per_image, "Write scores by image: .csv, or JSON lines")
      ->option_text("FILE");
  app.add_option("--report", command.report, "Write a page with pictures, captions and scores")
      ->option_text("FILE.html");
  app.add_option("--pictures,--images", command.pictures,
                 "Folder of the pictures, for --data and the report [that of --data]")
      ->option_text("FOLDER");
}

void add_captioning_options(CLI::App& app, EvaluateCommand& command) {
  CLI::Option* data =
      app.add_option("--data", command.data,
                     "A set to caption and to score: its references, in any form of theirs")
          ->option_text("FILE");
  app.add_option("--predictions-out", command.predictions_out,
                 "Keep the captions here as they are made; a second run goes on")
      ->needs(data)
      ->option_text("FILE.jsonl");
  app.add_option("--limit", command.limit, "Only the first images of the set")
      ->needs(data)
      ->check(CLI::Range(1, 1 << 30))
      ->option_text("N");
  app.add_option("--max-tokens", command.request.max_tokens, "Longest caption, in tokens")
      ->needs(data)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command.model.add_to(app);
  command.image.add_to(app);
  command.prompt.add_prompt_to(app);
  command.prompt.add_order_to(app);
  command.answer.add_sections_to(app);
  for (const char* name : {"--model", "--vision-tower", "--precision", "--prompt", "--prompt-file",
                           "--schema", "--free"}) {
    app.get_option(name)->needs(data);
  }
}

}  // namespace

void add_evaluate(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<EvaluateCommand>();
  CLI::App* app = program.add_subcommand(
      "evaluate", "Score captions: BLEU, METEOR, ROUGE-L, CIDEr, grounding, rubric");
  add_input_options(*app, *command);
  add_metric_options(*app, *command);
  add_output_options(*app, *command);
  add_captioning_options(*app, *command);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
