// SPDX-License-Identifier: Apache-2.0
// fastvlm caption over folders: what is written, what is said, and that no end of a run loses work.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <thread>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "image/description.h"
#include "image/encode.h"
#include "support/test_length.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CaptionJobTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = new test::TemporaryFolder;
    test::make_tiny_model(*model_ / "tiny", "hd_tied");
  }
  static void TearDownTestSuite() {
    delete model_;
    model_ = nullptr;
  }

  // A little picture of its own colours.
  void make_picture(const std::string& name, unsigned seed) const {
    Image image;
    image.width = 40;
    image.height = 30;
    std::minstd_rand random(seed);
    for (int i = 0; i < image.width * image.height * 3; ++i) {
      image.rgb.push_back(static_cast<uint8_t>(random() % 256));
    }
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << *encode_png(image, name);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string read(const std::string& name) const {
    const auto text = read_text_file(folder_ / name);
    return text.ok() ? *text : "(" + text.status().message + ")";
  }
  bool exists(const std::string& name) const { return fs::exists(folder_ / name); }
  static std::vector<std::string> with_model(std::vector<std::string> arguments) {
    const std::vector<std::string> before = {
        "caption", "--model", *model_ / "tiny", "--max-tokens", "8", "--prompt", "hello"};
    arguments.insert(arguments.begin(), before.begin(), before.end());
    return arguments;
  }
  test::Run caption(std::vector<std::string> arguments, test::RunOptions options = {}) const {
    options.folder = folder_.path();
    return test::fastvlm(with_model(std::move(arguments)), options);
  }
  // Starts the program in the folder, its stderr in the file "err".
  pid_t start(const std::vector<std::string>& command) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int err = ::open((folder_ / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::setenv("XDG_CACHE_HOME", (folder_ / "no-cache").c_str(), 1);
    test::detail::become(command, {.folder = folder_.path()}, nowhere, nowhere, err);
  }
  static void expect_error(const test::Run& run, int code, const std::string& message) {
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_THAT(run.err,
                AllOf(HasSubstr("fastvlm: error: "), HasSubstr(message), HasSubstr("\nhint: ")));
  }
  // Every file below a folder but journals, with its bytes.
  std::map<std::string, std::string> files_in(const std::string& folder) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / folder)) {
      if (!entry.is_regular_file() || entry.path().extension() == ".journal") continue;
      files[fs::relative(entry.path(), folder_ / folder)] = *read_text_file(entry.path());
    }
    return files;
  }

  static test::TemporaryFolder* model_;
  test::TemporaryFolder folder_;
};

test::TemporaryFolder* CaptionJobTest::model_ = nullptr;

TEST_F(CaptionJobTest, OneFileForTwoOutputsIsRefusedHoweverItIsNamed) {
  make_picture("a.png", 1);
  fs::create_symlink("x.jsonl", folder_ / "link");
  const std::vector<std::vector<std::string>> pairs = {
      {"--out", "x.jsonl", "--journal", "./x.jsonl"},
      {"--out", "x.jsonl", "--journal", (folder_ / "x.jsonl").string()},
      {"--out", "x.jsonl", "--journal", "link"},
      {"--gallery", "g.html", "--journal", "./g.html"},
      {"--out", "x.jsonl", "--gallery", "./x.jsonl"}};
  for (std::vector<std::string> arguments : pairs) {
    arguments.insert(arguments.begin(), "a.png");
    const test::Run run = caption(arguments);
    EXPECT_EQ(run.code, 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr("is written already"));
  }
}

TEST_F(CaptionJobTest, WhatNoPictureCanHaveIsRefusedOnce) {
  make_picture("a.png", 1);
  make_picture("b.png", 2);
  const test::Run run = test::fastvlm({"caption", "--model", *model_ / "tiny", "--max-tokens", "8",
                                       "a.png", "b.png", "--out", "x.jsonl"},
                                      {.folder = folder_.path()});
  EXPECT_EQ(run.code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("max_tokens: expected at least"));
  EXPECT_EQ(run.err.find("max_tokens"), run.err.rfind("max_tokens"));
  EXPECT_FALSE(exists("x.jsonl"));
  EXPECT_FALSE(exists("x.jsonl.journal"));
}

TEST_F(CaptionJobTest, SidecarsOfAFolder) {
  make_picture("p/a.png", 1);
  make_picture("p/sub/b.png", 2);
  const std::string a = caption({"p/a.png"}).out;
  const test::Run flat = caption({"p", "--sidecar"});
  ASSERT_EQ(flat.code, 0) << flat.err;
  EXPECT_EQ(flat.out, "");
  EXPECT_EQ(read("p/a.txt"), a);
  EXPECT_FALSE(exists("p/sub/b.txt"));
  EXPECT_TRUE(exists("p/captions.journal"));
  EXPECT_THAT(flat.err, HasSubstr("1 of 1 picture has a caption: 1 made in "));
  const test::Run deep = caption({"p", "-r", "--sidecar", "--format", "paragraph,json,xmp"});
  ASSERT_EQ(deep.code, 0) << deep.err;
  EXPECT_THAT(deep.err, HasSubstr("2 of 2 pictures have a caption: 1 made in "));
  EXPECT_THAT(deep.err, HasSubstr("1 made before"));
  EXPECT_EQ(json::parse(read("p/sub/b.json"))["image"], "sub/b.png");
  EXPECT_EQ(read("p/sub/b.json"),
            caption({"p/sub", "--json"})
                .out.replace(std::string("{\n  \"image\": \"").size(), 0, "sub/"));
  EXPECT_THAT(read("p/sub/b.png.xmp"), HasSubstr("<dc:description>"));
  EXPECT_EQ(caption({"p", "--sidecar", "--quiet", "-r"}).err, "");
}

TEST_F(CaptionJobTest, FoldersOnStdoutNeedNoJournal) {
  make_picture("p/b.png", 1);
  make_picture("p/a.png", 2);
  write("p/notes.txt", "x");
  const test::Run run = caption({"p"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, testing::StartsWith("== a.png ==\n"));
  EXPECT_THAT(run.out, HasSubstr("\n== b.png ==\n"));
  EXPECT_EQ(files_in("p").size(), 3U);
  const std::string a = caption({"p/a.png"}).out;
  EXPECT_EQ(caption({"-", "--include", "a*"}, {.input = "p/b.png\np/a.png\n"}).out, a);
  EXPECT_EQ(caption({"p", "--exclude", "b*", "--exclude", "c*"}).out, a);
  write("list", std::string("p/a.png\0", 8));
  EXPECT_EQ(caption({"--list", "list", "--null"}).out, a);
}

TEST_F(CaptionJobTest, OneFileForAll) {
  make_picture("p/a.png", 1);
  make_picture("p/b.png", 2);
  ASSERT_EQ(caption({"p/*.png", "--out", "all.jsonl"}).code, 0);
  EXPECT_EQ(read("all.jsonl"), caption({"p/a.png", "p/b.png", "--json"}).out);
  EXPECT_TRUE(exists("all.jsonl.journal"));
  make_picture("p/c.png", 3);
  ASSERT_EQ(caption({"p/*.png", "--out", "all.jsonl"}).code, 0) << "its own file may be replaced";
  EXPECT_THAT(read("all.jsonl"), HasSubstr("\"image\":\"p/c.png\""));

  write("mine.csv", "precious");
  expect_error(caption({"p/*.png", "--out", "mine.csv"}), 1, "no run with this journal wrote it");
  EXPECT_EQ(read("mine.csv"), "precious");
  ASSERT_EQ(caption({"p/*.png", "--out", "mine.csv", "--existing", "overwrite"}).code, 0);
  EXPECT_THAT(read("mine.csv"), testing::StartsWith("image,text,"));
}

TEST_F(CaptionJobTest, AFolderOfOutputs) {
  make_picture("p/sub/a.png", 1);
  const test::Run run = caption({"p", "-r", "--out", "out/new", "--format", "markdown,jsonl,csv"});
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* file : {"sub/a.md", "captions.jsonl", "captions.csv", "captions.journal"}) {
    EXPECT_TRUE(exists(std::string("out/new/") + file)) << file;
  }
}

TEST_F(CaptionJobTest, DamagedPicturesAreListedAndTriedAgain) {
  make_picture("p/a.png", 1);
  write("p/bad.png", "no picture");
  const test::Run run = caption({"p", "p/none.png", "--root", "p", "--out", "all.jsonl"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("1 of 3 pictures have a caption"));
  EXPECT_THAT(run.err, HasSubstr("failed: p/bad.png: "));
  EXPECT_THAT(run.err, HasSubstr("failed: p/none.png: no such file"));
  EXPECT_THAT(run.err, HasSubstr("the same command tries these again"));
  const json report =
      json::parse(caption({"p", "p/none.png", "--root", "p", "--out", "all.jsonl", "--json"}).out);
  EXPECT_EQ(report["pictures"], 3);
  EXPECT_EQ(report["made_before"], 1);
  EXPECT_EQ(report["failed"].size(), 2U);
  fs::remove(folder_ / "p/a.png");
  const test::Run none = caption({"p", "--out", "none.jsonl"});
  EXPECT_EQ(none.code, 2);
  EXPECT_FALSE(exists("none.jsonl"));
}

TEST_F(CaptionJobTest, OtherSettingsAreRefused) {
  make_picture("p/a.png", 1);
  ASSERT_EQ(caption({"p", "--out", "all.jsonl"}).code, 0);
  const std::string before = read("all.jsonl.journal");
  for (const std::vector<std::string>& other : std::vector<std::vector<std::string>>{
           {"--seed", "7"}, {"--order", "ios"}, {"--tags", "dog"}, {"--no-exif"}}) {
    std::vector<std::string> arguments = {"p", "--out", "all.jsonl"};
    arguments.insert(arguments.end(), other.begin(), other.end());
    expect_error(caption(arguments), 2, "its captions were made with other settings");
  }
  EXPECT_EQ(read("all.jsonl.journal"), before);
}

TEST_F(CaptionJobTest, WrongUse) {
  make_picture("p/a.png", 1);
  make_picture("p/a.webp", 2);
  fs::create_directories(folder_ / "empty");
  expect_error(caption({"empty"}), 2, "no pictures in this folder");
  expect_error(caption({"empty", "--sidecar"}), 2, "no pictures in this folder");
  expect_error(caption({"--list", "none.txt"}), 2, "none.txt");
  expect_error(caption({"-"}), 1, "the list of pictures is empty");
  expect_error(caption({"p", "--sidecar"}), 1, "would both write p/a.txt");
  expect_error(caption({"p", "--format", "jsonl"}), 1, "--format");
  expect_error(caption({"p", "--sidecar", "--format", "csv"}), 1, "--format csv: where to?");
  expect_error(caption({"p", "--out", "a.jsonl", "--format", "csv"}), 1, "needs another");
  expect_error(caption({"p", "--out", "a.jsonl", "--existing", "append"}), 1,
               "only texts can be added to");
  expect_error(caption({"p", "--out", "nowhere/a.jsonl"}), 2, "does not exist");
  expect_error(caption({"p", "--shard", "2/2"}), 1, "--shard 2/2");
  expect_error(caption({"p", "--shard", "auto"}), 1, "expected OMPI_COMM_WORLD_RANK");
  expect_error(caption({"p", "--out", "a.jsonl", "--stream"}), 1, "--stream");
  EXPECT_FALSE(exists("a.jsonl"));
  EXPECT_FALSE(exists("a.jsonl.journal"));
}

TEST_F(CaptionJobTest, OutputsNeverReplaceInputs) {
  make_picture("p/a.png", 1);
  write("p/a.txt", "p/a.png\n");
  expect_error(caption({"--list", "p/a.txt", "--sidecar", "--existing", "overwrite"}), 1,
               "which is read");
  EXPECT_EQ(read("p/a.txt"), "p/a.png\n");
  fs::create_symlink("a.png", folder_ / "p/a.json");
  expect_error(caption({"p/a.png", "--sidecar", "--format", "json", "--existing", "overwrite"}), 1,
               "which is read");
}

TEST_F(CaptionJobTest, FromTheJournalAlone) {
  make_picture("p/a.png", 1);
  make_picture("p/b.png", 2);
  write("p/c.png", "no picture");
  ASSERT_EQ(caption({"p", "--out", "all.jsonl", "--sidecar"}).code, 3);
  const auto rewrite = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"caption", "--from-journal", "all.jsonl.journal"});
    return test::fastvlm(arguments, {.folder = folder_.path()});
  };
  const test::Run run = rewrite({"--out", "again.jsonl"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(read("again.jsonl"), read("all.jsonl"));
  EXPECT_THAT(run.err, HasSubstr("2 pictures written from all.jsonl.journal"));
  EXPECT_THAT(run.err, HasSubstr("1 picture of that run without a caption"));
  const std::string text = read("p/a.txt");
  fs::remove(folder_ / "p/a.txt");
  ASSERT_EQ(rewrite({"--sidecar"}).code, 0);
  EXPECT_EQ(read("p/a.txt"), text);
  expect_error(rewrite({}), 1, "where to?");
  expect_error(rewrite({"--out", "again.jsonl"}), 1, "is there");
}

// What --verify-objects shows is in every journal whose pictures had tags.
TEST_F(CaptionJobTest, ObjectsThatNobodySaw) {
  make_picture("p/a.png", 1);
  write("pets.json", R"({"introduction": "x", "sections": [
      {"name": "pets", "title": "Pets", "choices": ["A kitten and a dog."]}]})");
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"caption", "p", "--model", *model_ / "tiny", "--max-tokens", "60",
                               "--schema", "pets.json"});
    return test::fastvlm(more, {.folder = folder_.path()});
  };
  ASSERT_EQ(run({"--tags", "dog", "--out", "plain.txt"}).code, 0);
  EXPECT_EQ(read("plain.txt"), "== a.png ==\n1. Pets – A kitten and a dog.\n");
  ASSERT_EQ(run({"--tags", "dog", "--out", "marked", "--format", "txt,jsonl,csv,markdown",
                 "--gallery", "marked.html", "--verify-objects"})
                .code,
            0);
  EXPECT_EQ(read("marked/a.txt"), "1. Pets – A kitten [unseen] and a dog.\n");
  EXPECT_THAT(read("marked.html"), HasSubstr(R"(["1. Pets – A ","kitten"," and a dog."])"));
  EXPECT_THAT(read("marked/captions.csv"), HasSubstr(",cat,stop"));
  for (const std::string journal : {"plain.txt.journal", "marked/captions.journal"}) {
    const test::Run again = test::fastvlm(
        {"caption", "--from-journal", journal, "--verify-objects", "--out", "again", "--format",
         "txt,jsonl,csv,markdown", "--gallery", "again.html", "--existing", "overwrite"},
        {.folder = folder_.path()});
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(files_in("again"), files_in("marked"));
    EXPECT_EQ(read("again.html"), read("marked.html"));
  }
  EXPECT_EQ(test::fastvlm({"merge-results", "m.jsonl", "plain.txt.journal", "--verify-objects"},
                          {.folder = folder_.path()})
                .code,
            0);
  EXPECT_EQ(read("m.jsonl"), read("marked/captions.jsonl"));
  ASSERT_EQ(run({"--out", "untagged.txt"}).code, 0);
  expect_error(test::fastvlm({"caption", "--from-journal", "untagged.txt.journal",
                              "--verify-objects", "--out", "x.txt"},
                             {.folder = folder_.path()}),
               1, "no tags were known of a.png");
}

TEST_F(CaptionJobTest, ShardsMakeTheSame) {
  for (unsigned i = 0; i < 5; ++i) make_picture("p/" + std::to_string(i) + ".png", i);
  ASSERT_EQ(caption({"p", "--out", "whole.jsonl"}).code, 0);
  ASSERT_EQ(caption({"p", "--out", "part.jsonl", "--shard", "0/2"}).code, 0);
  ASSERT_EQ(caption({"p", "--out", "part.jsonl", "--shard", "auto"},
                    {.environment = {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}}})
                .code,
            0);
  const auto merge = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "merge-results");
    return test::fastvlm(arguments, {.folder = folder_.path()});
  };
  const std::string first = "part.0-of-2.jsonl.journal";
  const std::string second = "part.1-of-2.jsonl.journal";
  const test::Run merged = merge({"merged.jsonl", second, first});
  ASSERT_EQ(merged.code, 0) << merged.err;
  EXPECT_EQ(merged.out, "5 captions\n");
  EXPECT_EQ(read("merged.jsonl"), read("whole.jsonl"));
  expect_error(merge({"merged.jsonl", first}), 1, "is there already");
  const test::Run half = merge({"merged.jsonl", first, "--overwrite"});
  EXPECT_EQ(half.code, 3);
  EXPECT_THAT(half.out, HasSubstr("3 captions\nshards that no journal is of: 1: 1\n"));
  expect_error(merge({"new.jsonl", "whole.jsonl", "p/0.png"}), 2, "p/0.png: ");
  EXPECT_FALSE(exists("new.jsonl"));
  expect_error(merge({first, second, "--overwrite"}), 1, "is the journal of shard 0 of 2");
  EXPECT_EQ(merge({"again.jsonl", first, second}).code, 0) << "it is still there";
  // Another journal stays until the new one is there.
  ASSERT_EQ(merge({"whole.journal", first, second}).code, 0);
  const std::string before = read("whole.journal");
  expect_error(merge({"whole.journal", "p/0.png", "--overwrite"}), 2, "p/0.png: ");
  EXPECT_EQ(read("whole.journal"), before);
  EXPECT_EQ(merge({"whole.journal", first, second, "--overwrite"}).code, 0);
  EXPECT_EQ(read("whole.journal"), before);
}

// A scheduler's own launcher, where it is installed.
TEST_F(CaptionJobTest, ShardsOfMpirun) {
  const std::string mpirun = "/usr/bin/mpirun";
  if (!fs::exists(mpirun)) GTEST_SKIP() << "openmpi-bin is missing";
  for (unsigned i = 0; i < 5; ++i) make_picture("p/" + std::to_string(i) + ".png", i);
  ASSERT_EQ(caption({"p", "--out", "whole.jsonl"}).code, 0);
  std::vector<std::string> command = with_model({"p", "--out", "part.jsonl", "--shard", "auto"});
  command.insert(command.begin(), {mpirun, "--allow-run-as-root", "--oversubscribe", "-n", "2",
                                   std::string(FASTVLM_BINARY_DIR) + "/fastvlm"});
  const test::Run run = test::run(command, {.folder = folder_.path()});
  ASSERT_EQ(run.code, 0) << run.err;
  const test::Run merged = test::fastvlm(
      {"merge-results", "merged.jsonl", "part.0-of-2.jsonl.journal", "part.1-of-2.jsonl.journal"},
      {.folder = folder_.path()});
  EXPECT_EQ(merged.out, "5 captions\n") << merged.err;
  EXPECT_EQ(read("merged.jsonl"), read("whole.jsonl"));
}

TEST_F(CaptionJobTest, CtrlCFinishesThePictureInHand) {
  for (unsigned i = 0; i < 40; ++i) make_picture("p/" + std::to_string(i) + ".png", i);
  std::vector<std::string> arguments = with_model({"p", "--sidecar", "--temperature", "50"});
  arguments[4] = "400";
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  const pid_t child = start(arguments);
  while (!exists("p/0.txt")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(child, SIGINT);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_THAT(read("err"),
              AllOf(HasSubstr("finishing what is in hand"), HasSubstr("the same command goes on")));
}

// A disk on which only small files fit: the run ends, says so, and leaves nothing half-written.
TEST_F(CaptionJobTest, AFullDisk) {
  for (unsigned i = 0; i < 4; ++i) make_picture("p/" + std::to_string(i) + ".png", i);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{3000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const test::Run full = caption({"p", "--out", "all.jsonl"});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  expect_error(full, 2, "all.jsonl.journal: cannot be written: File too large");
  EXPECT_THAT(full.err, HasSubstr("free some space"));
  EXPECT_FALSE(exists("all.jsonl"));
  const test::Run again = caption({"p", "--out", "all.jsonl"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("made before"));
  ASSERT_EQ(caption({"p", "--out", "whole.jsonl"}).code, 0);
  EXPECT_EQ(read("all.jsonl"), read("whole.jsonl"));
}

TEST_F(CaptionJobTest, AFolderThatCannotBeWritten) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  make_picture("p/a.png", 1);
  fs::permissions(folder_ / "p", fs::perms::owner_read | fs::perms::owner_exec);
  expect_error(caption({"p", "--sidecar"}), 2, "files cannot be written into this folder");
  fs::permissions(folder_ / "p", fs::perms::owner_all);
}

TEST_F(CaptionJobTest, IntoThePicturesThemselves) {
  if (!can_write_descriptions()) GTEST_SKIP() << "built without libexempi";
  make_picture("p/a.png", 1);
  const std::string text = caption({"p/a.png"}).out;
  const auto description = [&](const std::string& name) {
    const std::string file = read(name);
    const auto found = read_description(std::as_bytes(std::span(file)), name);
    return found.ok() ? found->value_or("(none)") : found.status().message;
  };
  const test::Run run = caption({"p", "--embed"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_TRUE(exists("p/captions.journal"));
  EXPECT_EQ(description("p/a.png") + "\n", as_description(text));
  EXPECT_EQ(caption({"p/a.png"}).out, text);
  EXPECT_THAT(caption({"p", "--embed"}).err, HasSubstr("1 made before"));
  // From a journal, which then knows the changed picture.
  make_picture("q/b.png", 2);
  ASSERT_EQ(caption({"q", "--sidecar"}).code, 0);
  const test::Run later = test::fastvlm(
      {"caption", "--from-journal", "q/captions.journal", "--embed"}, {.folder = folder_.path()});
  EXPECT_EQ(later.code, 0) << later.err;
  EXPECT_EQ(description("q/b.png") + "\n", as_description(read("q/b.txt")));
  EXPECT_THAT(caption({"q", "--sidecar"}).err, HasSubstr("1 made before"));
  fs::copy_file(test::golden("image/lossy.webp"), folder_ / "p/c.webp");
  const test::Run mixed = caption({"p", "--embed", "--existing", "append"});
  EXPECT_EQ(mixed.code, 3);
  EXPECT_THAT(mixed.err, HasSubstr("p/c.webp: captions are written into JPEG and PNG files"));
}

TEST_F(CaptionJobTest, TheDemoModelStaysOutOfPhotographs) {
  if (!can_write_descriptions()) GTEST_SKIP() << "built without libexempi";
  make_picture("p/a.png", 1);
  const std::string before = read("p/a.png");
  for (const char* command : {"caption", "watch"}) {
    const test::Run run =
        test::fastvlm({command, "p", "--embed"},
                      {.environment = {{"FASTVLM_MODEL", ""}}, .folder = folder_.path()});
    EXPECT_EQ(run.code, 1) << run.err;
    EXPECT_THAT(run.err, AllOf(HasSubstr("--embed: no model is named"), HasSubstr("--model")));
  }
  EXPECT_EQ(read("p/a.png"), before);
  EXPECT_FALSE(exists("p/captions.journal"));
}

TEST_F(CaptionJobTest, NamesThatAreNoUtf8StayTwo) {
  make_picture("p/\xFE.png", 1);
  make_picture("p/\xFF.png", 2);
  const test::Run run = caption({"p", "--out", "all.jsonl", "--sidecar"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(read("all.jsonl"), AllOf(HasSubstr("\"%FE.png\""), HasSubstr("\"%FF.png\"")));
  EXPECT_TRUE(exists("p/\xFE.txt") && exists("p/\xFF.txt"));
}

TEST_F(CaptionJobTest, LongNames) {
  make_picture("p/" + std::string(251, 'a') + ".png", 1);
  make_picture("p/b.png", 2);
  const test::Run fits = caption({"p", "--sidecar"});
  EXPECT_EQ(fits.code, 0) << fits.err;
  EXPECT_TRUE(exists("p/" + std::string(251, 'a') + ".txt"));
  const test::Run too_long = caption({"p", "--sidecar", "--format", "json"});
  EXPECT_EQ(too_long.code, 3) << too_long.err;
  EXPECT_THAT(too_long.err, HasSubstr("its name is too long for this file system"));
  EXPECT_TRUE(exists("p/b.json"));
  expect_error(caption({"p", "--out", std::string(260, 'a') + ".jsonl"}), 1, "too long");
}

TEST_F(CaptionJobTest, WhatAnAttackFound) {
  make_picture("p/a.png", 1);
  expect_error(caption({"--list", ""}), 1, "--list: expected a text, found nothing");
  write("utf16", "\xFF\xFEp");
  expect_error(caption({"--list", "utf16"}), 2, "found UTF-16");
  write("marked", "\xEF\xBB\xBFp/a.png\n");
  EXPECT_EQ(caption({"--list", "marked"}).code, 0);
  expect_error(caption({"p", "--memory", "-5M"}), 1, "expected a size as in 400M, found -5M");
  // A journal that a picture's own text would be written into.
  expect_error(caption({"p", "--sidecar", "--journal", "p/a.txt"}), 1, "is written already");
  expect_error(caption({"p", "--sidecar", "--out", "p/./a.txt"}), 1, "is written already");
  EXPECT_FALSE(exists("p/a.txt"));
  const auto watch = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"watch", "p"});
    return test::fastvlm(arguments, {.folder = folder_.path()});
  };
  expect_error(watch({"--gallery", "g.html"}), 1, "--gallery");
  expect_error(watch({"q"}), 1, "expected one folder to watch, found 2");
}

TEST_F(CaptionJobTest, GalleryFromAJournalElsewhere) {
  make_picture("p/a.png", 1);
  ASSERT_EQ(caption({"p", "--sidecar"}).code, 0);
  fs::create_directories(folder_ / "x");
  const auto gallery = [&](const std::string& page) {
    return test::fastvlm({"caption", "--from-journal", "../p/captions.journal", "--gallery", page},
                         {.folder = folder_ / "x"});
  };
  ASSERT_EQ(gallery("g.html").code, 0);
  EXPECT_THAT(read("x/g.html"), HasSubstr("data:image/webp"));
  fs::remove(folder_ / "p/a.png");
  const test::Run lost = gallery("h.html");
  EXPECT_EQ(lost.code, 0);
  EXPECT_THAT(lost.err, HasSubstr("--gallery: 1 picture of 1 not found"));
}

TEST_F(CaptionJobTest, AWatchedPictureThatSucceedsLater) {
  write("p.bytes", "no picture");
  make_picture("good.png", 1);
  fs::create_directories(folder_ / "w");
  std::vector<std::string> arguments = with_model({"w"});
  arguments[0] = "watch";
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  const pid_t child = start(arguments);
  const auto becomes = [&](const std::function<bool()>& true_now) {
    for (int i = 0; i < 3000 && !true_now(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true_now();
  };
  EXPECT_TRUE(becomes([&] { return exists("w/captions.journal"); }));
  fs::rename(folder_ / "p.bytes", folder_ / "w/a.png");
  EXPECT_TRUE(
      becomes([&] { return read("w/captions.journal").find("\"error\"") != std::string::npos; }));
  fs::rename(folder_ / "good.png", folder_ / "w/a.png");
  EXPECT_TRUE(becomes([&] { return exists("w/a.txt"); }));
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << read("err");
  EXPECT_THAT(read("err"), Not(HasSubstr("failed: ")));
}

TEST_F(CaptionJobTest, AWatchedFolderThatGoes) {
  make_picture("up/w/a.png", 1);
  std::vector<std::string> arguments = with_model({"up/w", "--out", "all.jsonl", "--sidecar"});
  arguments[0] = "watch";
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  for (const char* renamed : {"up/w", "up"}) {
    fs::remove(folder_ / "err");
    const pid_t child = start(arguments);
    for (int i = 0; i < 3000 && read("err").find("watching up/w") == std::string::npos; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    fs::rename(folder_ / renamed, folder_ / "elsewhere");
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 2);
    EXPECT_THAT(read("err"), HasSubstr("up/w: was renamed or removed while it was watched"));
    fs::rename(folder_ / "elsewhere", folder_ / renamed);
  }
}

TEST_F(CaptionJobTest, WatchesAFolder) {
  make_picture("w/old.png", 1);
  make_picture("elsewhere.png", 2);
  make_picture("deep.png", 3);
  write("picture.bytes", read("elsewhere.png"));
  std::vector<std::string> arguments = with_model({"w", "-r", "--out", "all.jsonl", "--sidecar"});
  arguments[0] = "watch";
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  const pid_t child = start(arguments);
  const auto comes = [&](const std::string& name) {
    for (int i = 0; i < 3000 && !exists(name); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return exists(name);
  };
  EXPECT_TRUE(comes("w/old.txt"));
  fs::rename(folder_ / "elsewhere.png", folder_ / "w/moved.png");
  EXPECT_TRUE(comes("w/moved.txt"));
  {
    // Not before its writer is done.
    const std::string bytes = read("picture.bytes");
    std::ofstream slow(folder_ / "w/written.png", std::ios::binary);
    slow << bytes.substr(0, 100) << std::flush;
    make_picture("w/other.png", 4);
    EXPECT_TRUE(comes("w/other.txt"));
    EXPECT_FALSE(exists("w/written.txt"));
    slow << bytes.substr(100);
  }
  EXPECT_TRUE(comes("w/written.txt"));
  make_picture("w/new/folder/deep.png", 3);
  EXPECT_TRUE(comes("w/new/folder/deep.txt"));
  // The file for all follows when nothing is left to do.
  for (int i = 0; i < 3000 && read("all.jsonl").find("deep") == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << read("err");
  const test::Run again = caption({"w", "-r", "--out", "all.jsonl", "--sidecar"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("5 of 5 pictures have a caption: 5 made before"));
}

TEST_F(CaptionJobTest, Gallery) {
  make_picture("p/a.png", 1);
  const test::Run run = caption({"p", "--gallery", "g.html", "--tags", "dog"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(exists("g.html.journal"));
  const std::string page = read("g.html");
  EXPECT_THAT(page, AllOf(testing::StartsWith("<!DOCTYPE html>"), HasSubstr("data:image/webp"),
                          HasSubstr("\"label\":\"dog\""), Not(HasSubstr("@DATA@")),
                          Not(HasSubstr("http"))));
}

// Kill -9 at random moments: what is there at the end is what an undisturbed run writes.
TEST_F(CaptionJobTest, KilledAndResumed) {
  const bool whole = test::test_length() == "long";
  const unsigned count = whole ? 300 : 60;
  const int kills = whole ? 50 : 12;
  for (unsigned i = 0; i < count; ++i) {
    const std::string name = "p/" + std::to_string(i % 3) + "/" + std::to_string(i) + ".png";
    make_picture(name, i);
    if (i % 11 == 5) fs::resize_file(folder_ / name, 60);
  }
  fs::copy(folder_ / "p", folder_ / "q", fs::copy_options::recursive);
  const auto arguments = [](const std::string& folder) {
    return with_model(
        {folder, "-r", "--sidecar", "--format", "txt,json,xmp", "--out", folder + "/all.jsonl"});
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(test::fastvlm(arguments("p"), {.folder = folder_.path()}).code, 3);
  const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - begin);

  std::vector<std::string> command = arguments("q");
  command.insert(command.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  std::mt19937 random(20240611);
  std::uniform_int_distribution<int64_t> moment(0, taken.count() / 4);
  int killed = 0;
  for (int i = 0; i < kills; ++i) {
    const pid_t child = start(command);
    std::this_thread::sleep_for(std::chrono::microseconds(moment(random)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    killed += WIFSIGNALED(status) ? 1 : 0;
  }
  EXPECT_GT(killed, 0);
  const test::Run last = test::fastvlm(arguments("q"), {.folder = folder_.path()});
  EXPECT_EQ(last.code, 3) << last.err;
  const auto undisturbed = files_in("p");
  EXPECT_EQ(undisturbed.size(), count + 3 * (count - (count + 5) / 11) + 1);
  EXPECT_EQ(files_in("q"), undisturbed);
}

}  // namespace
}  // namespace fastvlm
