// SPDX-License-Identifier: Apache-2.0
// fastvlm detect IMAGE…|DIR
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "caption/caption_json.h"
#include "caption/picture_list.h"
#include "cli/commands.h"
#include "cli/detection_json.h"
#include "cli/detection_scores.h"
#include "cli/drawn_pictures.h"
#include "cli/find_detector.h"
#include "cli/flags.h"
#include "cli/outputs.h"
#include "formats/atomic_file.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct DetectCommand {
  std::vector<std::string> places;  // as given: pictures and folders
  std::string weights;
  std::string classes;
  std::string yolo_folder;
  std::string drawing_folder;
  std::string instances;  // --val
  CLI::Option* confidence = nullptr;
  bool no_exif = false;
  bool as_json = false;
  bool as_coco = false;
  DetectOptions options;
  ModelFlags machine;  // --precision, --threads, --isa

  std::vector<std::string> pictures;
  std::vector<Status> without_pictures;  // folders that are empty or cannot be listed
  Json coco = Json::array();
  std::optional<DetectionScores> scores;
  bool output_failed = false;

  Exit run();
  Status prepare_pictures();
  Status check_files(const fs::path& detector) const;
  Status choose_classes(const Detector& detector);
  Exit detect_all(const LoadedDetector& loaded, ThreadPool& pool);
  Status detect_one(const LoadedDetector& loaded, const std::string& path, ThreadPool& pool);
  Status put(std::string_view text) {
    Status written = print(text);
    output_failed = output_failed || !written.ok();
    return written;
  }
};

// The pictures of a folder by name, without hidden ones (other systems leave "._a.jpg" beside
// a.jpg); folders inside it are not entered.
Result<std::vector<std::string>> pictures_in(const std::string& folder) {
  std::error_code failed;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const bool hidden = entry.path().filename().string().starts_with('.');
    if (!hidden && has_picture_name(entry.path())) found.push_back(entry.path().string());
  }
  if (failed) {
    return error(Code::kIo, cat(folder, ": cannot list the folder: ", failed.message()),
                 "check its permissions");
  }
  if (found.empty()) {
    return error(Code::kNotFound, cat(folder, ": no pictures in this folder"),
                 "pictures are told by .jpg, .jpeg, .png, .webp, .bmp, .heic, .heif or .avif; "
                 "folders inside it are not entered");
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string as_text(const std::vector<Detection>& detections) {
  std::ostringstream out;
  for (const Detection& d : detections) {
    out << std::left << std::setw(16) << printable(d.label) << std::fixed << std::right
        << std::setprecision(3) << d.confidence;
    for (const float side : {d.box.x0, d.box.y0, d.box.x1, d.box.y1}) {
      out << std::setprecision(0) << std::setw(7) << side;
    }
    out << '\n';
  }
  return detections.empty() ? "nothing found\n" : out.str();
}

// COCO's number of an image, when its name is one; else the name.
Json image_id(const std::string& path) {
  const std::string id = coco_id(path);
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (failed == std::errc{} && end == id.data() + id.size() && number >= 0) return number;
  return id;
}

// The number that COCO has for a class, when these are COCO's; else the class id.
int category_id(const Detector& detector, int class_id) {
  return detector.names() == coco_names() ? coco_category(class_id) : class_id;
}

Json coco_json(const Detector& detector, const std::string& path, const Detection& d) {
  return {{"image_id", image_id(path)},
          {"category_id", category_id(detector, d.class_id)},
          {"bbox",
           {rounded(d.box.x0, 2), rounded(d.box.y0, 2), rounded(d.box.x1 - d.box.x0, 2),
            rounded(d.box.y1 - d.box.y0, 2)}},
          {"score", rounded(d.confidence, 5)}};
}

fs::path yolo_name(const std::string& picture) {
  return fs::path(picture).stem().concat(".txt");
}

// "class center_x center_y width height confidence", in fractions of the picture.
std::string yolo_text(const std::vector<Detection>& detections, double width, double height) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(6);
  for (const Detection& d : detections) {
    out << d.class_id << ' ' << (double{d.box.x0} + double{d.box.x1}) / 2 / width << ' '
        << (double{d.box.y0} + double{d.box.y1}) / 2 / height << ' '
        << (double{d.box.x1} - double{d.box.x0}) / width << ' '
        << (double{d.box.y1} - double{d.box.y0}) / height << ' ' << d.confidence << '\n';
  }
  return out.str();
}

std::string dumped(const Json& value, bool pretty) {
  return value.dump(pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status DetectCommand::prepare_pictures() {
  for (const std::string& place : places) {
    std::error_code ignored;
    if (!fs::is_directory(place, ignored)) {
      pictures.push_back(place);
      continue;
    }
    const auto found = pictures_in(place);
    if (!found.ok()) {
      without_pictures.push_back(found.status());
      continue;
    }
    pictures.insert(pictures.end(), found->begin(), found->end());
  }
  if (places.size() == 1 && !without_pictures.empty()) return without_pictures.front();
  if (places.empty()) {
    return error(Code::kUsage, "no image given, so there is nothing to look at",
                 "name one or more pictures, or a folder of them");
  }
  if (as_coco) FASTVLM_RETURN_IF_ERROR(check_coco_ids("--coco", pictures));
  if (!instances.empty()) FASTVLM_RETURN_IF_ERROR(check_coco_ids("--val", pictures));
  if (!drawing_folder.empty()) FASTVLM_RETURN_IF_ERROR(check_drawing(drawing_folder, pictures));
  if (yolo_folder.empty()) return {};
  return check_folder_of_outputs("--yolo-txt", yolo_folder, pictures, yolo_name);
}

// Through a link an output may be a picture, or the weights.
Status DetectCommand::check_files(const fs::path& detector) const {
  std::vector<Output> outputs;
  for (const std::string& picture : pictures) {
    if (!drawing_folder.empty()) {
      outputs.push_back({"--draw", fs::path(drawing_folder) / drawn_name(picture)});
    }
    if (!yolo_folder.empty()) {
      outputs.push_back({"--yolo-txt", fs::path(yolo_folder) / yolo_name(picture)});
    }
  }
  std::vector<fs::path> inputs(pictures.begin(), pictures.end());
  inputs.push_back(detector);
  inputs.emplace_back(instances);
  return check_outputs(outputs, inputs);
}

Status DetectCommand::choose_classes(const Detector& detector) {
  if (classes.empty()) return {};
  for (const std::string& part : split(classes, ',')) {
    const std::string_view name = trimmed(part);
    const int id = detector.class_id(name);
    if (id < 0) {
      return error(
          Code::kUsage, cat("--classes: ", detector.kind(), " knows no \"", name, "\""),
          cat("names are separated by commas; the first it knows: ", detector.names().front()));
    }
    options.classes.push_back(id);
  }
  return {};
}

Status DetectCommand::detect_one(const LoadedDetector& loaded, const std::string& path,
                                 ThreadPool& pool) {
  DecodeOptions decoding;
  decoding.apply_exif = !no_exif;
  FASTVLM_ASSIGN(Image image, load_image(path, decoding));
  FASTVLM_ASSIGN(const DetectorInput input, detector_input(image, options));
  if (drawing_folder.empty()) image = {};  // its memory is for the network
  const auto found = loaded.detector.detect(input, options, pool);
  if (!found.ok()) return about(path, found.status());
  const std::vector<Detection>& detections = *found;
  if (!drawing_folder.empty()) {
    FASTVLM_RETURN_IF_ERROR(write_drawn(drawing_folder, path, std::move(image), detections));
  }
  if (scores) return scores->add(path, detections);
  if (!yolo_folder.empty()) {
    const fs::path file = fs::path(yolo_folder) / yolo_name(path);
    return write_file_atomically(file, yolo_text(detections, input.width, input.height));
  }
  if (as_coco) {
    for (const Detection& d : detections) coco.push_back(coco_json(loaded.detector, path, d));
    return {};
  }
  const std::string name = shown_name(path);
  if (!as_json) {
    const bool heading = pictures.size() > 1;
    const bool first = path == pictures.front();
    return put(cat(heading ? cat(first ? "" : "\n", "== ", printable(name), " ==\n") : "",
                   as_text(detections)));
  }
  const Json object = detections_json(detections, input, loaded, options, name);
  return put(dumped(object, pictures.size() == 1));
}

Exit DetectCommand::detect_all(const LoadedDetector& loaded, ThreadPool& pool) {
  size_t failed = without_pictures.size();
  const size_t all = failed + pictures.size();
  Exit last = kDone;
  for (const Status& status : without_pictures) last = report(status);
  for (const std::string& path : pictures) {
    const Status status = detect_one(loaded, path, pool);
    if (status.ok()) continue;
    ++failed;
    last = report(status);
    if (output_failed) return last;
  }
  if (as_coco && failed < all) {
    if (const Status written = put(dumped(coco, false)); !written.ok()) return report(written);
  }
  if (scores && failed < all) {
    const Status written = put(as_json ? dumped(scores->json(), true) : scores->text());
    if (!written.ok()) return report(written);
  }
  if (failed == 0) return kDone;
  return failed == all ? last : kSomeFailed;
}

Exit DetectCommand::run() {
  if (const Status bad = prepare_pictures(); !bad.ok()) return report(bad);
  if (const Status bad = check(options); !bad.ok()) return report(bad);
  if (!instances.empty() && !classes.empty()) {
    return report(error(Code::kUsage,
                        "--val: the score is of all classes, --classes leaves some out",
                        "leave one of them out"));
  }
  const auto path = find_detector(weights, "--weights");
  if (!path.ok()) return report(path.status());
  if (const Status bad = check_files(*path); !bad.ok()) return report(bad);
  const auto pool = machine.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto loaded = load_detector(*path, machine.arithmetic(), **pool);
  if (!loaded.ok()) return report(loaded.status());
  if (const Status bad = choose_classes(loaded->detector); !bad.ok()) return report(bad);
  if (!instances.empty()) {
    // Average precision looks at unlikely boxes too; this is Ultralytics' setting for it.
    if (confidence->count() == 0) options.confidence = 0.001F;
    auto opened = DetectionScores::open(instances, loaded->detector);
    if (!opened.ok()) return report(opened.status());
    scores = std::move(*opened);
    if (scores->left_out() > 0) {
      warn(cat(instances, ": ", scores->left_out(),
               " objects whose boxes have no area are left out of the score"));
    }
  }
  return detect_all(*loaded, **pool);
}

}  // namespace

void add_detect(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<DetectCommand>();
  CLI::App* app = program.add_subcommand("detect", "Find objects in pictures with YOLO");
  app->add_option("images", command->places, "Picture files, or folders of them")
      ->option_text("IMAGE|DIR...");
  app->add_option("--weights", command->weights,
                  "YOLO11 or YOLOv8 detector: .pt, .onnx, .safetensors or a pulled name [yolo11n, "
                  "if pulled]");
  DetectOptions& options = command->options;
  command->confidence = app->add_option("--conf", options.confidence, "Least confidence")
                            ->check(CLI::Range(0.0, 1.0))
                            ->capture_default_str();
  app->add_option("--iou", options.iou, "Boxes of a class that overlap more are one object")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--size", options.size, "Longer side that the network sees, in pixels")
      ->capture_default_str();
  app->add_flag("--square", options.square, "Pad to a square instead of to multiples of 32");
  app->add_option("--classes", command->classes, "Only these, as \"person,dog\" [all]")
      ->check(is_not_empty());
  app->add_flag("--no-exif", command->no_exif,
                "Leave the picture as stored, do not turn it upright");
  CLI::Option* json =
      app->add_flag("--json", command->as_json, "One JSON object a picture, boxes in pixels");
  CLI::Option* coco =
      app->add_flag("--coco", command->as_coco, "One list of results as COCO's evaluation takes it")
          ->excludes(json);
  app->add_option("--yolo-txt", command->yolo_folder,
                  "Write NAME.txt with YOLO's lines for each picture into this folder")
      ->excludes(json)
      ->excludes(coco);
  app->add_option("--draw", command->drawing_folder,
                  "Write the pictures with boxes and labels into this folder as well")
      ->check(is_not_empty());
  app->add_option("--val", command->instances,
                  "Instead of what is found print COCO's mAP against this instances_*.json; --conf "
                  "is 0.001 then unless given")
      ->excludes(coco)
      ->excludes("--yolo-txt")
      ->check(is_not_empty());
  command->machine.add_precision_to(*app);
  command->machine.add_machine_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
