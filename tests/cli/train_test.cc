// SPDX-License-Identifier: Apache-2.0
// fastvlm train: what it writes, what it refuses, and that nothing that kills it changes the
// result.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "cli/program.h"
#include "formats/safetensors.h"
#include "support/event_reader.h"
#include "support/test_length.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Train : public testing::Test {
 protected:
  Train() {
    test::make_tiny_model(folder_ / "model", "s0_untied");
    for (const char* picture : {"landscape.png", "portrait.png", "gray.png", "tiny.png"}) {
      add(picture, cat("A ", picture, "."));
      add(picture, cat("This is ", picture, ", once more."));
    }
  }

  static std::string record(const std::string& image, const std::string& question,
                            const std::string& answer) {
    return nlohmann::json{
        {"image", image},
        {"conversations",
         {{{"from", "human"}, {"value", question}}, {{"from", "gpt"}, {"value", answer}}}}}
        .dump();
  }
  void add(const std::string& image, const std::string& answer) {
    std::ofstream(folder_ / "data.jsonl", std::ios::app)
        << record(image, "<image>\nhello?", answer) << "\n";
  }
  // What `more` names is not set before.
  std::vector<std::string> arguments(const std::string& out,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"train", "--out", folder_ / out};
    const std::pair<std::string, std::string> usual[] = {{"--model", folder_ / "model"},
                                                         {"--data", folder_ / "data.jsonl"},
                                                         {"--images", test::golden("preprocess")},
                                                         {"--lora-r", "4"},
                                                         {"--batch-size", "2"},
                                                         {"--threads", "2"}};
    for (const auto& [option, value] : usual) {
      if (std::find(more.begin(), more.end(), option) != more.end()) continue;
      all.push_back(option);
      all.push_back(value);
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  test::Run train(const std::string& out, const std::vector<std::string>& more = {}) const {
    return test::fastvlm(arguments(out, more));
  }
  std::string adapter(const std::string& out) const {
    return *read_text_file(folder_ / out / "adapter_model.safetensors");
  }

  test::TemporaryFolder folder_;
};

TEST_F(Train, WritesAnAdapterAndALineAStep) {
  std::ofstream(folder_ / "eval.json")
      << "[" << record("rgba.png", "<image>\nhello?", "A rgba.png.") << "]";
  const test::Run run = train("run", {"--epochs", "3", "--learning-rate", "0.002", "--json",
                                      "--eval-data", folder_ / "eval.json", "--eval-every", "4"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto result = nlohmann::json::parse(run.out);
  EXPECT_EQ(result["steps"], 12);
  const auto config =
      nlohmann::json::parse(*read_text_file(folder_ / "run" / "adapter_config.json"));
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["lora_alpha"], 256);
  EXPECT_EQ(config["base_model_name_or_path"], "model");
  std::ifstream metrics(folder_ / "run" / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(metrics, line);) lines.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(lines.size(), 12U);
  EXPECT_EQ(lines[0]["lr"], 0);
  for (const char* key : {"step", "loss", "lr", "grad_norm", "tokens", "seconds", "rss"}) {
    EXPECT_TRUE(lines[3].contains(key)) << key;
  }
  EXPECT_LT(lines[11]["eval_loss"], lines[3]["eval_loss"]);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "run" / "image_tokens"), {}), 5);

  const test::Run again = train("run");
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("holds a training run already"));
}

TEST_F(Train, ReportCoversTheWholeRunWithAnswersBeforeAndAfter) {
  const std::vector<std::string> how = {"--save-every", "2",   "--watts",          "50",
                                        "--region",     "DEU", "--report-samples", "2"};
  ASSERT_EQ(train("run", how).code, 0);
  std::vector<std::string> resumed = how;
  resumed.insert(resumed.end(), {"--resume", "--region", "FRA"});
  resumed.erase(resumed.begin() + 4, resumed.begin() + 6);
  ASSERT_EQ(train("run", resumed).code, 0);
  const std::string page = *read_text_file(folder_ / "run" / "report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("4 of 4"), HasSubstr("in 2 parts"), HasSubstr("data.jsonl"),
                          HasSubstr("the power that was given"), HasSubstr("the mean of France"),
                          HasSubstr("2 samples that were learnt"), HasSubstr("landscape.png")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  const auto record = nlohmann::json::parse(*read_text_file(folder_ / "run" / "run.json"));
  EXPECT_EQ(record["data"]["samples"], 8);
  EXPECT_EQ(record["data"]["pictures"], 4);
  EXPECT_EQ(record["settings"]["lora-r"], "4");
  ASSERT_EQ(record["parts"].size(), 2U);
  for (const auto& part : record["parts"]) EXPECT_GT(part["seconds"], 0);
  EXPECT_THAT(train("other", {"--region", "DE"}).err,
              AllOf(HasSubstr("--region: expected a country's code"), HasSubstr("DEU")));
  EXPECT_FALSE(fs::exists(folder_ / "other"));
}

TEST_F(Train, DoesNotDependOnTheNumberOfThreads) {
  ASSERT_EQ(train("two").code, 0);
  ASSERT_EQ(train("three", {"--threads", "3", "--gradient-checkpointing", "0"}).code, 0);
  EXPECT_EQ(adapter("two"), adapter("three"));
}

TEST_F(Train, OptionsFromAFile) {
  std::ofstream(folder_ / "run.toml")
      << "# ........................................\nlearning_rate = 1e-3\nseed = 7\nno_shuffle = "
         "true\n"
         "[lora]\nr = 2\ntargets = [\"q_proj\", \"v_proj\"]\n";
  const test::Run run = train("a", {"--config", folder_ / "run.toml"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto config = nlohmann::json::parse(*read_text_file(folder_ / "a" / "adapter_config.json"));
  EXPECT_EQ(config["r"], 4) << "the command line wins";
  EXPECT_EQ(config["target_modules"], (nlohmann::json{"q_proj", "v_proj"}));
  ASSERT_EQ(train("b", {"--learning-rate", "0.001", "--seed", "7", "--no-shuffle", "--lora-targets",
                        "q_proj,v_proj"})
                .code,
            0);
  EXPECT_EQ(adapter("a"), adapter("b"));

  const auto refused = [&](const std::string& text, const std::string& said) {
    std::ofstream(folder_ / "bad.toml") << text;
    const test::Run bad = train("c", {"--config", folder_ / "bad.toml"});
    EXPECT_EQ(bad.code, 1) << bad.err;
    EXPECT_THAT(bad.err, AllOf(HasSubstr("bad.toml:2: " + said), HasSubstr("\nhint: ")));
    EXPECT_FALSE(fs::exists(folder_ / "c"));
  };
  std::string deep = "a";  // tables in tables
  for (int i = 0; i < 50000; ++i) deep += ".a";
  refused("\n[" + deep + "]\nx = 1\n", "expected at most 32 dots in a line");
  refused("\nx = {" + deep + " = 1}\n", "expected at most 32 dots in a line");
  refused("\nlearning_rat = 1\n", "key `learning-rat`: no such option");
  refused("\nlearning_rate = \"fast\"\n", "key `learning-rate`: ");
  refused("\nlearning_rate = \n", "expected TOML");
}

TEST_F(Train, GoesOnFromAnotherAdapter) {
  ASSERT_EQ(train("first").code, 0);
  std::vector<std::string> more = arguments("second", {"--init-adapter", folder_ / "first"});
  const test::Run both = test::fastvlm(more);
  EXPECT_EQ(both.code, 1);
  EXPECT_THAT(both.err, HasSubstr("--lora-r: --init-adapter brings its own"));
  more.erase(std::find(more.begin(), more.end(), "--lora-r"));
  more.erase(std::find(more.begin(), more.end(), "4"));
  ASSERT_EQ(test::fastvlm(more).code, 0);
  EXPECT_NE(adapter("first"), adapter("second"));
}

TEST_F(Train, BadDataIsNamedAtOnceBeforeAnythingIsDone) {
  std::ofstream data(folder_ / "data.jsonl", std::ios::app);
  data << record("none.png", "<image>Q", "A") << "\n"                    // 9
       << record("tiny.png", "Q", "A") << "\n"                           // 10
       << record("tiny.png", "<image><image>Q", "A") << "\n"             // 11
       << record("tiny.png", "<image>Q", " ") << "\n"                    // 12
       << record("tiny.png", "<image>Q", std::string(900, 'x')) << "\n"  // 13
       << R"({"image": "tiny.png", "conversations": [{"from": "user"}]})"
       << "\n";  // 14
  data.close();
  const test::Run run = train("run");
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, AllOf(HasSubstr("data.jsonl:9: image "), HasSubstr("none.png: no such file"),
                             HasSubstr("data.jsonl:10: turn 1: no <image>"),
                             HasSubstr("data.jsonl:11: turn 1: expected one <image>, found 2"),
                             HasSubstr("data.jsonl:12: turn 2: the answer is empty"),
                             HasSubstr("data.jsonl:13: expected at most 512 positions, found ")));
  EXPECT_THAT(run.err, AllOf(HasSubstr("data.jsonl:14: turn 1: expected `from` \"human\""),
                             HasSubstr("6 of 14 samples cannot be used")));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  const test::Run length = train("run", {"--max-length", "100000"});
  EXPECT_EQ(length.code, 1);
  EXPECT_THAT(length.err, HasSubstr("--max-length: expected at most the model's context of"));
  const test::Run rank = train("run", {"--lora-r", "0"});
  EXPECT_EQ(rank.code, 1);
  EXPECT_THAT(rank.err, HasSubstr("LoRA rank: expected a whole number from 1 to 4096, found 0"));
}

TEST_F(Train, PicturesThatAreDamagedAreNamedAtOnce) {
  fs::create_directory(folder_ / "pictures");
  std::ofstream(folder_ / "pictures" / "a.png") << "no picture";
  std::ofstream(folder_ / "pictures" / "b.png") << "";
  std::ofstream(folder_ / "data.jsonl") << record("a.png", "<image>Q", "A") << "\n"
                                        << record("b.png", "<image>Q", "A") << "\n";
  const test::Run run = train("run", {"--images", folder_ / "pictures"});
  EXPECT_EQ(run.code, 2) << run.err;
  EXPECT_THAT(run.err, AllOf(HasSubstr("data.jsonl:1: "), HasSubstr("data.jsonl:2: "),
                             HasSubstr("2 of 2 pictures cannot be used")));
}

// Runs the program and kills it after some milliseconds; whether it had ended before.
bool run_and_kill(std::vector<std::string> arguments, int milliseconds) {
  const std::string program = std::string(FASTVLM_BINARY_DIR) + "/fastvlm";
  arguments.insert(arguments.begin(), program);
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(126);
    if (std::freopen("/dev/null", "w", stdout) == nullptr) ::_exit(126);
    ::execv(program.c_str(), words.data());
    ::_exit(127);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status);
}

TEST_F(Train, KilledAtAnyMomentItGoesOnBitByBit) {
  if (test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
  const std::vector<std::string> how = {"--epochs",       "40", "--save-every", "3",
                                        "--lora-dropout", "0.2"};
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(train("whole", how).code, 0);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  const int kills = test::test_length() == "long" ? 20 : 4;
  std::mt19937 random(1);
  for (int i = 0; i < kills; ++i) {
    std::vector<std::string> resumed = how;
    resumed.emplace_back("--resume");
    const auto most = static_cast<uint32_t>(took.count() * 2 / 3 + 20);
    if (run_and_kill(arguments("killed", resumed), 5 + static_cast<int>(random() % most))) {
      fs::remove_all(folder_ / "killed");  // it was done
    }
  }
  std::vector<std::string> resumed = how;
  resumed.emplace_back("--resume");
  const test::Run run = train("killed", resumed);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(adapter("killed"), adapter("whole"));
  for (const auto& entry : fs::directory_iterator(folder_ / "killed")) {
    EXPECT_THAT((std::set<std::string>{"adapter_config.json", "adapter_model.safetensors",
                                       "checkpoint.safetensors", "events.out.tfevents.fastvlm",
                                       "image_tokens", "metrics.jsonl", "report.html", "run.json"}),
                testing::Contains(entry.path().filename().string()));
  }
  const auto events =
      test::read_events(*read_text_file(folder_ / "killed" / "events.out.tfevents.fastvlm"));
  ASSERT_TRUE(events.has_value());
  ASSERT_EQ(events->size(), 161U);  // no step is lost, none is there twice
  for (size_t i = 0; i < events->size(); ++i) {
    EXPECT_EQ((*events)[i].step, static_cast<int64_t>(i));
  }
}

TEST_F(Train, RefusesAResumeWithOtherSettings) {
  ASSERT_EQ(train("run").code, 0);
  const test::Run run = train("run", {"--resume", "--seed", "9"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("the run was begun with seed 0, found 9"));
  add("tiny.png", "And one more.");
  EXPECT_THAT(train("run", {"--resume"}).err, HasSubstr("the run was begun with data"));
}

TEST_F(Train, TunesTheProjector) {
  const std::vector<std::string> how = {
      "--tune-projector", "--epochs", "3", "--learning-rate", "0.01", "--save-every", "2"};
  ASSERT_EQ(train("run", how).code, 0);
  const auto config =
      nlohmann::json::parse(*read_text_file(folder_ / "run" / "adapter_config.json"));
  EXPECT_EQ(config["modules_to_save"], nlohmann::json{"mm_projector"});
  const auto caption = [&](const std::string& model, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"caption",  test::golden("preprocess") / "landscape.png",
                                    "--model",  folder_ / model,
                                    "--prompt", "hello?",
                                    "--free",   "--max-tokens",
                                    "24",       "--precision",
                                    "fp32"};
    all.insert(all.end(), more.begin(), more.end());
    const test::Run run = test::fastvlm(all);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.out;
  };
  const std::string run = folder_ / "run";
  const std::string tuned = caption("model", {"--adapter", run});
  EXPECT_NE(tuned, caption("model", {}));
  EXPECT_EQ(caption("model", {"--adapter", run + ":0"}), caption("model", {}));
  const test::Run merged = test::fastvlm({"merge", "--model", folder_ / "model", "--adapter", run,
                                          "--out", folder_ / "merged", "--dtype", "f32", "--json"});
  ASSERT_EQ(merged.code, 0) << merged.err;
  EXPECT_EQ(nlohmann::json::parse(merged.out)["projector"], true);
  EXPECT_EQ(caption("merged", {}), tuned);

  // On from there, the projector goes on learning without being asked to.
  std::vector<std::string> more = arguments("more", {"--init-adapter", run});
  const auto rank = std::find(more.begin(), more.end(), "--lora-r");
  more.erase(rank, rank + 2);
  ASSERT_EQ(test::fastvlm(more).code, 0);
  const auto projector = [&](const std::string& out) {
    const auto file = SafetensorsFile::open(folder_ / out / "adapter_model.safetensors");
    const std::string name = "base_model.model.model.mm_projector.0.weight";
    return *to_floats(*file->find(name), name);
  };
  EXPECT_NE(projector("more"), projector("run"));
  const test::Run other = train("run", {"--resume", "--epochs", "3", "--learning-rate", "0.01"});
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err,
              HasSubstr("begun with adapter of LoRA and --tune-projector, found of LoRA alone"));
}

// Several processes, through MPI.
class TrainTeam : public Train {
 protected:
  void SetUp() override {
    if (!FASTVLM_MPI) GTEST_SKIP() << "built without FASTVLM_MPI";
    if (!fs::exists(kMpirun)) GTEST_SKIP() << "openmpi-bin is missing";
  }
  // `rank_one` is what the shell of the second process does before it becomes the program.
  test::Run run(int processes, const std::vector<std::string>& arguments,
                const std::string& rank_one = "") const {
    std::vector<std::string> command = {
        kMpirun,
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        std::to_string(processes),
        "--bind-to",
        "none",
        "/bin/sh",
        "-c",
        cat("[ $OMPI_COMM_WORLD_RANK != 1 ] || { ", rank_one, " :; }; exec \"$@\""),
        "sh",
        std::string(FASTVLM_BINARY_DIR) + "/fastvlm"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return test::run(command);
  }
  // What a step's line says, but for time and memory.
  std::vector<nlohmann::json> metrics(const std::string& out) const {
    std::ifstream in(folder_ / out / "metrics.jsonl");
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(in, line);) {
      nlohmann::json parsed = nlohmann::json::parse(line);
      for (const char* key : {"seconds", "rss", "time"}) parsed.erase(key);
      lines.push_back(std::move(parsed));
    }
    return lines;
  }

  static constexpr const char* kMpirun = "/usr/bin/mpirun";
  const std::vector<std::string> how_ = {"--batch-size",
                                         "4",
                                         "--gradient-accumulation",
                                         "1",
                                         "--epochs",
                                         "3",
                                         "--threads",
                                         "1",
                                         "--tune-projector",
                                         "--lora-dropout",
                                         "0.2",
                                         "--eval-data",
                                         folder_ / "data.jsonl"};
};

TEST_F(TrainTeam, GivesTheBytesOfOneProcess) {
  ASSERT_EQ(train("one", how_).code, 0);
  for (const int processes : {2, 3}) {
    const std::string out = cat("by ", processes);
    const test::Run found = run(processes, arguments(out, how_));
    ASSERT_EQ(found.code, 0) << found.err;
    EXPECT_EQ(adapter(out), adapter("one"));
    EXPECT_EQ(metrics(out), metrics("one"));
    EXPECT_EQ(std::count(found.out.begin(), found.out.end(), '\n'), 1) << found.out;
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / out / "image_tokens"), {}), 4);
  }
}

TEST_F(TrainTeam, GoesOnWithAnotherNumberOfProcessesAfterOneWasKilled) {
  std::vector<std::string> how = how_;
  *(std::find(how.begin(), how.end(), "--epochs") + 1) = "40";
  how.insert(how.end(), {"--save-every", "5"});
  ASSERT_EQ(train("whole", how).code, 0);
  const std::string checkpoint = folder_ / "killed/checkpoint.safetensors";
  const test::Run killed =
      run(2, arguments("killed", how),
          cat("( while [ ! -s '", checkpoint, "' ]; do sleep 0.01; done; kill -9 $$ ) &"));
  EXPECT_NE(killed.code, 0) << killed.err;
  EXPECT_FALSE(fs::exists(folder_ / "killed/adapter_model.safetensors"));
  how.emplace_back("--resume");
  const test::Run resumed = run(3, arguments("killed", how));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("going on after step "));
  EXPECT_EQ(adapter("killed"), adapter("whole"));
  EXPECT_EQ(metrics("killed"), metrics("whole"));
}

// Of the lines on stderr those that the program wrote.
std::vector<std::string> said(const test::Run& run) {
  std::vector<std::string> lines;
  std::istringstream all(run.err);
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with("fastvlm: error: ") || line.starts_with("hint: ")) lines.push_back(line);
  }
  return lines;
}

TEST_F(TrainTeam, AnErrorOfOneEndsAllWithOneMessage) {
  const test::Run many = run(3, arguments("run"));  // two samples a step
  EXPECT_EQ(many.code, 1);
  EXPECT_EQ(said(many).size(), 2U) << many.err;
  EXPECT_THAT(many.err, HasSubstr("expected at least a sample a step for each of 3 processes"));

  const test::Run other = run(2, arguments("run"), "set -- \"$@\" --seed 9;");
  EXPECT_EQ(other.code, 1) << other.err;
  EXPECT_EQ(said(other).size(), 2U) << other.err;
  EXPECT_THAT(other.err, HasSubstr("process 1: processes that train together need the same seed"));

  std::ofstream(folder_ / "data.jsonl") << "";
  const test::Run empty = run(2, arguments("run"));
  EXPECT_EQ(empty.code, 2);
  EXPECT_EQ(said(empty).size(), 2U) << empty.err;
}

TEST_F(Train, SaysWhatIsMissing) {
  const test::Run run = test::fastvlm({"train", "--data", "x"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("--out is required"), HasSubstr("\nhint: ")));
}

TEST_F(Train, NeverTakesThePlaceOfSomethingElse) {
  const auto refused = [&](const std::string& out, const std::vector<std::string>& more,
                           const std::string& message) {
    const test::Run run = train(out, more);
    EXPECT_EQ(run.code, 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
  };
  refused("model", {}, "holds a checkpoint");
  fs::create_directories(folder_ / "lora");
  std::ofstream(folder_ / "lora/adapter_config.json") << "{}";
  refused("lora", {}, "holds an adapter that is not of a run");
  fs::create_directories(folder_ / "own");
  fs::copy_file(folder_ / "data.jsonl", folder_ / "own/metrics.jsonl");
  refused("own", {"--resume"}, "is not the metrics of a run");
  EXPECT_EQ(*read_text_file(folder_ / "own/metrics.jsonl"),
            *read_text_file(folder_ / "data.jsonl"));
  fs::create_directories(folder_ / "page");
  std::ofstream(folder_ / "page/report.html") << "mine";
  refused("page", {}, "report.html: is not of a run");
  fs::create_directories(folder_ / "record");
  std::ofstream(folder_ / "record/run.json") << "{\"mine\": 1}";
  refused("record", {}, "run.json: key `parts`: is not as a run writes it");
  refused("run", {"--learning-rate", "nan"}, "--learning-rate");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace fastvlm
