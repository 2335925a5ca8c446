// SPDX-License-Identifier: Apache-2.0
// fastvlm predict: the arguments and defaults of Apple's predict.py; the answer alone on stdout.
#include <memory>

#include "cli/commands.h"
#include "cli/flags.h"

namespace fastvlm::cli {
namespace {

// What predict.py leaves to the library when it has moved generation_config.json away.
constexpr int kTopK = 50;
constexpr int64_t kMaxTokens = 256;

struct PredictCommand {
  std::string image_file;
  std::string model_base;
  std::string conversation = "qwen_2";
  std::optional<double> top_p;
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;
  CaptionRequest request;

  Status check_arguments() const;
  Status run();
};

Status PredictCommand::check_arguments() const {
  if (!model_base.empty()) {
    return error(
        Code::kUnsupported,
        cat("--model-base ", model_base, ": adapters beside a base model are not read"),
        "merge the adapter into its base model and give the merged folder as --model-path");
  }
  if (conversation != "qwen_2") {
    return error(Code::kUsage, cat("--conv-mode: expected qwen_2, found ", conversation),
                 "FastVLM models are trained with qwen_2; leave the option out");
  }
  return {};
}

Status PredictCommand::run() {
  FASTVLM_RETURN_IF_ERROR(check_arguments());
  request.order = prompt.prompt_order();
  request.max_tokens = kMaxTokens;
  request.stop_on_loop = false;
  request.free = true;
  if (request.sampling.temperature <= 0) request.sampling.temperature = 0;
  if (request.sampling.temperature > 0) request.sampling.top_k = kTopK;
  request.sampling.top_p = top_p.value_or(1.0);
  FASTVLM_RETURN_IF_ERROR(check(request.sampling));
  FASTVLM_ASSIGN(const Image picture, load_image(image_file, image.decode_options()));
  FASTVLM_ASSIGN(request.tags, prompt.read_tags(picture.width));
  FASTVLM_ASSIGN(const auto pool, model.prepare());
  model.keep_tower = false;
  FASTVLM_ASSIGN(const auto engine, load_engine(model, image, *pool));
  FASTVLM_ASSIGN(const Caption caption, Session(engine, *pool).caption(picture, request));
  return print(caption.text + "\n");
}

}  // namespace

void add_predict(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<PredictCommand>();
  command->request.sampling.temperature = 0.2;
  command->request.prompt = describe_prompt();
  CLI::App* app = program.add_subcommand(
      "predict", "Answer one question, with the arguments of Apple's predict.py");
  app->add_option("--model-path", command->model.model,
                  "Checkpoint folder [FASTVLM_MODEL, or the demo]");
  app->add_option("--model-base", command->model_base, "Not supported: merge adapters first");
  app->add_option("--image-file", command->image_file, "Picture file")->required();
  app->add_option("--prompt", command->request.prompt, "Question")->capture_default_str();
  app->add_option("--conv-mode", command->conversation, "Conversation template: qwen_2")
      ->capture_default_str();
  app->add_option("--temperature", command->request.sampling.temperature,
                  "0: always the likeliest token")
      ->capture_default_str();
  app->add_option("--top_p", command->top_p, "Draw among the likeliest of this mass [all]")
      ->check(CLI::Range(0.0, 1.0));
  app->add_option("--num_beams", command->request.beams, "Answers followed side by side")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_option("--seed", command->request.sampling.seed, "Of the draws")
      ->check(is_seed())
      ->capture_default_str();
  app->add_option("--vision-tower", command->model.vision_tower,
                  "Vision tower: file or folder, if not in the model");
  command->model.add_precision_to(*app);
  command->model.add_machine_to(*app);
  command->image.add_to(*app);
  command->prompt.add_order_to(*app);
  command->prompt.add_tags_to(*app);
  app->callback([command, &chosen] {
    chosen = [command] {
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli
