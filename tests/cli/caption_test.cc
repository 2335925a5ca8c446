// SPDX-License-Identifier: Apache-2.0
// What scripts lean on: stdout, exit codes, error lines, JSON, sameness.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "cli/program.h"
#include "support/json_schema.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class CaptionCommandTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_folder_ = new test::TemporaryFolder;
    test::make_tiny_model(*shared_folder_ / "tiny", "hd_tied");
    std::filesystem::copy_file(test::golden("preprocess/landscape.png"), *shared_folder_ / "a.png");
    std::filesystem::copy_file(test::golden("preprocess/portrait.png"), *shared_folder_ / "b.png");
    std::ofstream(*shared_folder_ / "bad.png") << "not a picture";
  }
  static void TearDownTestSuite() {
    delete shared_folder_;
    shared_folder_ = nullptr;
  }
  // Runs in the folder of the pictures, with a short answer.
  static test::Run caption(std::vector<std::string> arguments, test::RunOptions options = {}) {
    const std::vector<std::string> before = {"caption", "--model",  "tiny", "--max-tokens",
                                             "8",       "--prompt", "hello"};
    arguments.insert(arguments.begin(), before.begin(), before.end());
    options.folder = shared_folder_->path();
    return test::fastvlm(arguments, options);
  }
  static void expect_error(const test::Run& run, int code, const char* message) {
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_THAT(run.err, HasSubstr("fastvlm: error: "));
    EXPECT_THAT(run.err, HasSubstr("\nhint: "));
  }

  static test::TemporaryFolder* shared_folder_;
};

test::TemporaryFolder* CaptionCommandTest::shared_folder_ = nullptr;

// Captions of the demo model; drafts from other captions change nothing but the counts.
TEST_F(CaptionCommandTest, DraftsAreLearntAndChangeNoText) {
  const std::string picture = std::string(FASTVLM_SOURCE_DIR) + "/examples/cat-city-midday.jpg";
  const std::string table = *shared_folder_ / "learnt.drafts";
  const std::string captions = *shared_folder_ / "captions.jsonl";
  const auto run = [&](const std::string& drafts) {
    const test::Run made =
        test::fastvlm({"caption", picture, "--json", "--stats", "--drafts", drafts});
    EXPECT_EQ(made.code, 0) << made.err;
    return json::parse(made.out);
  };
  json plain = run("none");
  std::ofstream(captions) << plain.dump() << "\n"
                          << plain.dump() << "\n"
                          << plain.dump() << "\n"
                          << plain.dump() << "\n";
  const test::Run learnt =
      test::fastvlm({"dev", "learn-drafts", "--data", captions, "--out", table});
  EXPECT_EQ(learnt.code, 0) << learnt.err;
  EXPECT_THAT(learnt.err, HasSubstr("learnt from 4 captions"));
  json drafted = run(table);
  EXPECT_EQ(plain["timings"]["drafted_tokens"], 0);
  EXPECT_GT(drafted["timings"]["accepted_tokens"], 0);  // how many is a matter of time
  EXPECT_LT(drafted["timings"]["passes"], plain["timings"]["passes"]);
  plain.erase("timings");
  drafted.erase("timings");
  EXPECT_EQ(drafted, plain);
  // The tiny model has another tokenizer.
  expect_error(caption({"--drafts", table, "a.png"}), 2, "of this model's tokenizer");
  expect_error(caption({"--drafts", "nowhere", "a.png"}), 2, "nowhere");
  expect_error(
      test::fastvlm({"dev", "learn-drafts", "--data", *shared_folder_ / "bad.png", "--out", table}),
      2, "line 1");
  // What it reads stays.
  expect_error(test::fastvlm({"dev", "learn-drafts", "--data", captions, "--out", captions}), 1,
               captions.c_str());
  expect_error(
      test::fastvlm({"dev", "learn-drafts", "--data", captions, "--model", *shared_folder_ / "tiny",
                     "--out", *shared_folder_ / "tiny/tokenizer.json"}),
      1, "tokenizer.json");
}

// Also for the tiny model in f32, and across runs.
TEST_F(CaptionCommandTest, KeptTokensChangeNoText) {
  const std::string kept = *shared_folder_ / "kept tokens";
  const test::Run plain = caption({"a.png", "b.png", "a.png", "--json"});
  EXPECT_EQ(plain.code, 0) << plain.err;
  for (int i = 0; i < 2; ++i) {
    const test::Run again = caption({"a.png", "b.png", "a.png", "--json", "--token-cache", kept});
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(again.out, plain.out);
  }
  const auto files = std::distance(std::filesystem::directory_iterator(kept), {});
  EXPECT_EQ(files, 2);
  const json timed =
      json::parse(caption({"b.png", "--json", "--stats", "--token-cache", kept}).out)["timings"];
  EXPECT_EQ(timed["vision_kept"], true);
  EXPECT_EQ(timed["vision_ms"], 0);
  EXPECT_THAT(caption({"b.png", "--stats", "--token-cache", kept}).err, HasSubstr("vision known"));
  expect_error(caption({"a.png", "--token-cache", "a.png"}), 2, "expected a folder for tokens");
  EXPECT_EQ(caption({"a.png", "--token-cache-size", "5M"}).code, 1);  // of what?
}

TEST_F(CaptionCommandTest, TextAlone) {
  const test::Run run = caption({"a.png"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_FALSE(run.out.empty());
  EXPECT_EQ(run.out.back(), '\n');
}

// Under a schema file, in each form.
TEST_F(CaptionCommandTest, SectionsOfASchemaFile) {
  const std::filesystem::path folder = shared_folder_->path();
  std::ofstream(folder / "own.json") << R"({"introduction": "Say it in two parts:", "sections": [
      {"name": "light", "title": "Light", "choices": ["night"]},
      {"name": "day_or_not", "title": "Day or not", "choices": ["it is day."]}]})";
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"caption", "a.png", "--model", "tiny", "--max-tokens", "80"});
    return test::fastvlm(more, {.folder = folder});
  };
  const test::Run text = run({"--schema", "own.json"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out, "1. Light – night\n2. Day or not – it is day.\n");
  EXPECT_EQ(run({"--schema", "own.json", "--stream"}).out, text.out);
  EXPECT_EQ(run({"--schema", "own.json", "--format", "paragraph"}).out, "night. it is day.\n");
  EXPECT_EQ(run({"--schema", "own.json", "--format", "markdown"}).out,
            "## Light\n\nnight\n\n## Day or not\n\nit is day.\n");
  const test::Run as_json = run({"--schema", "own.json", "--format", "json"});
  EXPECT_EQ(run({"--schema", "own.json", "--json"}).out, as_json.out);
  const auto value = json::parse(as_json.out, nullptr, false);
  EXPECT_EQ(value["sections"].dump(), R"({"day_or_not":"it is day.","light":"night"})");
  EXPECT_EQ(value["finish_reasons"]["light"], "stop");
  EXPECT_EQ(value["provenance"]["schema"]["name"], "own");
  const std::string prompt =
      "Say it in two parts:\n\n1. Light – One of: night\n2. Day or not – One of: it is day.";
  EXPECT_EQ(value["provenance"]["prompt_sha256"], sha256_hex(prompt));

  expect_error(test::fastvlm({"caption", "a.png", "--model", "tiny", "--max-tokens", "20",
                              "--schema", "own.json"},
                             {.folder = folder}),
               1, "max_tokens: expected at least");
  std::ofstream(folder / "bad.json") << R"({"introduction": "x", "sections": [{"name": "a"}]})";
  expect_error(run({"--schema", "bad.json"}), 2, "bad.json: sections[0]: expected a key \"title\"");
  expect_error(run({"--schema", "none.json"}), 2, "none.json");
  EXPECT_EQ(run({"--schema", "own.json", "--free"}).code, 1);
  EXPECT_EQ(run({"--format", "yaml"}).code, 1);
  EXPECT_EQ(run({"--stream", "--format", "markdown"}).code, 1);
  EXPECT_EQ(run({"--dry-base", "2"}).code, 1);  // of nothing
}

TEST_F(CaptionCommandTest, ObjectsThatNobodySaw) {
  const std::filesystem::path folder = shared_folder_->path();
  std::ofstream(folder / "pets.json") << R"({"introduction": "x", "sections": [
      {"name": "pets", "title": "Cats", "choices": ["A kitten and a dog."]}]})";
  std::ofstream(folder / "no_tags.json") << "[]";
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"caption", "a.png", "--model", "tiny", "--max-tokens", "60",
                               "--schema", "pets.json", "--verify-objects"});
    return test::fastvlm(more, {.folder = folder});
  };
  EXPECT_EQ(run({"--tags", "dog"}).out, "1. Cats – A kitten [unseen] and a dog.\n");
  EXPECT_EQ(run({"--tags", "no_tags.json", "--format", "markdown"}).out,
            "## Cats\n\nA kitten [unseen] and a dog [unseen].\n");
  const test::Run as_json = run({"--tags", "dog, car", "--json"});
  const auto value = json::parse(as_json.out, nullptr, false);
  EXPECT_EQ(value["grounding"].dump(),
            R"({"mentioned":["dog"],"not_mentioned":["car"],"unseen":[{"begin":12,"end":18,)"
            R"("object":"cat","words":"kitten"}]})");
  EXPECT_EQ(value["text"], "1. Cats – A kitten and a dog.");
  const auto schema = json::parse(
      *read_text_file(std::filesystem::path(FASTVLM_SOURCE_DIR) / "docs" / "caption.schema.json"));
  EXPECT_THAT(test::schema_complaints(schema, value), IsEmpty());
  for (const std::vector<std::string>& unknown :
       {std::vector<std::string>{}, {"--tags", "auto"}, {"--tags", "none"}}) {
    expect_error(run(unknown), 1, "--verify-objects: no tags are known");
  }
  EXPECT_EQ(run({"--tags", "dog", "--stream"}).code, 1);
  EXPECT_EQ(caption({"a.png", "--verify-objects", "--tags", "dog", "--json-schema", "x"}).code, 1);
}

TEST_F(CaptionCommandTest, JsonOfASchemaFile) {
  const std::filesystem::path folder = shared_folder_->path();
  std::ofstream(folder / "facts.json") << R"({"type": "object", "properties": {
      "time": {"enum": ["night"]}, "text": {"type": "string", "maxLength": 5}}})";
  const auto run = [&](const char* file) {
    return test::fastvlm({"caption", "a.png", "--model", "tiny", "--json-schema", file},
                         {.folder = folder});
  };
  const test::Run made = run("facts.json");
  EXPECT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out, StartsWith(R"({"time": "night", "text": ")"));
  EXPECT_TRUE(json::parse(made.out, nullptr, false).is_object()) << made.out;
  std::ofstream(folder / "bad_facts.json") << R"({"type": "string", "pattern": "x"})";
  expect_error(run("bad_facts.json"), 2, "bad_facts.json: $: \"pattern\" here");
}

TEST_F(CaptionCommandTest, PenaltiesAreInTheProvenance) {
  const test::Run run = caption({"a.png", "--json", "--repetition-penalty", "1.2",
                                 "--dry-multiplier", "0.8", "--dry-allowed-length", "3"});
  EXPECT_EQ(run.code, 0) << run.err;
  const auto value = json::parse(run.out, nullptr, false);
  EXPECT_EQ(value["provenance"]["sampling"],
            "greedy, repetition_penalty 1.2, dry 0.8 (base 1.75, allowed length 3)");
}

TEST_F(CaptionCommandTest, SameBytesWhateverTheThreads) {
  const test::Run one = caption({"a.png", "--json", "--threads", "1"});
  const test::Run three = caption({"a.png", "--json", "--threads", "3"});
  EXPECT_EQ(one.code, 0);
  EXPECT_EQ(one.out, three.out);
  const test::Run drawn = caption({"a.png", "--temperature", "2", "--seed", "5", "--threads", "1"});
  EXPECT_EQ(drawn.out,
            caption({"a.png", "--temperature", "2", "--seed", "5", "--threads", "2"}).out);
  EXPECT_NE(drawn.out, caption({"a.png", "--temperature", "2", "--seed", "6"}).out);
}

TEST_F(CaptionCommandTest, StreamPrintsTheSameText) {
  EXPECT_EQ(caption({"a.png", "--stream"}).out, caption({"a.png"}).out);
  EXPECT_EQ(caption({"a.png", "b.png", "--stream"}).out, caption({"a.png", "b.png"}).out);
}

TEST_F(CaptionCommandTest, SeveralPicturesHaveHeadings) {
  const std::string a = caption({"a.png"}).out;
  const std::string b = caption({"b.png"}).out;
  EXPECT_EQ(caption({"a.png", "b.png"}).out, "== a.png ==\n" + a + "\n== b.png ==\n" + b);
}

TEST_F(CaptionCommandTest, JsonFitsTheSchema) {
  const auto schema_text =
      read_text_file(std::filesystem::path(FASTVLM_SOURCE_DIR) / "docs" / "caption.schema.json");
  ASSERT_TRUE(schema_text.ok());
  const json schema = json::parse(*schema_text, nullptr, false);
  const test::Run run = caption({"a.png", "--json", "--tags", "person (left), dog", "--stats"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json object = json::parse(run.out, nullptr, false);
  EXPECT_THAT(test::schema_complaints(schema, object), IsEmpty());
  EXPECT_EQ(object["image"], "a.png");
  EXPECT_EQ(object["provenance"]["model"], "tiny");
  EXPECT_EQ(object["tags"].size(), 2U);
  EXPECT_TRUE(object.contains("timings"));
  EXPECT_FALSE(json::parse(caption({"a.png", "--json"}).out, nullptr, false).contains("timings"));
}

TEST_F(CaptionCommandTest, JsonOfSeveralIsALineEach) {
  const std::string absolute = *shared_folder_ / "b.png";
  const test::Run run = caption({"a.png", absolute, "--json"});
  ASSERT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 2);
  const size_t end = run.out.find('\n');
  EXPECT_EQ(json::parse(run.out.substr(0, end))["image"], "a.png");
  EXPECT_EQ(json::parse(run.out.substr(end + 1))["image"], "b.png");
  EXPECT_THAT(run.out, Not(HasSubstr(shared_folder_->path().string())));
}

TEST_F(CaptionCommandTest, OneBadPictureAmongGoodOnes) {
  const test::Run run = caption({"bad.png", "a.png", "none.png"});
  expect_error(run, 3, "bad.png");
  EXPECT_THAT(run.err, HasSubstr("none.png"));
  EXPECT_THAT(run.out, HasSubstr("== a.png ==\n"));
  EXPECT_THAT(run.out, Not(HasSubstr("bad.png")));
  expect_error(caption({"bad.png"}), 2, "bad.png");
  expect_error(caption({"bad.png", "none.png"}), 2, "none.png");
}

TEST_F(CaptionCommandTest, WrongUse) {
  expect_error(caption({}), 1, "no image given");
  expect_error(caption({"a.png", "--no-such-option"}), 1, "--no-such-option");
  expect_error(test::fastvlm({"caption", "a.png", "--max-tokens", "0"}), 1, "--max-tokens");
  expect_error(caption({"a.png", "--stream", "--json"}), 1, "--stream");
  expect_error(caption({"a.png", "--isa", "abacus"}), 1, "abacus");
  expect_error(caption({"a.png", "--temperature", "-1"}), 1, "--temperature");
  expect_error(caption({"a.png", "--tags", "dog,,cat"}), 1, "tags");
  expect_error(caption({"a.png", "--tags", "none.json"}), 2, "no such file");
  expect_error(test::fastvlm({"caption", "a.png", "--model", "tiny", "--max-tokens", "100000"},
                             {.folder = shared_folder_->path()}),
               2, "100000");
  expect_error(test::fastvlm({"nonsense"}), 1, "nonsense");
  expect_error(test::fastvlm({}), 1, "subcommand");
}

TEST_F(CaptionCommandTest, BadModels) {
  const auto with_model = [](const std::string& model) {
    return test::fastvlm({"caption", "a.png", "--model", model},
                         {.folder = shared_folder_->path()});
  };
  expect_error(with_model("no/such/model"), 2, "no/such/model");
  expect_error(with_model("a.png"), 2, "expected a checkpoint folder, found a file");
  const test::TemporaryFolder empty;
  expect_error(with_model(empty.path()), 2, "config.json");
}

TEST_F(CaptionCommandTest, ModelFromEnvironmentAndCache) {
  const std::string wanted = caption({"a.png"}).out;
  const std::vector<std::string> arguments = {"caption", "a.png",    "--max-tokens",
                                              "8",       "--prompt", "hello"};
  EXPECT_EQ(test::fastvlm(arguments, {.environment = {{"FASTVLM_MODEL", "tiny"}},
                                      .folder = shared_folder_->path()})
                .out,
            wanted);
  const test::TemporaryFolder cache;
  test::make_tiny_model(cache / "fastvlm/models/pulled", "hd_tied");
  std::vector<std::string> named = arguments;
  named.insert(named.end(), {"--model", "pulled"});
  EXPECT_EQ(test::fastvlm(named, {.environment = {{"XDG_CACHE_HOME", cache.path()}},
                                  .folder = shared_folder_->path()})
                .out,
            wanted);
}

TEST_F(CaptionCommandTest, PromptFile) {
  std::ofstream(*shared_folder_ / "prompt.txt") << "hello\n";
  const test::Run run = test::fastvlm(
      {"caption", "a.png", "--model", "tiny", "--max-tokens", "8", "--prompt-file", "prompt.txt"},
      {.folder = shared_folder_->path()});
  EXPECT_EQ(run.out, caption({"a.png"}).out);
}

TEST_F(CaptionCommandTest, ImageFlagsReachTheModel) {
  const auto hash_of = [](const std::vector<std::string>& arguments) {
    return json::parse(caption(arguments).out)["provenance"];
  };
  const json plain = hash_of({"a.png", "--json"});
  EXPECT_THAT(plain["preprocessing"].get<std::string>(), HasSubstr("pad to 256x256"));
  const json other =
      hash_of({"a.png", "--json", "--aspect", "crop", "--image-size", "128", "--order", "ios"});
  EXPECT_THAT(other["preprocessing"].get<std::string>(), HasSubstr("crop"));
  EXPECT_THAT(other["preprocessing"].get<std::string>(), HasSubstr("128"));
  EXPECT_EQ(other["order"], "ios");
}

TEST_F(CaptionCommandTest, OutputThatCannotBeWritten) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  expect_error(caption({"a.png", "b.png"}, {.output_to = "/dev/full"}), 2, "stdout: cannot write");
  EXPECT_EQ(caption({"--help"}, {.output_to = "/dev/full"}).code, 2);
}

// As with `| head -1`: the reader has what it wanted, and nothing is wrong.
TEST_F(CaptionCommandTest, AReaderThatLeavesIsNoError) {
  const test::Run run = test::run(
      {"/bin/sh", "-c",
       "{ sleep 0.2; \"$0\" caption --model tiny --max-tokens 8 --prompt hello a.png b.png; "
       "echo \"code $?\" >&2; } | true",
       std::string(FASTVLM_BINARY_DIR) + "/fastvlm"},
      {.folder = shared_folder_->path()});
  EXPECT_THAT(run.err, HasSubstr("code 2\n"));
  EXPECT_THAT(run.err, testing::Not(HasSubstr("error")));
}

TEST_F(CaptionCommandTest, InterruptedByTheUser) {
  const test::Run run =
      test::fastvlm({"caption", "a.png", "--model", "tiny", "--max-tokens", "8000", "--prompt",
                     "hello", "--stream", "--temperature", "50"},
                    {.folder = shared_folder_->path(), .kill_after_first_output = SIGINT});
  EXPECT_EQ(run.code, 130);
  EXPECT_EQ(run.signal, 0);
  EXPECT_THAT(run.err, HasSubstr("interrupted"));
}

TEST_F(CaptionCommandTest, PredictTakesTheArgumentsOfPredictPy) {
  const auto predict = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"predict", "--model-path", "tiny", "--image-file", "a.png"});
    return test::fastvlm(arguments, {.folder = shared_folder_->path()});
  };
  const test::Run greedy =
      predict({"--prompt", "hello", "--temperature", "0", "--conv-mode", "qwen_2"});
  EXPECT_EQ(greedy.code, 0) << greedy.err;
  EXPECT_EQ(greedy.err, "");
  const test::Run beams = predict({"--prompt", "hello", "--temperature", "0", "--num_beams", "2"});
  EXPECT_EQ(beams.code, 0) << beams.err;
  EXPECT_EQ(predict({"--top_p", "0.9"}).out, predict({"--top_p", "0.9"}).out);
  expect_error(predict({"--model-base", "x"}), 2, "--model-base");
  expect_error(predict({"--conv-mode", "gemma"}), 1, "qwen_2");
}

TEST_F(CaptionCommandTest, InfoAndDoctor) {
  const test::RunOptions here = {.folder = shared_folder_->path()};
  const test::Run info = test::fastvlm({"info", "tiny", "--json"}, here);
  ASSERT_EQ(info.code, 0) << info.err;
  const json facts = json::parse(info.out, nullptr, false);
  EXPECT_EQ(facts["model"]["head"], "tied to the embedding");
  EXPECT_THAT(facts["machine"]["kernels"].get<std::string>(), HasSubstr("reference"));
  EXPECT_THAT(test::fastvlm({"info", "tiny"}, here).out, HasSubstr("preprocessing"));
  const test::Run doctor = test::fastvlm({"doctor", "tiny"}, here);
  EXPECT_EQ(doctor.code, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("good  trial run"));
  const test::TemporaryFolder sick;
  test::make_tiny_export(sick / "export", "hd_tied");
  const test::Run bad = test::fastvlm({"doctor", sick / "export", "--json"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_EQ(json::parse(bad.out, nullptr, false)["healthy"], false);
}

TEST_F(CaptionCommandTest, VersionAndHelp) {
  const test::Run version = test::fastvlm({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, StartsWith("fastvlm "));
  for (const char* command :
       {"caption", "predict", "info", "doctor", "tokenize", "detokenize", "dump", "dev"}) {
    const test::Run help = test::fastvlm({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_EQ(help.err, "");
    EXPECT_THAT(help.out, HasSubstr("--help"));
  }
}

TEST(TokenizeCommand, ThereAndBack) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "tokenizer.json") << test::small_tokenizer().dump();
  const std::string input = "hello\n\n h\xC3\xA9llo <|im_end|>\nlast";
  const test::Run ids = test::fastvlm({"tokenize", "--tokenizer", folder.path()}, {.input = input});
  ASSERT_EQ(ids.code, 0) << ids.err;
  EXPECT_THAT(ids.out, StartsWith("[259]\n[]\n["));
  EXPECT_THAT(ids.out, HasSubstr(",302]\n"));
  const test::Run back =
      test::fastvlm({"detokenize", "--tokenizer", folder.path()}, {.input = ids.out});
  EXPECT_EQ(back.out, "\"hello\"\n\"\"\n\" h\xC3\xA9llo <|im_end|>\"\n\"last\"\n");
  const test::Run plain = test::fastvlm(
      {"detokenize", "--tokenizer", folder.path(), "--skip-special"}, {.input = "[302,259]\n"});
  EXPECT_EQ(plain.out, "\"hello\"\n");
  const test::Run jsonl = test::fastvlm({"tokenize", "--tokenizer", folder.path(), "--jsonl"},
                                        {.input = "\"hello\"\n\"a\\nb\"\n"});
  EXPECT_EQ(jsonl.out, "[259]\n[97,10,98]\n");
}

TEST(TokenizeCommand, BadLinesAreNumbered) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "tokenizer.json") << test::small_tokenizer().dump();
  for (const char* line : {"[1,\n", "{}\n", "[1.5]\n", "[99999999999]\n", "[\"a\"]\n"}) {
    const test::Run run = test::fastvlm({"detokenize", "--tokenizer", folder.path()},
                                        {.input = std::string("[]\n") + line});
    EXPECT_EQ(run.code, 2);
    EXPECT_THAT(run.err, HasSubstr("stdin: line 2: expected a JSON array of token ids"));
  }
  EXPECT_EQ(test::fastvlm({"tokenize", "--tokenizer", folder / "none"}).code, 2);
  EXPECT_EQ(
      test::fastvlm({"tokenize", "--tokenizer", folder.path(), "--jsonl"}, {.input = "x\n"}).code,
      2);
}

}  // namespace
}  // namespace fastvlm
