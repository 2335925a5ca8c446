// SPDX-License-Identifier: Apache-2.0
// fastvlm caption IMAGE…
#include <cmath>
#include <memory>

#include "base/cpu.h"
#include "caption/caption_json.h"
#include "cli/answer_flags.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/tag_source.h"

namespace fastvlm::cli {
namespace {

struct CaptionCommand {
  std::vector<std::string> images;
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;
  AnswerFlags answer;
  FormatFlag format;
  TagSource tags;
  ThreadPool* team = nullptr;
  CaptionRequest request;
  bool stream = false;
  bool stats = false;

  bool output_failed = false;

  Exit run();
  Exit caption_all(Session& session, const Engine& engine);
  Status caption_one(Session& session, const Engine& engine, const std::string& path, bool first);
  Status print_result(const Caption& caption, const Engine& engine, const std::string& name);
  Status put(std::string_view text) {
    Status written = print(text);
    output_failed = output_failed || !written.ok();
    return written;
  }
};

void print_stats(const std::string& name, const Timings& timings) {
  const auto ms = [](double seconds) { return cat(std::lround(seconds * 1000), " ms"); };
  note(cat(name, ": first token after ", ms(timings.first_token_seconds()), " (picture ",
           ms(timings.preprocess_seconds), ", vision ", ms(timings.vision_seconds), ", prompt of ",
           timings.prompt_tokens, " tokens ", ms(timings.prefill_seconds), "), then ",
           timings.answer_tokens, " tokens at ", std::lround(timings.tokens_per_second()),
           " a second, peak memory ", megabytes(static_cast<double>(peak_resident_bytes()))));
}

Status CaptionCommand::print_result(const Caption& caption, const Engine& engine,
                                    const std::string& name) {
  if (format.json()) {
    FASTVLM_ASSIGN(const ModelIdentity identity, engine.identity());
    const JsonOptions options{stats, images.size() == 1};
    return put(to_json(caption, identity, name, options) + "\n");
  }
  return put(stream ? "\n" : in_style(caption, format.style()) + "\n");
}

Status CaptionCommand::caption_one(Session& session, const Engine& engine, const std::string& path,
                                   bool first) {
  FASTVLM_ASSIGN(const Image picture, load_image(path, image.decode_options()));
  FASTVLM_RETURN_IF_ERROR(tags.tag(picture, *team, request));
  const std::string name = shown_name(path);
  const bool heading = images.size() > 1 && !format.json();
  const std::string title = heading ? cat(first ? "" : "\n", "== ", printable(name), " ==\n") : "";
  Status written;
  if (stream) {
    FASTVLM_RETURN_IF_ERROR(put(title));
    request.on_text = [&](std::string_view piece) {
      written = put(piece);
      return written.ok();
    };
  }
  FASTVLM_ASSIGN(Caption caption, session.caption(picture, request));
  record_decoding(image.decode_options(), caption.provenance);
  FASTVLM_RETURN_IF_ERROR(written);
  if (!stream) FASTVLM_RETURN_IF_ERROR(put(title));
  FASTVLM_RETURN_IF_ERROR(print_result(caption, engine, name));
  if (stats && !format.json()) print_stats(name, caption.timings);
  return {};
}

Exit CaptionCommand::caption_all(Session& session, const Engine& engine) {
  size_t failed = 0;
  Exit last = kDone;
  for (const std::string& path : images) {
    const Status status = caption_one(session, engine, path, &path == &images.front());
    if (status.ok()) continue;
    ++failed;
    last = report(status);
    if (output_failed) return last;  // nobody reads; the other pictures would be work for nothing
  }
  if (failed == 0) return kDone;
  return failed == images.size() ? last : kSomeFailed;
}

Exit CaptionCommand::run() {
  if (images.empty()) {
    return report(
        error(Code::kUsage, "no image given, so there is nothing to caption",
              "name one or more pictures; questions without a picture are not for this model"));
  }
  if (const Status bad = answer.apply(prompt, request); !bad.ok()) return report(bad);
  request.order = prompt.prompt_order();
  if (const Status bad = check(request.sampling); !bad.ok()) return report(bad);
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto engine = load_engine(model, image, **pool);
  if (!engine.ok()) return report(engine.status());
  if (const Status bad = tags.prepare(model, **pool); !bad.ok()) return report(bad);
  team = pool->get();
  Session session(*engine, **pool);
  return caption_all(session, **engine);
}

}  // namespace

void add_caption(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<CaptionCommand>();
  CLI::App* app = program.add_subcommand("caption", "Describe pictures");
  app->add_option("images", command->images, "Picture files")->option_text("IMAGE...");
  command->prompt.add_prompt_to(*app);
  command->answer.add_sections_to(*app);
  command->format.add_to(*app);
  app->add_flag("--stream", command->stream, "Print the text as it comes, sections when finished")
      ->excludes(app->get_option("--json"))
      ->excludes(app->get_option("--format"));
  app->add_flag("--stats", command->stats, "Also show timings");
  app->add_option("--max-tokens", command->request.max_tokens, "Longest answer, in tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  SamplingOptions& sampling = command->request.sampling;
  app->add_option("--temperature", sampling.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app->add_option("--top-k", sampling.top_k, "Draw among the k likeliest; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  app->add_option("--top-p", sampling.top_p, "Draw among the likeliest of this mass")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->answer.add_penalties_to(*app);
  app->add_option("--seed", sampling.seed, "Of the draws")->check(is_seed())->capture_default_str();
  command->model.add_to(*app);
  command->image.add_to(*app);
  command->prompt.add_order_to(*app);
  command->tags.add_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
