// SPDX-License-Identifier: Apache-2.0
// fastvlm caption IMAGE|FOLDER|PATTERN…, fastvlm watch FOLDER
#include <cmath>
#include <memory>

#include "base/cpu.h"
#include "caption/caption_json.h"
#include "caption/caption_style.h"
#include "cli/answer_flags.h"
#include "cli/caption_job.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "cli/job_flags.h"
#include "cli/tag_source.h"

namespace fastvlm::cli {
namespace {

struct CaptionCommand {
  std::vector<std::string> places;  // as given: pictures, folders, patterns
  std::vector<Picture> pictures;
  SelectionFlags selection;
  OutputFlags files;
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;
  AnswerFlags answer;
  TagSource tags;
  ThreadPool* team = nullptr;
  CaptionRequest request;
  bool json = false;
  CaptionStyle style = CaptionStyle::kText;
  bool stream = false;
  bool stats = false;
  bool verify = false;    // --verify-objects
  bool watching = false;  // fastvlm watch

  bool output_failed = false;

  Exit run();
  WantedParts parts() const { return {.timings = stats, .grounding = verify}; }
  Status check_verifiable() const;
  Status read_style();
  Status find_pictures();
  Status prepare_request();
  Status check_model_for_photographs() const;
  Exit caption_all(Session& session, const Engine& engine);
  Exit run_job(Session& session, const Engine& engine, const JobFiles& to);
  Status caption_one(Session& session, const Engine& engine, const Picture& picture, bool first);
  Status print_result(const Caption& caption, const Engine& engine, const std::string& name);
  Status put(std::string_view text) {
    Status written = print(text);
    output_failed = output_failed || !written.ok();
    return written;
  }
};

std::string drafts_text(const Timings& timings) {
  if (timings.drafts.passes == 0) return "";
  return cat(" (", std::round(timings.tokens_per_pass() * 10) / 10, " a pass; ",
             timings.drafts.accepted, " of ", timings.drafts.drafted, " drafted were right)");
}

void print_stats(const std::string& name, const Timings& timings) {
  const auto ms = [](double seconds) { return cat(std::lround(seconds * 1000), " ms"); };
  note(cat(name, ": first token after ", ms(timings.first_token_seconds()), " (picture ",
           ms(timings.preprocess_seconds), ", vision ",
           timings.vision_kept ? "known" : ms(timings.vision_seconds), ", prompt of ",
           timings.prompt_tokens, " tokens",
           timings.prompt_tokens_kept == 0 ? "" : cat(", ", timings.prompt_tokens_kept, " known,"),
           " ", ms(timings.prefill_seconds), "), then ", timings.answer_tokens, " tokens at ",
           std::lround(timings.tokens_per_second()), " a second", drafts_text(timings),
           "; weights read in between ", ms(timings.load_seconds), ", peak memory ",
           megabytes(static_cast<double>(peak_resident_bytes()))));
}

Status CaptionCommand::print_result(const Caption& caption, const Engine& engine,
                                    const std::string& name) {
  if (json) {
    FASTVLM_ASSIGN(const ModelIdentity identity, engine.identity());
    const JsonOptions options{stats, pictures.size() == 1, verify};
    return put(to_json(caption, identity, name, options) + "\n");
  }
  return put(stream ? "\n" : in_style(caption, style, verify) + "\n");
}

Status CaptionCommand::caption_one(Session& session, const Engine& engine, const Picture& picture,
                                   bool first) {
  FASTVLM_ASSIGN(const Image pixels, load_image(picture.path, image.decode_options()));
  FASTVLM_RETURN_IF_ERROR(about(picture.path, tags.tag(pixels, *team, request)));
  const bool heading = pictures.size() > 1 && !json;
  const std::string title =
      heading ? cat(first ? "" : "\n", "== ", printable(picture.name), " ==\n") : "";
  Status written;
  if (stream) {
    FASTVLM_RETURN_IF_ERROR(put(title));
    request.on_text = [&](std::string_view piece) {
      written = put(piece);
      return written.ok();
    };
  }
  Result<Caption> made = session.caption(pixels, request);
  if (!made.ok()) return about(picture.path, made.status());
  Caption& caption = *made;
  record_decoding(image.decode_options(), caption.provenance);
  FASTVLM_RETURN_IF_ERROR(written);
  if (!stream) FASTVLM_RETURN_IF_ERROR(put(title));
  FASTVLM_RETURN_IF_ERROR(print_result(caption, engine, picture.name));
  if (stats && !json) print_stats(picture.name, caption.timings);
  return {};
}

Exit CaptionCommand::caption_all(Session& session, const Engine& engine) {
  size_t failed = 0;
  Exit last = kDone;
  for (const Picture& picture : pictures) {
    const Status status = caption_one(session, engine, picture, &picture == &pictures.front());
    if (status.ok()) continue;
    ++failed;
    last = report(status);
    if (output_failed) return last;  // nobody reads; the other pictures would be work for nothing
  }
  if (failed == 0) return kDone;
  return failed == pictures.size() ? last : kSomeFailed;
}

Exit CaptionCommand::run_job(Session& session, const Engine& engine, const JobFiles& to) {
  const auto description = tags.description();
  if (!description.ok()) return report(description.status());
  const auto settings =
      job_settings(request, engine, *description, image.decode_options().apply_exif);
  if (!settings.ok()) return report(settings.status());
  const auto caption = [&](const Image& pixels, const Picture& picture) -> Result<std::string> {
    FASTVLM_RETURN_IF_ERROR(tags.tag(pixels, *team, request));
    FASTVLM_ASSIGN(Caption made, session.caption(pixels, request));
    record_decoding(image.decode_options(), made.provenance);
    FASTVLM_ASSIGN(const ModelIdentity identity, engine.identity());
    return to_json(made, identity, picture.name, {.timings = true, .grounding = true});
  };
  CaptionJob job{to, *settings, image.decode_options(), pictures, {}, files.quiet(), json};
  if (watching) return run_watch_job(job, places.front(), selection, caption);
  const auto shard = selection.shard();
  if (!shard.ok()) return report(shard.status());
  job.shard = *shard;
  return run_caption_job(job, caption);
}

// Nobody can tell what was not seen when nobody looked.
Status CaptionCommand::check_verifiable() const {
  if (!verify || tags.known()) return {};
  return error(Code::kUsage, "--verify-objects: no tags are known, so nothing can be compared",
               "name a detector with --detector FILE, pull one (`fastvlm pull yolo11n`), or give "
               "--tags FILE or \"person (left), dog\"");
}

// --format says how stdout looks, or which files are written.
Status CaptionCommand::read_style() {
  const std::string& format = files.format();
  if (files.given() || format.empty()) return {};
  json = json || format == "json";
  if (json || format == "text" || format == "txt") return {};
  const auto found = named_style(format);
  if (!found) {
    return error(Code::kUsage,
                 cat("--format ", format, ": expected text, paragraph, markdown or json on stdout"),
                 "for files give --out with a file or a folder, or --sidecar");
  }
  style = *found;
  return {};
}

// A few files that are named stay as they are, in their order.
Status CaptionCommand::find_pictures() {
  if (watching) {  // they come as they come
    if (places.size() == 1) return {};
    return error(Code::kUsage, cat("expected one folder to watch, found ", places.size()),
                 "watch a folder that holds them with --recursive, or run the command for each");
  }
  if (files.given() || selection.needed(places)) {
    FASTVLM_ASSIGN(pictures, selection.find(places, request.sampling.seed));
    return {};
  }
  for (const std::string& path : places) pictures.push_back({path, shown_name(path)});
  if (!pictures.empty()) return {};
  return error(Code::kUsage, "no image given, so there is nothing to caption",
               "name one or more pictures; questions without a picture are not for this model");
}

Status CaptionCommand::prepare_request() {
  FASTVLM_RETURN_IF_ERROR(answer.apply(prompt, request));
  request.order = prompt.prompt_order();
  return check(request.sampling);
}

// The demo model's words must not get into somebody's photographs because no other was named.
Status CaptionCommand::check_model_for_photographs() const {
  if (!files.embed()) return {};
  FASTVLM_ASSIGN(const FoundModel found, find_model(model.model));
  if (!found.demo) return {};
  return error(Code::kUsage,
               "--embed: no model is named, and the bundled demo model knows drawn scenes only",
               cat("name one with --model or FASTVLM_MODEL (for the demo's captions all the same: ",
                   found.folder.string(), ")"));
}

Exit CaptionCommand::run() {
  if (!files.from_journal().empty()) return rewrite_from_journal(files, selection, parts());
  if (const Status bad = check_verifiable(); !bad.ok()) return report(bad);
  if (const Status bad = read_style(); !bad.ok()) return report(bad);
  if (const Status bad = find_pictures(); !bad.ok()) return report(bad);
  if (const Status bad = prepare_request(); !bad.ok()) return report(bad);
  if (const Status bad = check_model_for_photographs(); !bad.ok()) return report(bad);
  JobFiles to;
  if (files.given()) {
    const std::vector<std::filesystem::path> inputs{selection.list(), prompt.file, tags.listed(),
                                                    answer.schema(), answer.json_schema()};
    auto prepared = prepare_files(files, selection, places, pictures, inputs);
    if (!prepared.ok()) return report(prepared.status());
    to = std::move(*prepared);
    to.outputs.parts = parts();
  }
  model.keep_tower = watching || pictures.size() > 1;  // a single picture needs it once
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto engine = load_engine(model, image, **pool);
  if (!engine.ok()) return report(engine.status());
  if (const Status bad = tags.prepare(model, **pool); !bad.ok()) return report(bad);
  team = pool->get();
  Session session(*engine, **pool);
  if (const Status bad = session.check_request(request); !bad.ok()) return report(bad);
  const Exit exit = files.given() ? run_job(session, **engine, to) : caption_all(session, **engine);
  // Captions do not depend on it.
  if (const Status bad = (*engine)->token_cache().trouble(); !bad.ok()) {
    warn(cat("--token-cache: ", bad.message));
  }
  return exit;
}

void add_answer_options(CLI::App& app, CaptionCommand& command) {
  command.answer.add_sections_to(app);
  app.add_flag("--verify-objects", command.verify,
               "Mark objects that the text names and no tag stands for: [unseen], grounding in "
               "JSON")
      ->excludes(app.get_option("--json-schema"));
  app.add_option("--max-tokens", command.request.max_tokens, "Longest answer, in tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  SamplingOptions& sampling = command.request.sampling;
  app.add_option("--temperature", sampling.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "Draw among the k likeliest; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "Draw among the likeliest of this mass")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_penalties_to(app, sampling);
  app.add_option("--seed", sampling.seed,
                 command.watching ? "Of the draws" : "Of the draws, and of --shuffle")
      ->check(is_seed())
      ->capture_default_str();
}

void add_model_options(CLI::App& app, CaptionCommand& command) {
  command.model.add_to(app);
  command.model.add_memory_to(app);
  command.model.add_drafts_to(app);
  command.model.add_token_cache_to(app);
  command.image.add_to(app);
  command.prompt.add_order_to(app);
  command.tags.add_to(app);
}

}  // namespace

void add_caption(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<CaptionCommand>();
  CLI::App* app = program.add_subcommand("caption", "Describe pictures");
  app->add_option("images", command->places,
                  "Pictures, folders of them, patterns; -: paths from stdin")
      ->option_text("IMAGE...");
  command->prompt.add_prompt_to(*app);
  CLI::Option* json =
      app->add_flag("--json", command->json,
                    "One JSON object a picture (docs/caption.schema.json); with --out or --sidecar "
                    "one on the run");
  CLI::Option* stream = app->add_flag("--stream", command->stream,
                                      "Print the text as it comes, sections when finished")
                            ->excludes(json);
  app->add_flag("--stats", command->stats, "Also show timings");
  add_answer_options(*app, *command);
  add_model_options(*app, *command);
  command->selection.add_to(*app);
  command->files.add_to(*app);
  command->files.add_gallery_to(*app);
  for (const char* other : {"--out", "--sidecar", "--embed", "--journal", "--gallery", "--format",
                            "--verify-objects"}) {
    stream->excludes(app->get_option(other));
  }
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

void add_watch(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<CaptionCommand>();
  command->watching = true;
  CLI::App* app =
      program.add_subcommand("watch", "Describe the pictures of a folder as they arrive");
  // Several are refused later: else an option that watch does not have would be told as a folder
  // too many.
  app->add_option("folder", command->places, "Folder to watch")->option_text("FOLDER")->required();
  command->prompt.add_prompt_to(*app);
  app->add_flag("--stats", command->stats, "Timings in JSON outputs");
  add_answer_options(*app, *command);
  add_model_options(*app, *command);
  command->selection.add_filters_to(*app);
  command->files.add_to(*app);
  command->files.beside_by_default();
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
