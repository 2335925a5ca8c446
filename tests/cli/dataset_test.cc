// SPDX-License-Identifier: Apache-2.0
// fastvlm dataset, as people and scripts use it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "cli/program.h"
#include "support/chat_server.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const fs::path kDemo = test::demo_model();

std::string text(const fs::path& path) {
  const auto read = read_text_file(path);
  return read.ok() ? *read : "";
}

// Six pictures of COCO's form: annotations and captions.
class DatasetCommand : public testing::Test {
 protected:
  DatasetCommand() {
    fs::create_directory(folder_ / "images");
    json images = json::array();
    json captions = json::array();
    json objects = json::array();
    for (int i = 0; i < 6; ++i) {
      const std::string name = cat(i, ".png");
      // The same picture six times: what follows its end makes the files differ.
      std::ofstream(folder_ / "images" / name)
          << text(test::golden("preprocess/tiny.png")) << "tail " << i;
      images.push_back({{"id", i}, {"file_name", name}, {"width", 100}, {"height", 80}});
      captions.push_back(
          {{"id", i}, {"image_id", i}, {"caption", cat("A dog sitting on a road number ", i)}});
      objects.push_back({{"id", i},
                         {"image_id", i},
                         {"category_id", 1},
                         {"bbox", {10, 10, 30, 30}},
                         {"area", 900},
                         {"iscrowd", 0}});
    }
    std::ofstream(folder_ / "captions.json") << json{{"images", images}, {"annotations", captions}};
    std::ofstream(folder_ / "instances.json")
        << json{{"images", images},
                {"annotations", objects},
                {"categories", {{{"id", 1}, {"name", "dog"}, {"supercategory", "animal"}}}}};
  }
  test::Run build(const std::string& out, std::vector<std::string> more = {},
                  test::RunOptions options = {}) {
    std::vector<std::string> arguments = {"dataset",       "build",
                                          "--images",      folder_ / "images",
                                          "--annotations", folder_ / "instances.json",
                                          "--captions",    folder_ / "captions.json",
                                          "--out",         folder_ / out,
                                          "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::fastvlm(arguments, std::move(options));
  }
  test::TemporaryFolder folder_;
};

TEST_F(DatasetCommand, BuildsChecksAndDescribes) {
  const test::Run run = build("out", {"--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(json::parse(run.out)["samples"], (json{{"train", 4}, {"val", 1}, {"test", 1}}));
  const json first = json::parse(text(folder_ / "out/train.json"))[0];
  EXPECT_THAT(first["conversations"][0]["value"].get<std::string>(),
              testing::StartsWith("<image>\nThe following objects were detected in the scene with "
                                  "bounding boxes:\n• dog (left)\n\nYou are a vision-language"));
  ASSERT_EQ(build("again").code, 0);
  for (const char* file :
       {"train.json", "train.jsonl", "val.jsonl", "test.jsonl", "dataset.json"}) {
    EXPECT_EQ(text(folder_ / "out" / file), text(folder_ / "again" / file)) << file;
  }
  ASSERT_EQ(build("other", {"--seed", "1"}).code, 0);
  EXPECT_NE(text(folder_ / "out/train.jsonl"), text(folder_ / "other/train.jsonl"));

  const test::Run check =
      test::fastvlm({"dataset", "check", folder_ / "out", "--images", folder_ / "images", "--model",
                     kDemo, "--max-length", "4096", "--quiet"});
  EXPECT_EQ(check.code, 0) << check.out << check.err;
  EXPECT_THAT(check.out,
              AllOf(HasSubstr("0 of 6 samples have problems"),
                    HasSubstr("6 answers with all seven"), HasSubstr("tokens of a sample")));
  const test::Run stats = test::fastvlm({"dataset", "stats", folder_ / "out", "--json"});
  EXPECT_EQ(json::parse(stats.out)["tags"]["mean"], 1.0);
}

TEST_F(DatasetCommand, CheckNamesFileAndLineAndExitCodesSayHowMuchIsBad) {
  ASSERT_EQ(build("out").code, 0);
  std::ofstream(folder_ / "out/train.jsonl", std::ios::app) << R"({"id":"x","image":"no.png"})"
                                                            << "\n";
  const test::Run some = test::fastvlm(
      {"dataset", "check", folder_ / "out", "--images", folder_ / "images", "--quiet"});
  EXPECT_EQ(some.code, 3);
  EXPECT_THAT(some.out, AllOf(HasSubstr("train.jsonl:5: no `conversations`"),
                              HasSubstr("train.jsonl:5: image no.png: no such file")));
  const test::Run as_json = test::fastvlm(
      {"dataset", "check", folder_ / "out", "--images", folder_ / "images", "--quiet", "--json"});
  EXPECT_EQ(json::parse(as_json.out)["problems"][0]["line"], 5);
  std::ofstream(folder_ / "bad.jsonl") << "[]\n{}\n";
  EXPECT_EQ(test::fastvlm({"dataset", "check", folder_ / "bad.jsonl"}).code, 2);
  EXPECT_EQ(test::fastvlm({"dataset", "check", folder_ / "none.jsonl"}).code, 2);
  EXPECT_EQ(test::fastvlm({"dataset", "check"}).code, 1);
}

TEST_F(DatasetCommand, ADamagedPictureFailsAlone) {
  std::ofstream(folder_ / "images/2.png") << "no picture";
  const test::Run run = build("out");
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("failed: "));
  EXPECT_THAT(run.out, HasSubstr("5 samples"));
}

TEST_F(DatasetCommand, RefusesWhatMakesNoSense) {
  EXPECT_THAT(build("out", {"--split", "1,1"}).err, HasSubstr("hint: each from 0 to 1"));
  EXPECT_EQ(build("out", {"--teacher", "gpt"}).code, 1);
  EXPECT_THAT(build("out", {"--teacher", "https://h/v1"}).err, HasSubstr("--teacher-model"));
  EXPECT_EQ(build("out", {"--teacher", "http://192.0.2.1/v1", "--teacher-model", "m"}).code, 1);
  EXPECT_EQ(build("out", {"--detector", "x.pt"}).code, 1);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(DatasetCommand, ATeacherOnTheNetworkIsAskedOnceForEachPicture) {
  std::atomic<bool> keyed{true};
  const test::ChatServer server([&](const test::ChatRequest& request) {
    keyed = keyed && request.head.find("Bearer k3y") != std::string::npos;
    std::string answer;
    for (const char* line : {"1. Main Focus – A.", "2. Surrounding Objects & Context – B.",
                             "3. Spatial Relationships – C.", "4. Activities & Interactions – D.",
                             "5. Scene Type & Time – E.", "6. Inferences & Intent – F.",
                             "7. Style & Aesthetic – G."}) {
      answer += cat(line, "\n");
    }
    return test::says(answer);
  });
  const std::vector<std::string> flags = {"--teacher", server.address(), "--teacher-model", "seer"};
  const test::RunOptions options{.environment = {{"FASTVLM_TEACHER_KEY", "k3y"}}};
  const test::Run run = build("out", flags, options);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(keyed);
  EXPECT_EQ(server.requests(), 6);
  EXPECT_THAT(text(folder_ / "out/train.jsonl"), HasSubstr("1. Main Focus – A.\\n2. Surr"));
  EXPECT_THAT(text(folder_ / "out/dataset.json") + text(folder_ / "out/teacher.jsonl") + run.err,
              Not(HasSubstr("k3y")));
  const std::string before = text(folder_ / "out/train.jsonl");
  EXPECT_EQ(build("out", flags, options).code, 0);
  EXPECT_EQ(server.requests(), 6) << "answers are kept";
  EXPECT_EQ(text(folder_ / "out/train.jsonl"), before);
}

TEST_F(DatasetCommand, ImportReplacesNotWhatItReads) {
  ASSERT_EQ(build("out").code, 0);
  const std::string before = text(folder_ / "out/train.jsonl");
  const test::Run run = test::fastvlm({"dataset", "import", folder_ / "out/train.jsonl", "--images",
                                       folder_ / "images", "--out", folder_ / "out"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("which is read"));
  EXPECT_EQ(text(folder_ / "out/train.jsonl"), before);
}

TEST_F(DatasetCommand, ImportsPairs) {
  std::ofstream(folder_ / "own.csv") << "image,caption\n0.png,A dog.\nnone.png,A cat.\n";
  const test::Run run =
      test::fastvlm({"dataset", "import", folder_ / "own.csv", "--images", folder_ / "images",
                     "--out", folder_ / "own", "--prompt", "describe"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, AllOf(HasSubstr("own.csv:3"), HasSubstr("none.png")));
  EXPECT_THAT(text(folder_ / "own/train.jsonl"), HasSubstr("<image>\\nDescribe the image."));
}

}  // namespace
}  // namespace fastvlm
