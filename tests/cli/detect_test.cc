// SPDX-License-Identifier: Apache-2.0
// fastvlm detect, and caption --tags auto, with a detector of a few channels and made-up weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "formats/safetensors.h"
#include "support/json_schema.h"
#include "support/tiny_detector.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const fs::path kPicture = test::golden("preprocess") / "tiny.png";

class Detect : public testing::Test {
 protected:
  Detect() {
    test::TinyDetector tiny(true, false, 80);
    std::vector<TensorToWrite> tensors;
    for (const auto& [name, tensor] : tiny.weights().tensors) {
      tensors.push_back({name, DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))});
    }
    EXPECT_TRUE(write_safetensors(weights_, tensors).ok());
    fs::copy_file(kPicture, folder_ / "a.png");
    fs::create_directories(cache_ / "fastvlm" / "models");
  }

  // In the folder, with nothing pulled.
  test::Run fastvlm(std::vector<std::string> arguments) {
    return test::fastvlm(std::move(arguments),
                         {.environment = {{"XDG_CACHE_HOME", cache_}}, .folder = folder_.path()});
  }
  test::Run detect(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"detect", "--size", "64", "--precision", "fp32"});
    arguments.insert(arguments.end(), {"--weights", weights_});
    return fastvlm(std::move(arguments));
  }
  void pull() {
    const fs::path place = cache_ / "fastvlm" / "models" / "yolo11n";
    fs::create_directories(place);
    fs::copy_file(weights_, place / "yolo11n.safetensors");
  }

  test::TemporaryFolder folder_;
  fs::path weights_ = folder_ / "tiny.safetensors";
  fs::path cache_ = folder_ / "cache";
};

void expect_error(const test::Run& run, int code, const std::string& said) {
  EXPECT_EQ(run.code, code) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, AllOf(HasSubstr(said), HasSubstr("\nhint: ")));
}

TEST_F(Detect, Json) {
  const test::Run run = detect({"a.png", "--json", "--conf", "0.3"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json found = json::parse(run.out);
  EXPECT_EQ(found["image"], "a.png");
  ASSERT_FALSE(found["detections"].empty());
  double last = 1.0;
  for (const json& d : found["detections"]) {
    EXPECT_LE(d["confidence"].get<double>(), last);
    last = d["confidence"].get<double>();
    EXPECT_GE(last, 0.3);
    EXPECT_TRUE(d["label"].is_string());
    EXPECT_LE(d["box_xyxy"][2].get<double>(), found["width"].get<double>());
    EXPECT_LE(d["box_xyxy"][3].get<double>(), found["height"].get<double>());
  }
  EXPECT_EQ(found["provenance"]["detector"], "YOLO11");
  EXPECT_EQ(found["provenance"]["weights"], "tiny.safetensors");
  EXPECT_EQ(found["provenance"]["precision"], "fp32");
  EXPECT_TRUE(found["provenance"]["classes"].is_null());
  const json some = json::parse(detect({"a.png", "--json", "--classes", "dog, person"}).out);
  EXPECT_EQ(some["provenance"]["classes"], json({"dog", "person"}));
  EXPECT_EQ(detect({"a.png", "--json", "--conf", "0.3", "--threads", "1"}).out, run.out);
}

TEST_F(Detect, FoldersAndOtherFormats) {
  fs::create_directory(folder_ / "pictures");
  fs::copy_file(kPicture, folder_ / "pictures" / "000000000042.png");
  fs::copy_file(kPicture, folder_ / "pictures" / "other.png");
  std::ofstream(folder_ / "pictures" / "notes.txt") << "no picture";
  const test::Run text = detect({"pictures"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("== pictures/000000000042.png ==\n"),
                              HasSubstr("\n\n== pictures/other.png ==\n")));
  const test::Run coco = detect({"pictures", "--coco"});
  ASSERT_EQ(coco.code, 0) << coco.err;
  const json results = json::parse(coco.out);
  ASSERT_FALSE(results.empty());
  EXPECT_EQ(results.front()["image_id"], 42);
  EXPECT_EQ(results.back()["image_id"], "other");
  EXPECT_EQ(results.front()["bbox"].size(), 4U);
  fs::create_directory(folder_ / "lines");
  const test::Run yolo = detect({"pictures", "--yolo-txt", "lines"});
  EXPECT_EQ(yolo.code, 0) << yolo.err;
  EXPECT_EQ(yolo.out, "");
  const auto lines = read_text_file(folder_ / "lines" / "other.txt");
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ(std::count(lines->begin(), lines->end(), '\n') * 5,
            std::count(lines->begin(), lines->end(), ' '));
}

TEST_F(Detect, WrongUse) {
  expect_error(detect({}), 1, "no image given");
  expect_error(detect({"a.png", "--classes", "person, dragon"}), 1, "knows no \"dragon\"");
  expect_error(detect({"none.png"}), 2, "none.png");
  expect_error(detect({"a.png", "a.png", "--yolo-txt", "cache"}), 1, "two pictures would write");
  expect_error(detect({"a.png", "--yolo-txt", "nowhere"}), 2, "no such folder");
  expect_error(detect({"a.png", "--json", "--coco"}), 1, "excludes");
  expect_error(fastvlm({"detect", "a.png", "--size", "100", "--weights", weights_}), 1,
               "multiple of 32");
  expect_error(fastvlm({"detect", "a.png"}), 2, "no detector: --weights is not given");
  expect_error(fastvlm({"detect", "a.png", "--weights", "none.pt"}), 2, "no such file");
  std::ofstream(folder_ / "bad.safetensors") << "not weights at all";
  expect_error(fastvlm({"detect", "a.png", "--weights", "bad.safetensors"}), 2, "bad.safetensors");
  std::ofstream(folder_ / "empty.png") << "";
  const test::Run some = detect({"a.png", "empty.png"});
  EXPECT_EQ(some.code, 3);
  EXPECT_THAT(some.err, HasSubstr("empty.png"));
}

TEST_F(Detect, EmptyFoldersAreCountedAsFailures) {
  fs::create_directory(folder_ / "empty");
  expect_error(detect({"empty"}), 2, "empty: no pictures in this folder");
  const test::Run some = detect({"empty", "a.png"});
  EXPECT_EQ(some.code, 3);
  EXPECT_THAT(some.err, HasSubstr("empty: no pictures in this folder"));
  EXPECT_EQ(some.out, detect({"a.png"}).out);
  EXPECT_EQ(json::parse(detect({"a.png", "empty", "--coco"}).out),
            json::parse(detect({"a.png", "--coco"}).out));
  expect_error(detect({"empty", "empty"}), 2, "empty: no pictures in this folder");
}

TEST_F(Detect, PicturesOfOneIdAreRefused) {
  for (const char* folder : {"one", "two"}) {
    fs::create_directory(folder_ / folder);
    fs::copy_file(kPicture, folder_ / folder / "a.png");
  }
  fs::copy_file(kPicture, folder_ / "one" / "7.png");
  fs::copy_file(kPicture, folder_ / "two" / "0007.png");
  expect_error(detect({"one/a.png", "two/a.png", "--coco"}), 1,
               "--coco: one/a.png and two/a.png have one image id, a");
  expect_error(detect({"one/7.png", "two/0007.png", "--coco"}), 1, "have one image id, 7");
  expect_error(detect({"one/7.png", "two/0007.png", "--val", "none.json"}), 1,
               "--val: one/7.png and two/0007.png have one image id, 7");
  EXPECT_EQ(detect({"one/a.png", "two/a.png"}).code, 0);
}

TEST_F(Detect, NumbersThatAreNoneNameBothFiles) {
  test::TinyDetector tiny(true, false, 80);
  tiny.weights().tensors["model.0.conv.bias"].values[0] = std::nanf("");
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : tiny.weights().tensors) {
    tensors.push_back({name, DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))});
  }
  ASSERT_TRUE(write_safetensors(weights_, tensors).ok());
  expect_error(detect({"a.png"}), 2, "a.png: " + weights_.string() + ": the output of YOLO11 is");
  expect_error(fastvlm({"caption", "a.png", "--model", test::demo_model(), "--detector", weights_}),
               2, "a.png: " + weights_.string() + ": the output of YOLO11 is");
}

TEST_F(Detect, PulledWeightsAreFound) {
  pull();
  const test::Run run = fastvlm({"detect", "a.png", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(json::parse(run.out)["provenance"]["weights"], "yolo11n.safetensors");
  EXPECT_EQ(fastvlm({"detect", "a.png", "--json", "--weights", "yolo11n"}).out, run.out);
}

TEST_F(Detect, TagsOfACaption) {
  const std::vector<std::string> base = {
      "caption", "a.png",        "--model", test::demo_model(), "--json",
      "--free",  "--max-tokens", "1",       "--tag-confidence", "0.3"};
  const auto caption = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return fastvlm(std::move(arguments));
  };
  const test::Run without = caption({});
  ASSERT_EQ(without.code, 0) << without.err;
  EXPECT_FALSE(json::parse(without.out)["provenance"].contains("detector"));
  const test::Run asked = caption({"--tags", "auto"});
  EXPECT_EQ(asked.out, without.out);
  EXPECT_THAT(asked.err, HasSubstr("no detector, so no tags"));

  const test::Run run = caption({"--tags", "auto", "--detector", weights_});
  ASSERT_EQ(run.code, 0) << run.err;
  const json tagged = json::parse(run.out);
  ASSERT_FALSE(tagged["tags"].empty());
  EXPECT_TRUE(tagged["tags"][0].contains("position"));
  const auto schema = read_text_file(fs::path(FASTVLM_SOURCE_DIR) / "docs" / "caption.schema.json");
  ASSERT_TRUE(schema.ok());
  EXPECT_THAT(test::schema_complaints(json::parse(*schema), tagged), testing::IsEmpty());
  const json& detector = tagged["provenance"]["detector"];
  EXPECT_EQ(detector["name"], "YOLO11");
  EXPECT_EQ(detector["weights"], "tiny.safetensors");
  EXPECT_EQ(detector["iou"], 0.5);
  EXPECT_EQ(detector["counts"], false);
  const json counted =
      json::parse(caption({"--tags", "auto", "--detector", weights_, "--tag-counts"}).out);
  EXPECT_EQ(counted["provenance"]["detector"]["counts"], true);
  EXPECT_THAT(test::schema_complaints(json::parse(*schema), counted), testing::IsEmpty());
  EXPECT_NE(tagged["provenance"]["prompt_sha256"],
            json::parse(without.out)["provenance"]["prompt_sha256"]);
  EXPECT_EQ(caption({"--detector", weights_, "--threads", "1"}).out, run.out);
  EXPECT_EQ(caption({"--tags", "none"}).out, without.out);
  expect_error(caption({"--tags", "none", "--detector", weights_}), 1, "does not use it");

  pull();
  EXPECT_TRUE(json::parse(caption({}).out)["provenance"].contains("detector"));
  EXPECT_EQ(caption({"--tags", "none"}).out, without.out);
  expect_error(fastvlm({"predict", "--image-file", "a.png", "--tags", "auto"}), 1,
               "runs no detector");
}

}  // namespace
}  // namespace fastvlm
