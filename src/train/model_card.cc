// SPDX-License-Identifier: Apache-2.0
#include "train/model_card.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "formats/json_fields.h"
#include "train/run_report.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAppleLicense = "apple-amlr";

// Names that hubs know; others are `license: other` with a name of their own.
constexpr std::array<std::string_view, 22> kHubLicenses = {"apache-2.0",      "mit",
                                                           "apple-amlr",      "apple-ascl",
                                                           "afl-3.0",         "bsd",
                                                           "bsd-2-clause",    "bsd-3-clause",
                                                           "bsl-1.0",         "cc0-1.0",
                                                           "cc-by-4.0",       "cc-by-sa-4.0",
                                                           "cc-by-nc-4.0",    "cc-by-nc-sa-4.0",
                                                           "cc-by-nd-4.0",    "gpl-3.0",
                                                           "cc-by-nc-nd-4.0", "agpl-3.0",
                                                           "lgpl-3.0",        "mpl-2.0",
                                                           "openrail",        "unlicense"};

// What each section is filled from. Pipes and line ends would break a table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '|' || c == '<') out += '\\';
    out += c;
  }
  return out;
}

std::string row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& each : cells) text += cat(" ", each, " |");
  return text + "\n";
}

std::string head(const std::vector<std::string>& names) {
  std::string rule = "|";
  for (size_t i = 0; i < names.size(); ++i) rule += "---|";
  return row(names) + rule + "\n";
}

// A string of YAML; JSON's are.
std::string yaml(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::optional<double> number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string shown(std::optional<double> value, int digits, const std::string& unit = "") {
  return value ? fixed(*value, digits) + unit : std::string();
}

class Card {
 public:
  explicit Card(const CardInputs& inputs) : in_(inputs) {}

  ModelCard make() {
    front_matter();
    introduction();
    uses();
    data();
    training();
    sizes();
    devices();
    evaluation();
    people();
    emissions();
    license_and_citation();
    return std::move(card_);
  }

 private:
  void add(const std::string& text) { card_.text += text; }
  void section(const char* title) { add(cat("\n## ", title, "\n\n")); }
  void missing(const char* title, const std::string& command) {
    card_.missing.push_back(cat(title, ": ", command));
    add(cat("Not measured; `", command, "` does it.\n"));
  }

  std::string setting(std::string_view name) const {
    for (const auto& [key, value] : in_.record.settings) {
      if (key == name) return cell(value);
    }
    return "?";
  }
  std::string base() const { return in_.base.empty() ? in_.record.model : in_.base; }
  bool whole_model() const { return in_.merged || in_.quantized; }

  void front_matter() {
    const bool known =
        std::find(kHubLicenses.begin(), kHubLicenses.end(), in_.license) != kHubLicenses.end();
    add(known ? cat("---\nlicense: ", in_.license, "\n")
              : cat("---\nlicense: other\nlicense_name: ", yaml(in_.license), "\n"));
    if (in_.license == kAppleLicense) {
      add("license_link: https://github.com/apple/ml-fastvlm/blob/main/LICENSE_MODEL\n");
    }
    if (!in_.base.empty()) {
      add(cat("base_model: ", yaml(in_.base),
              "\nbase_model_relation: ", whole_model() ? "finetune" : "adapter", "\n"));
    }
    // What reads the files: PEFT an adapter, MLX a quantised export, Apple's code a merged model.
    add(cat("library_name: ",
            in_.quantized ? "mlx"
            : in_.merged  ? "ml-fastvlm"
                          : "peft",
            "\npipeline_tag: image-text-to-text\ntags:\n- fastvlm\n- image-captioning\n- lora\n- "
            "fastvlm.cpp\n"));
    if (!in_.datasets.empty()) add("datasets:\n");
    for (const std::string& name : in_.datasets) add(cat("- ", yaml(name), "\n"));
    const RunCost cost = cost_of(in_.record);
    if (cost.joules_seconds > 0 && in_.record.grams_per_kwh) {
      add(cat("co2_eq_emissions:\n  emissions: ",
              significant(cost.kilowatt_hours() * *in_.record.grams_per_kwh), "\n  source: ",
              yaml(cost.stated ? "power x hours x carbon intensity (Lacoste et al. 2019)"
                               : "measured energy x carbon intensity (Lacoste et al. 2019)"),
              "\n  training_type: fine-tuning\n"));
      if (!in_.record.region.empty()) {
        add(cat("  geographical_location: ", yaml(in_.record.region), "\n"));
      }
      add(cat("  hardware_used: ", yaml(in_.record.parts.back().processor), "\n"));
    }
    add("---\n");
  }

  void introduction() {
    add(cat("\n# ", cell(in_.name), "\n\n", cell(base()), ", fine-tuned with LoRA on ",
            with_thousands(in_.record.data.samples), " answers about ",
            with_thousands(in_.record.data.pictures), " pictures.\n"));
    section("Model details");
    add(head({"", ""}));
    add(row({"kind",
             "vision-language model that describes pictures (FastVLM: FastViT tower, "
             "projector, Qwen2 decoder)"}));
    add(row({"base", cat(cell(base()), ", weights ", cell(in_.record.weights), ", SHA-256 `",
                         cell(in_.record.sha256.substr(0, 16)), "…`")}));
    add(row({"parameters trained", with_thousands(in_.record.trained_parameters)}));
    add(row({"trained with", cat(cell(in_.record.program), " `train`")}));
    add(row({"licence", cell(in_.license)}));
    section("How to use it");
    const std::string model = in_.quantized ? in_.quantized->name
                              : in_.merged  ? in_.merged->name
                                            : in_.record.model;
    add(cat("    fastvlm caption photo.jpg --model ", printable(model),
            whole_model() ? std::string() : cat(" --adapter ", printable(in_.run)), "\n"));
  }

  void uses() {
    section("Uses");
    add("It answers questions of the kind that it was trained on, about one picture at a time: "
        "describing pictures, for search, for data sets, as a draft of a text alternative that a "
        "person looks over.\n");
    section("Out of scope");
    add("Recognising people or judging who they are; decisions about a person's health, safety, "
        "work or rights; surveillance; anything where a wrong description does harm and nobody "
        "looks.");
    if (in_.license == kAppleLicense) {
      add(" The licence allows research only: products and services are out of its scope.");
    }
    add("\n");
    section("Bias and limits");
    add("- It can name what is not in the picture, and leave out what is; "
        "[Evaluation](#evaluation) "
        "says how often, where it was measured.\n"
        "- It has the leanings of its base and of the answers that it learnt from, and the vision "
        "tower is the base's: what that does not see stays unseen.\n");
    add(cat("- ", with_thousands(in_.record.data.pictures),
            " pictures are what it was trained on; others than these kinds may go worse.\n"));
  }

  void data() {
    section("Training data");
    add(head({"", "file", "samples", "pictures", "supervised tokens"}));
    const auto add_row = [this](const char* name, const RunData& data) {
      add(row({name, cell(data.file), with_thousands(data.samples), with_thousands(data.pictures),
               with_thousands(data.tokens)}));
    };
    add_row("training", in_.record.data);
    if (in_.record.evaluation) add_row("evaluation", *in_.record.evaluation);
    if (in_.record.data_made.empty()) return;
    add("\nHow it was made:\n\n" + head({"", ""}));
    for (const auto& [name, value] : in_.record.data_made) add(row({cell(name), cell(value)}));
  }

  void training() {
    section("Training procedure");
    add(head({"", ""}));
    add(row({"LoRA", cat("r ", setting("lora-r"), ", alpha ", setting("lora-alpha"), ", dropout ",
                         setting("lora-dropout"), ", layers ", setting("lora-targets"))}));
    add(row({"length", cat("at most ", setting("max-length"), " positions, ",
                           setting("image tokens"), " of them the picture's")}));
    add(row({"epochs, batch", cat(setting("epochs"), " epochs, batch ", setting("batch-size"),
                                  ", gradient accumulation ", setting("gradient-accumulation"),
                                  ": ", with_thousands(in_.record.steps), " steps")}));
    add(row(
        {"optimiser", cat("AdamW, learning rate ", setting("learning-rate"), ", weight decay ",
                          setting("weight-decay"), ", warm-up ratio ", setting("warmup-ratio"),
                          ", cosine to 0, gradients scaled down to ", setting("max-grad-norm"))}));
    add(row({"other", cat("products in ", setting("precision"), ", seed ", setting("seed"))}));
    const RunCost cost = cost_of(in_.record);
    add(row({"took", cat(significant(cost.hours()), " h, ",
                         megabytes(static_cast<double>(cost.peak_memory)), " peak, on ",
                         cell(in_.record.parts.back().processor), ", ",
                         in_.record.parts.back().threads, " threads")}));
    losses();
  }

  // First and last step, and those with an evaluation, at most ten.
  void losses() {
    std::vector<const StepMetrics*> kept;
    for (const StepMetrics& step : in_.steps) {
      const bool end = &step == &in_.steps.front() || &step == &in_.steps.back();
      if (end || step.evaluation) kept.push_back(&step);
    }
    if (kept.empty()) return;
    add("\n" + head({"step", "loss", "evaluation loss"}));
    const size_t most = std::min<size_t>(kept.size(), 10);
    for (size_t i = 0; i < most; ++i) {
      const StepMetrics& step = *kept[most > 1 ? i * (kept.size() - 1) / (most - 1) : 0];
      add(row({cat(step.step), fixed(step.loss, 4), shown(step.evaluation, 4)}));
    }
  }

  void sizes() {
    section("Sizes");
    add(head({"", "weights", "files"}));
    const auto add_row = [this](const char* what, const std::string& weights, int64_t bytes) {
      add(row({what, cell(weights), megabytes(static_cast<double>(bytes))}));
    };
    add_row("base", in_.record.weights, in_.record.model_bytes);
    add_row("adapter", "f32", in_.adapter_bytes);
    if (in_.merged) add_row("merged", in_.merged->weights, in_.merged->bytes);
    if (in_.quantized) add_row("quantised", in_.quantized->weights, in_.quantized->bytes);
  }

  void devices() {
    section("Speed and memory");
    if (in_.benches.empty()) {
      return missing("Speed and memory", "fastvlm bench --card PICTURE --json");
    }
    add("From a picture to a seven-point caption:\n\n" +
        head({"device", "chip", "RAM", "precision, threads", "first token", "generation",
              "peak memory"}));
    for (const Json& bench : in_.benches) {
      add(row({cell(text_of(bench, "device")), cell(text_of(bench, "chip")),
               shown(number_of(bench, "ram_gb"), 0, " GB"),
               cat(cell(text_of(bench, "precision")), ", ", cell(text_of(bench, "threads"))),
               shown(number_of(bench, "first_token_seconds"), 2, " s"),
               shown(number_of(bench, "tokens_per_second"), 1, " tok/s"),
               shown(number_of(bench, "peak_memory_mb"), 0, " MB")}));
    }
  }

  void evaluation() {
    section("Evaluation");
    if (in_.evaluations.empty()) {
      return missing("Evaluation", "fastvlm evaluate --predictions FILE --references FILE --json");
    }
    std::vector<std::string> names{""};
    for (const Json& each : in_.evaluations) names.push_back(cell(text_of(each, "predictions")));
    add(head(names));
    for (const char* key :
         {"images", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"}) {
      add_values(key, "corpus", key, std::string_view(key) == "images" ? 0 : 4);
    }
    for (const auto& [key, title] :
         {std::pair("CHAIR_i", "CHAIR-i (objects named that are not there)"),
          std::pair("CHAIR_s", "CHAIR-s (captions with such an object)"),
          std::pair("recall", "objects named of those there"),
          std::pair("tags_used", "tags used")}) {
      add_values(title, "grounding", key, 4);
    }
    for (const auto& [key, title] :
         {std::pair("sections_present", "all sections present"), std::pair("in_order", "in order"),
          std::pair("filled", "filled"), std::pair("no_repetition", "no repetition")}) {
      add_values(title, "rubric", key, 3);
    }
    add("\nIn brackets: 95 % intervals of a bootstrap over the images.\n");
  }

  // One row, where any of the evaluations has the value.
  void add_values(const std::string& title, const char* group, const char* key, int digits) {
    std::vector<std::string> cells{title};
    bool any = false;
    for (const Json& each : in_.evaluations) {
      const auto values = each.find(group);
      std::optional<double> value;
      if (values != each.end() && values->is_object()) value = number_of(*values, key);
      any = any || value;
      cells.push_back(shown(value, digits));
      const auto intervals = each.find("intervals_95");
      if (!value || std::string_view(group) != "corpus" || intervals == each.end()) continue;
      const auto found = intervals->find(key);
      if (found == intervals->end() || !found->is_array() || found->size() != 2 ||
          !found->at(0).is_number() || !found->at(1).is_number()) {
        continue;
      }
      cells.back() += cat(" [", fixed(found->at(0).get<double>(), 4), ", ",
                          fixed(found->at(1).get<double>(), 4), "]");
    }
    if (any) add(row(cells));
  }

  void people() {
    section("Human evaluation");
    if (in_.ratings.empty())
      return missing("Human evaluation", "fastvlm rate DIR --summary --json");
    add("1 to 5, means with 95 % intervals.\n\n" +
        head({"model", "completeness", "structure", "visual accuracy", "raters"}));
    for (const Json& rating : in_.ratings) {
      for (const auto& [model, questions] : rating["models"].items()) {
        std::vector<std::string> cells{cell(model)};
        for (const char* name : {"completeness", "structure", "accuracy"}) {
          cells.push_back(rated(questions, name));
        }
        cells.push_back(cell(text_of(rating, "raters")));
        add(row(cells));
      }
    }
  }

  static std::string rated(const Json& questions, const char* name) {
    if (!questions.is_object() || !questions.contains(name)) return {};
    const Json& answer = questions[name];
    if (!answer.is_object()) return {};
    std::string text = shown(number_of(answer, "mean"), 2);
    const auto interval = answer.find("interval_95");
    if (text.empty() || interval == answer.end() || !interval->is_array() ||
        interval->size() != 2 || !interval->at(0).is_number() || !interval->at(1).is_number()) {
      return text;
    }
    return text + cat(" [", fixed(interval->at(0).get<double>(), 2), ", ",
                      fixed(interval->at(1).get<double>(), 2), "]");
  }

  void emissions() {
    section("Environmental impact");
    for (const std::string& sentence : cost_sentences(in_.record)) add(cat("- ", sentence, "\n"));
  }

  void license_and_citation() {
    section("Licence");
    if (in_.license == kAppleLicense) {
      add("The weights are derived from Apple's and stand under the Apple Machine Learning "
          "Research "
          "Model licence (`apple-amlr`): research only. Its text goes with them: LICENSE_MODEL at "
          "https://github.com/apple/ml-fastvlm.\n");
    } else {
      add(cat("`", cell(in_.license), "`\n"));
    }
    section("Citation");
    add(R"(```bibtex
@inproceedings{vasu2025fastvlm,
  title     = {{FastVLM}: Efficient Vision Encoding for Vision Language Models},
  author    = {Vasu, Pavan Kumar Anasosalu and Faghri, Fartash and Li, Chun-Liang and Koc, Cem and True, Nate and
               Antony, Albert and Santhanam, Gokul and Gabriel, James and Grasch, Peter and Tuzel, Oncel and
               Pouransari, Hadi},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025}
}
@inproceedings{hu2022lora,
  title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
               Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2022}
}
@misc{lacoste2019quantifying,
  title  = {Quantifying the Carbon Emissions of Machine Learning},
  author = {Lacoste, Alexandre and Luccioni, Alexandra and Schmidt, Victor and Dandres, Thomas},
  year   = {2019},
  eprint = {1910.09700},
  archivePrefix = {arXiv}
}
```
)");
  }

  const CardInputs& in_;
  ModelCard card_;
};

Status wrong_file(const std::filesystem::path& file, std::string_view expected) {
  return error(Code::kInvalid, cat(file.string(), ": is not what ", expected, " prints"),
               "give a file that one of these commands made");
}

bool is_evaluation(const Json& object) {
  return object.is_object() && object.contains("predictions") && object.contains("corpus");
}

}  // namespace

Status add_evaluation(const std::filesystem::path& file, CardInputs& inputs) {
  FASTVLM_ASSIGN(const Json object, read_ordered_json_object(file));
  if (is_evaluation(object)) {
    inputs.evaluations.push_back(object);
  } else if (object.contains("first") && object.contains("second") &&
             is_evaluation(object["first"]) && is_evaluation(object["second"])) {
    inputs.evaluations.push_back(object["first"]);
    inputs.evaluations.push_back(object["second"]);
  } else if (object.contains("raters") && object.contains("models") &&
             object["models"].is_object()) {
    inputs.ratings.push_back(object);
  } else {
    return wrong_file(file, "`fastvlm evaluate --json` or `fastvlm rate --summary --json`");
  }
  return {};
}

Status add_bench(const std::filesystem::path& file, CardInputs& inputs) {
  FASTVLM_ASSIGN(Json object, read_ordered_json_object(file));
  if (!object.contains("device") || !object.contains("first_token_seconds")) {
    return wrong_file(file, "`fastvlm bench --card PICTURE --json`");
  }
  inputs.benches.push_back(std::move(object));
  return {};
}

ModelCard model_card(const CardInputs& inputs) {
  return Card(inputs).make();
}

}  // namespace fastvlm
