// SPDX-License-Identifier: Apache-2.0
// What people and files do to the program that nobody meant: answered with one error and its next
// step, nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const fs::path kTinyPicture = test::golden("preprocess") / "tiny.png";

void expect_refused(const test::Run& run, int code, const std::string& said) {
  EXPECT_EQ(run.code, code) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, AllOf(HasSubstr(said), HasSubstr("\nhint: ")));
}

TEST(Misuse, AFileNameForgesNoHeading) {
  const test::TemporaryFolder folder;
  const std::string name = "x\n== other.jpg ==\n\x1b[2J";
  fs::copy_file(kTinyPicture, folder / name);
  const test::Run run = test::fastvlm(
      {"caption", "--model", test::demo_model(), "--free", "--max-tokens", "1", name, kTinyPicture},
      {.folder = folder.path()});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("== x?== other.jpg ==??[2J ==\n"), Not(HasSubstr("\x1b"))));
}

TEST(Misuse, DumpReplacesNoInput) {
  const test::TemporaryFolder folder;
  fs::copy_file(kTinyPicture, folder / "own.png");
  const auto before = read_text_file(folder / "own.png");
  expect_refused(test::fastvlm({"dump", "--only", "pixels", "--image", folder / "own.png", "--out",
                                folder / "own.png"}),
                 1, "which is read");
  EXPECT_EQ(*read_text_file(folder / "own.png"), *before);
  std::ofstream(folder / "config.json") << "{}";
  expect_refused(test::fastvlm({"dump", "--only", "pixels", "--image", folder / "own.png", "--out",
                                folder / "new.safetensors"}),
                 1, "its folder is a checkpoint");
  EXPECT_FALSE(fs::exists(folder / "new.safetensors"));
}

TEST(Misuse, EvaluateReplacesNoInputAndNoOutputTwice) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "c.jsonl") << R"({"image_id": 1, "caption": "a cat"})"
                                    << "\n";
  std::ofstream(folder / "r.json")
      << R"({"images": [{"id": 1, "file_name": "a.jpg"}],)"
      << R"( "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]})";
  fs::create_symlink("r.json", folder / "link.html");
  const auto evaluate = [&](std::vector<std::string> outputs) {
    std::vector<std::string> arguments{"evaluate",     "--predictions",   folder / "c.jsonl",
                                       "--references", folder / "r.json", "--metrics",
                                       "bleu",         "--resamples",     "0"};
    arguments.insert(arguments.end(), outputs.begin(), outputs.end());
    return test::fastvlm(arguments);
  };
  const auto before = read_text_file(folder / "r.json");
  expect_refused(evaluate({"--per-image", folder / "c.jsonl"}), 1, "which is read");
  expect_refused(evaluate({"--report", folder / "link.html"}), 1, "which is read");
  expect_refused(evaluate({"--report", folder / "x", "--per-image", folder / "x"}), 1,
                 "is written already");
  expect_refused(evaluate({"--report", folder / "none" / "x"}), 2, "does not exist");
  EXPECT_EQ(*read_text_file(folder / "r.json"), *before);
  EXPECT_FALSE(fs::exists(folder / "x"));
  EXPECT_EQ(evaluate({"--report", folder / "x.html"}).code, 0);
}

TEST(Misuse, KeptCaptionsAreTrimmedOnlyWhereTheyAreOurs) {
  const test::TemporaryFolder folder;
  fs::copy_file(kTinyPicture, folder / "tiny.png");
  std::ofstream(folder / "set.json")
      << R"({"images": [{"id": 1, "file_name": "tiny.png"}],)"
      << R"( "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]})";
  const auto evaluate = [&](const std::string& kept) {
    return test::fastvlm({"evaluate", "--data", folder / "set.json", "--model", test::demo_model(),
                          "--free", "--max-tokens", "3", "--metrics", "bleu", "--resamples", "0",
                          "--predictions-out", folder / kept});
  };
  std::ofstream(folder / "notes") << "my own notes, without an end of line";
  expect_refused(evaluate("notes"), 2, "expected captions of an earlier run");
  EXPECT_EQ(*read_text_file(folder / "notes"), "my own notes, without an end of line");
  std::ofstream(folder / "torn") << R"({"image":"tiny.png","text":"1. Ma)";
  EXPECT_EQ(evaluate("torn").code, 0);
  EXPECT_THAT(*read_text_file(folder / "torn"), testing::StartsWith(R"({"image":"tiny.png")"));
  EXPECT_EQ(evaluate("torn").code, 0);  // it is whole again
  const std::string line = *read_text_file(folder / "torn");
  std::ofstream(folder / "torn", std::ios::app) << line;
  expect_refused(evaluate("torn"), 2, "expected one caption a picture, found 2");
  const test::Run stored =
      test::fastvlm({"evaluate", "--data", folder / "set.json", "--model", test::demo_model(),
                     "--free", "--max-tokens", "3", "--metrics", "bleu", "--resamples", "0",
                     "--no-exif", "--predictions-out", folder / "stored"});
  EXPECT_EQ(stored.code, 0) << stored.err;
  expect_refused(evaluate("stored"), 2, "was made with another model, prompt");
}

TEST(Misuse, MakeCheckpointReplacesNoCheckpoint) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "config.json") << "{}";
  expect_refused(
      test::fastvlm({"dev", "make-checkpoint", "--kind", "s0-0.5b", "--out", folder.path()}), 1,
      "holds a checkpoint already");
}

TEST(Misuse, SeedsAreWholeNumbers) {
  for (const char* seed : {"--seed=-1", "--seed=18446744073709551616", "--seed=1e3"}) {
    expect_refused(test::fastvlm({"caption", "--model", test::demo_model(), seed, kTinyPicture}), 1,
                   "expected 0 .. 18446744073709551615");
  }
}

TEST(Misuse, AnEmptyPromptIsNotTheDefault) {
  expect_refused(
      test::fastvlm({"caption", "--model", test::demo_model(), "--prompt", "", kTinyPicture}), 1,
      "--prompt");
}

TEST(Misuse, AnEmptyValueTakesNoOtherArgument) {
  expect_refused(test::fastvlm({"caption", "--model=", test::demo_model(), kTinyPicture}), 1,
                 "--model=: expected a value");
}

TEST(Misuse, TokenizersSayWhenTheirInputFails) {
  const test::Run outside = test::fastvlm({"detokenize", "--tokenizer", test::demo_model()},
                                          {.input = "[18446744073709551615]\n"});
  expect_refused(outside, 2, "stdin: line 1: expected a JSON array of token ids");
  expect_refused(
      test::fastvlm({"detokenize", "--tokenizer", test::demo_model()}, {.input = "[-1]\n"}), 2,
      "ids are not negative");
  expect_refused(test::run({"/bin/sh", "-c", "exec \"$0\" tokenize --tokenizer \"$1\" < /",
                            std::string(FASTVLM_BINARY_DIR) + "/fastvlm", test::demo_model()}),
                 2, "stdin: cannot be read: Is a directory");
}

TEST(Misuse, MoreThreadsThanTheSystemGrants) {
  const test::Run run = test::run({"/bin/sh", "-c", "ulimit -v 500000; exec \"$0\" \"$@\"",
                                   std::string(FASTVLM_BINARY_DIR) + "/fastvlm", "caption",
                                   "--model", test::demo_model(), "--threads", "1024", "--free",
                                   "--max-tokens", "1", kTinyPicture});
  expect_refused(run, 2, "the system grants only ");
}

TEST(Misuse, ALimitOnFilesLeavesNothing) {
  const test::TemporaryFolder folder;
  const test::Run run =
      test::run({"/bin/sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\"",
                 std::string(FASTVLM_BINARY_DIR) + "/fastvlm", "dump", "--only", "pixels",
                 "--image", kTinyPicture, "--out", folder / "out.safetensors"});
  expect_refused(run, 2, "File too large");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

// What was asked for is done, but nobody should have to guess why it takes so long.
TEST(Misuse, PrecisionWithoutInstructionsIsTold) {
  const std::vector<std::string> caption = {"caption",      "--isa", "avx2",       "--free",
                                            "--max-tokens", "1",     kTinyPicture, "--precision"};
  std::vector<std::string> bf16 = caption;
  bf16.emplace_back("bf16");
  const test::Run slow = test::fastvlm(bf16);
  if (slow.code == 1) GTEST_SKIP() << slow.err;  // this processor has not even AVX2
  EXPECT_EQ(slow.code, 0) << slow.err;
  EXPECT_THAT(slow.err, HasSubstr("no instructions for the tower at this precision"));
  std::vector<std::string> automatic = caption;
  automatic.emplace_back("auto");
  EXPECT_THAT(test::fastvlm(automatic).err, testing::Not(HasSubstr("slower")));
}

}  // namespace
}  // namespace fastvlm
