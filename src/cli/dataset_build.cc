// SPDX-License-Identifier: Apache-2.0
// fastvlm dataset build: COCO's pictures and annotations as conversations to learn from.
#include <memory>

#include "base/file_digest.h"
#include "base/sha256.h"
#include "caption/detected_tags.h"
#include "caption/prompt.h"
#include "cli/dataset_commands.h"
#include "cli/find_detector.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "cli/teacher_flags.h"
#include "dataset/coco_teacher.h"
#include "image/decode.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct BuildCommand {
  std::string images;
  std::string annotations;
  std::string captions;
  TeacherFlags teacher;
  std::string tags = "annotations";
  std::string detector;
  PromptFlags prompt;
  ModelFlags machine;
  DatasetOutput output;
  size_t limit = 0;  // 0: all
  bool quiet = false;

  Exit run() const;
};

// Tags of pictures as --tags says.
class Tagger {
 public:
  static Result<Tagger> make(const BuildCommand& command, ThreadPool& pool) {
    Tagger tagger;
    tagger.source_ = command.tags;
    tagger.pool_ = &pool;
    tagger.options_.confidence = 0.5F;  // those of the app whose prompts the model is trained for
    tagger.options_.iou = 0.5F;
    if (command.tags != "detector") {
      if (command.detector.empty()) return tagger;
      return error(
          Code::kUsage,
          cat("--detector ", command.detector, ": --tags ", command.tags, " does not use it"),
          "add --tags detector, or leave it out");
    }
    FASTVLM_ASSIGN(const fs::path path, find_detector(command.detector, "--detector"));
    FASTVLM_ASSIGN(tagger.loaded_, load_detector(path, std::nullopt, pool));
    return tagger;
  }

  std::string description() const {
    return loaded_ ? cat(loaded_->detector.kind(), " ", loaded_->sha256) : source_;
  }

  Result<std::vector<Tag>> tags(const CocoPicture& picture, const Image& image) const {
    if (source_ == "none") return std::vector<Tag>();
    if (!loaded_) return tags_of_annotations(picture);
    FASTVLM_ASSIGN(const auto detections, loaded_->detector.detect(image, options_, *pool_));
    return fastvlm::tags_of(detections, image.width, false);
  }

 private:
  std::string source_;
  ThreadPool* pool_ = nullptr;
  DetectOptions options_;
  std::optional<LoadedDetector> loaded_;
};

// The sample of a picture; its answer is left to a teacher on the network.
Result<DatasetSample> make_sample(const BuildCommand& command, const ChosenPicture& chosen,
                                  const Tagger& tagger, const std::string& prompt) {
  FASTVLM_ASSIGN(const Image image, load_image(chosen.path));
  CocoPicture picture = chosen.picture;
  if (picture.width <= 0 || picture.height <= 0) {
    picture.width = image.width;
    picture.height = image.height;
  }
  FASTVLM_ASSIGN(const std::vector<Tag> tags, tagger.tags(picture, image));
  DatasetSample sample = question_sample(chosen, tags, prompt);
  if (command.teacher.is_coco()) {
    FASTVLM_ASSIGN(sample.gpt, coco_answer(picture, look_of(image), command.output.seed));
  }
  return sample;
}

// Samples of pictures, and why others have none.
struct Made {
  std::vector<ChosenPicture> chosen;  // of each sample
  std::vector<DatasetSample> samples;
  std::vector<SampleFailure> failures;

  SplitSamples by_split() const {
    SplitSamples splits;
    for (size_t i = 0; i < samples.size(); ++i) splits[chosen[i].split].push_back(samples[i]);
    return splits;
  }
};

Result<Made> make_samples(const BuildCommand& command, const std::vector<ChosenPicture>& pictures,
                          const Tagger& tagger, const std::string& prompt) {
  Made made;
  Progress progress(command.quiet);
  JobCounts counts;
  counts.total = pictures.size();
  for (const ChosenPicture& chosen : pictures) {
    if (stop_asked()) return error(Code::kInterrupted, "interrupted; nothing was written", "");
    auto sample = make_sample(command, chosen, tagger, prompt);
    if (sample.ok()) {
      made.chosen.push_back(chosen);
      made.samples.push_back(std::move(*sample));
      ++counts.made;
    } else {
      made.failures.push_back({chosen.image, sample.status()});
      ++counts.failed;
    }
    progress.show(counts);
  }
  return made;
}

// Puts a teacher's answers into the samples; what has none becomes a failure.
Status take_answers(const BuildCommand& command, bool seven_sections, Made& made) {
  FASTVLM_ASSIGN(auto answers, ask_teacher_for(command.teacher, seven_sections, command.output.out,
                                               made.chosen, made.samples, command.quiet));
  Made answered;
  answered.failures = std::move(made.failures);
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].ok()) {
      answered.failures.push_back({made.chosen[i].image, answers[i].status()});
      continue;
    }
    made.samples[i].gpt = std::move(*answers[i]);
    answered.samples.push_back(std::move(made.samples[i]));
    answered.chosen.push_back(std::move(made.chosen[i]));
  }
  made = std::move(answered);
  return {};
}

Result<DatasetSettings> settings_of(const BuildCommand& command, const SplitShares& shares,
                                    const Tagger& tagger, const std::string& prompt) {
  FASTVLM_ASSIGN(std::string annotations, sha256_of_file(command.annotations));
  DatasetSettings settings = {
      {"teacher", command.teacher.is_coco() ? "coco" : command.teacher.model},
      {"tags", tagger.description()},
      {"prompt_sha256", sha256_hex(prompt)},
      {"seed", cat(command.output.seed)},
      {"split", shares_text(shares)},
      {"limit", command.limit == 0 ? "none" : cat(command.limit)},
      {"annotations_sha256", std::move(annotations)}};
  if (!command.captions.empty()) {
    FASTVLM_ASSIGN(std::string captions, sha256_of_file(command.captions));
    settings.emplace_back("captions_sha256", std::move(captions));
  }
  return settings;
}

void note_left_out(const PictureChoice& choice) {
  if (choice.missing > 0)
    note(cat(choice.missing, " pictures of the annotations are not in the folder"));
  if (choice.without_captions > 0) note(cat(choice.without_captions, " pictures have no captions"));
  if (choice.doubled > 0) note(cat(choice.doubled, " pictures are the same file as another"));
}

Exit BuildCommand::run() const {
  if (const Status bad = teacher.check(); !bad.ok()) return report(bad);
  if (teacher.is_coco() && captions.empty()) {
    return report(error(Code::kUsage, "--teacher coco: expected --captions FILE",
                        "give COCO's captions_*.json that belongs to the annotations"));
  }
  const auto shares = parse_shares(output.split);
  if (!shares.ok()) return report(shares.status());
  const auto text = prompt.read(seven_point_prompt());
  if (!text.ok()) return report(text.status());
  const auto pool = machine.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto tagger = Tagger::make(*this, **pool);
  if (!tagger.ok()) return report(tagger.status());
  const auto settings = settings_of(*this, *shares, *tagger, *text);
  if (!settings.ok()) return report(settings.status());
  const auto pictures = read_coco(annotations, captions);
  if (!pictures.ok()) return report(pictures.status());
  const auto choice =
      choose_pictures(*pictures, {images, limit > 0 ? std::optional(limit) : std::nullopt,
                                  output.seed, *shares, teacher.is_coco()});
  if (!choice.ok()) return report(choice.status());
  if (!quiet) note_left_out(*choice);
  const Status ready = prepare_output(output, {annotations, captions});
  if (!ready.ok()) return report(ready);
  stop_politely();
  auto made = make_samples(*this, choice->pictures, *tagger, *text);
  if (!made.ok()) return report(made.status());
  if (!teacher.is_coco()) {
    const Status status = take_answers(*this, *text == seven_point_prompt(), *made);
    if (!status.ok()) return report(status);
  }
  return finish_dataset(output, made->by_split(), *settings, made->failures,
                        {{"missing", choice->missing},
                         {"without_captions", choice->without_captions},
                         {"doubled", choice->doubled}});
}

}  // namespace

void add_dataset_build(CLI::App& dataset, Command& chosen) {
  auto command = std::make_shared<BuildCommand>();
  CLI::App* app = dataset.add_subcommand(
      "build", "Conversations from COCO's pictures and annotations, with tags and seven sections");
  app->add_option("--images", command->images, "Folder of the pictures")->required();
  app->add_option("--annotations", command->annotations, "COCO's instances_*.json")->required();
  app->add_option("--captions", command->captions, "COCO's captions_*.json");
  app->add_option("--limit", command->limit,
                  "At most this many pictures, chosen by the seed [all]");
  app->add_option("--tags", command->tags, "Object tags in the questions")
      ->check(CLI::IsMember({"annotations", "detector", "none"}))
      ->capture_default_str();
  app->add_option("--detector", command->detector,
                  "YOLO weights for --tags detector: file or pulled name [yolo11n, if pulled]");
  command->teacher.add_to(*app);
  command->prompt.add_prompt_to(*app);
  command->output.add_to(*app);
  app->add_flag("--quiet", command->quiet, "No progress and no notes");
  command->machine.add_machine_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
