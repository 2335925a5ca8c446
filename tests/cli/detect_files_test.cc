// SPDX-License-Identifier: Apache-2.0
// fastvlm detect --draw and --val. The detector is not part of the repository.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "image/decode.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using test::shared;
using testing::HasSubstr;

class DetectFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(weights_) || !std::filesystem::exists(pictures_)) GTEST_SKIP();
  }
  test::Run detect(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"detect", "--weights", weights_, "--no-exif"});
    return test::fastvlm(arguments, {.folder = folder_.path()});
  }

  test::TemporaryFolder folder_;
  std::string weights_ = shared("weights/yolo11n/yolo11n_merged_fused.safetensors");
  std::string pictures_ = shared("images/coco_val2017");
  std::string instances_ = shared("images/coco_val2017/instances_val2017_subset.json");
};

TEST_F(DetectFilesTest, ScoresAgainstInstances) {
  const test::Run run = detect({pictures_, "--val", instances_, "--precision", "fp32", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json score = json::parse(run.out);
  EXPECT_EQ(score["images"], 24);
  EXPECT_EQ(score["objects"], 195);
  // What pycocotools computes of `detect --coco --conf 0.001` (docs/ACCURACY.md).
  EXPECT_NEAR(score["map_50_95"], 0.4183, 0.001);
  EXPECT_NEAR(score["map_50"], 0.5814, 0.001);
  const test::Run text = detect({pictures_, "--val", instances_});
  EXPECT_THAT(text.out, HasSubstr("24 images, 195 objects of 44 kinds\nmAP at IoU 0.50 to 0.95"));
}

TEST_F(DetectFilesTest, RefusesAnnotationsOfSomethingElse) {
  const std::string picture = pictures_ + "/000000005001.jpg";
  std::ofstream(folder_ / "none.json")
      << R"({"images": [{"id": 5001}], "annotations": [{"image_id": 5001, "category_id": 1,)"
      << R"( "bbox": [0, 0, 9, 9]}], "categories": [{"id": 1, "name": "unicorn"}]})";
  const test::Run none = detect({picture, "--val", "none.json"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("none.json: annotates no object of the 80 classes of YOLO11n"));
  std::ofstream(folder_ / "other.json")
      << R"({"images": [{"id": 7}], "annotations": [{"image_id": 7, "category_id": 1,)"
      << R"( "bbox": [0, 0, 9, 9]}], "categories": [{"id": 1, "name": "dog"}]})";
  const test::Run other = detect({picture, "--val", "other.json"});
  EXPECT_EQ(other.code, 2);
  EXPECT_EQ(other.out, "");
  EXPECT_THAT(other.err, HasSubstr("no image `5001` in other.json"));
  EXPECT_EQ(detect({picture, "--val", "other.json", "--coco"}).code, 1);
}

TEST_F(DetectFilesTest, DoubledAndEmptyAnnotations) {
  const std::string picture = pictures_ + "/000000005001.jpg";
  const auto score = [&](const std::string& annotations) {
    std::ofstream(folder_ / "i.json")
        << R"({"images": [{"id": 5001}], "categories": [{"id": 1, "name": "person"}],)"
        << R"("annotations": [{"id": 1, "image_id": 5001, "category_id": 1, "bbox": [0, 0, 9, 9]},)"
        << annotations << "]}";
    return detect({picture, "--val", "i.json", "--json"});
  };
  const test::Run doubled =
      score(R"({"id": 1, "image_id": 5001, "category_id": 1, "bbox": [0, 0, 5, 5]})");
  EXPECT_EQ(doubled.code, 2);
  EXPECT_THAT(doubled.err, HasSubstr("i.json: annotation 1: has the id 1 of annotation 0"));
  const test::Run flat =
      score(R"({"id": 2, "image_id": 5001, "category_id": 1, "bbox": [3, 3, 0, 5]})");
  ASSERT_EQ(flat.code, 0) << flat.err;
  EXPECT_THAT(flat.err, HasSubstr("i.json: 1 objects whose boxes have no area are left out"));
  EXPECT_EQ(json::parse(flat.out)["objects"], 1);
}

TEST_F(DetectFilesTest, DrawsIntoAnotherFolder) {
  const std::string picture = pictures_ + "/000000005001.jpg";
  std::filesystem::create_directory(folder_ / "drawn");
  const test::Run run =
      detect({picture, shared("images/photos/coffee.png"), "--draw", "drawn", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("\"person\""));
  const auto before = load_image(picture);
  const auto drawn = load_image(folder_ / "drawn/000000005001.jpg");
  ASSERT_TRUE(before.ok() && drawn.ok());
  EXPECT_EQ(drawn->width, before->width);
  EXPECT_EQ(drawn->height, before->height);
  size_t changed = 0;
  for (size_t i = 0; i < drawn->rgb.size(); ++i) {
    changed += std::abs(int{drawn->rgb[i]} - int{before->rgb[i]}) > 64 ? 1 : 0;
  }
  EXPECT_GT(changed, drawn->rgb.size() / 100);
  EXPECT_TRUE(load_image(folder_ / "drawn/coffee.png").ok());
}

TEST_F(DetectFilesTest, NeverDrawsOverPictures) {
  const std::string picture = pictures_ + "/000000005001.jpg";
  std::filesystem::copy_file(picture, folder_ / "a.jpg");
  std::filesystem::create_directory(folder_ / "sub");
  std::filesystem::copy_file(picture, folder_ / "sub/a.jpeg");
  const test::Run same = detect({"a.jpg", "--draw", "."});
  EXPECT_EQ(same.code, 1);
  EXPECT_THAT(same.err, HasSubstr("--draw .: holds a.jpg itself"));
  std::filesystem::create_directory(folder_ / "drawn");
  const test::Run twice = detect({"a.jpg", "sub/a.jpeg", "--draw", "drawn"});
  EXPECT_EQ(twice.code, 1);
  EXPECT_THAT(twice.err, HasSubstr("two pictures would write a.jpg"));
  EXPECT_THAT(detect({"a.jpg", "--draw", "nowhere"}).err, HasSubstr("no such folder"));
}

}  // namespace
}  // namespace fastvlm
