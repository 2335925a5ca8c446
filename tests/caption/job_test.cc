// SPDX-License-Identifier: Apache-2.0
// Folder jobs with a captioner that needs no model.
#include "caption/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/mapped_file.h"
#include "caption/merge.h"
#include "image/decode.h"
#include "image/description.h"
#include "image/encode.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const JobSettings kSettings = {{"model", "none"}};

class JobTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a.png", "b.png", "c.png", "d.png"}) make_picture(name, 4);
    outputs_.each = {OutputFormat::kText};
  }

  // Its caption will tell the width.
  void make_picture(const std::string& name, int width) {
    Image image;
    image.width = width;
    image.height = 3;
    image.rgb.assign(static_cast<size_t>(width) * 3 * 3, 200);
    std::ofstream(folder_ / name, std::ios::binary) << *encode_png(image, name);
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string read(const std::string& name) const { return *read_text_file(folder_ / name); }
  std::vector<Picture> pictures() const {
    std::vector<Picture> found;
    for (const std::string& name : names_) found.push_back({folder_ / name, name});
    return found;
  }
  static std::string text_of(const std::string& name, int width) {
    return name + " is " + std::to_string(width) + " wide";
  }

  // One run; what it captioned is in captioned_.
  Status run(Shard shard = {}, const std::string& journal_name = "captions.journal") {
    captioned_.clear();
    auto journal = Journal::open(folder_ / journal_name, kSettings);
    if (!journal.ok()) return journal.status();
    Job::Options options{outputs_};
    options.stop = [this] { return captioned_.size() >= stop_after_; };
    Job job(*journal, options, [this](const Image& image, const Picture& picture) {
      captioned_.push_back(picture.name);
      return Result<std::string>(R"({"image":")" + picture.name + R"(","text":")" +
                                 text_of(picture.name, image.width) +
                                 R"(","sections":{},"finish_reason":"stop","timings":{}})");
    });
    std::vector<Picture> part;
    const std::vector<Picture> all = pictures();
    for (size_t i = shard.index; i < all.size(); i += shard.count) part.push_back(all[i]);
    const Status end = job.run(part, shard);
    counts_ = job.counts();
    failures_ = job.failures();
    return end;
  }

  test::TemporaryFolder folder_;
  std::vector<std::string> names_;
  JobOutputs outputs_;
  size_t stop_after_ = 1000;
  std::vector<std::string> captioned_;
  JobCounts counts_;
  std::vector<JobFailure> failures_;
};

TEST_F(JobTest, CaptionsEachOnce) {
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("a.png", "b.png", "c.png", "d.png"));
  EXPECT_EQ(read("b.txt"), text_of("b.png", 4) + "\n");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(counts_.kept, 4U);
}

TEST_F(JobTest, AnInterruptedRunGoesOn) {
  outputs_.all = {{OutputFormat::kJsonLines, folder_ / "all.jsonl"}};
  stop_after_ = 2;
  const Status stopped = run();
  EXPECT_EQ(stopped.code, Code::kInterrupted);
  EXPECT_EQ(captioned_.size(), 2U);
  EXPECT_TRUE(fs::exists(folder_ / "b.txt"));
  EXPECT_FALSE(fs::exists(folder_ / "all.jsonl")) << "whole or not at all";
  stop_after_ = 1000;
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("c.png", "d.png"));
  const std::string lines = read("all.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 4);
}

TEST_F(JobTest, ADamagedPictureStopsNothingAndIsTriedAgain) {
  write("b.png", "no picture");
  names_.push_back("gone.png");
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.made, 3U);
  EXPECT_EQ(counts_.failed, 2U);
  ASSERT_EQ(failures_.size(), 2U);
  EXPECT_EQ(failures_[0].image, "b.png");
  EXPECT_THAT(failures_[1].why.message, HasSubstr("gone.png: no such file"));
  EXPECT_FALSE(fs::exists(folder_ / "b.txt"));
  make_picture("b.png", 5);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("b.png"));
  EXPECT_EQ(read("b.txt"), text_of("b.png", 5) + "\n");
}

TEST_F(JobTest, NothingGoodNoFileOfAll) {
  for (const std::string& name : names_) write(name, "no picture");
  outputs_.all = {{OutputFormat::kCsv, folder_ / "all.csv"}};
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.failed, 4U);
  EXPECT_FALSE(fs::exists(folder_ / "all.csv"));
}

TEST_F(JobTest, AChangedPictureIsCaptionedAgain) {
  ASSERT_TRUE(run().ok());
  make_picture("c.png", 9);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("c.png"));
  EXPECT_EQ(read("c.txt"), text_of("c.png", 9) + "\n") << "the old text was the job's own";
  // Touched, not changed.
  fs::last_write_time(folder_ / "a.png", fs::file_time_type::clock::now());
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
}

// Killed between the journal's line and the picture's file: the file is still the old one.
TEST_F(JobTest, AStaleOutputOfAKilledRunIsReplaced) {
  ASSERT_TRUE(run().ok());
  const std::string old = read("c.txt");
  make_picture("c.png", 9);
  ASSERT_TRUE(run().ok());
  write("c.txt", old);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(read("c.txt"), text_of("c.png", 9) + "\n");
  write("c.txt", "edited by hand");
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(read("c.txt"), "edited by hand");
}

TEST_F(JobTest, LostOutputsAreWrittenAgain) {
  ASSERT_TRUE(run().ok());
  fs::remove(folder_ / "a.txt");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(read("a.txt"), text_of("a.png", 4) + "\n");
}

TEST_F(JobTest, ExistingFilesAreSkipped) {
  write("b.txt", "by hand");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("a.png", "c.png", "d.png"));
  EXPECT_EQ(counts_.skipped, 1U);
  EXPECT_EQ(read("b.txt"), "by hand");
  // With another output the caption is wanted, and the file by hand stays.
  outputs_.each.push_back(OutputFormat::kJson);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("b.png"));
  EXPECT_EQ(read("b.txt"), "by hand");
  EXPECT_THAT(read("b.json"), HasSubstr("4 wide"));
}

TEST_F(JobTest, ExistingFilesAreReplaced) {
  write("b.txt", "by hand");
  outputs_.existing = Existing::kOverwrite;
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(read("b.txt"), text_of("b.png", 4) + "\n");
}

TEST_F(JobTest, ExistingFilesGrowOnce) {
  for (const Existing how : {Existing::kAppend, Existing::kPrepend}) {
    const bool append = how == Existing::kAppend;
    fs::remove(folder_ / "captions.journal");
    write("b.txt", "by hand");
    outputs_.existing = how;
    ASSERT_TRUE(run().ok());
    const std::string text = text_of("b.png", 4) + "\n";
    EXPECT_EQ(read("b.txt"), append ? "by hand\n" + text : text + "by hand");
    ASSERT_TRUE(run().ok());
    EXPECT_EQ(read("b.txt"), append ? "by hand\n" + text : text + "by hand");
    for (const std::string& name : names_) fs::remove((folder_ / name).replace_extension(".txt"));
  }
}

TEST_F(JobTest, MetadataOfOthersIsNeverReplaced) {
  outputs_.each = {OutputFormat::kXmp};
  outputs_.existing = Existing::kOverwrite;
  for (const char* name : {"b.png.xmp", "c.png.xmp", "d.png.xmp"}) {
    write(name, "<x:xmpmeta>edits of a photo program</x:xmpmeta>");
  }
  ASSERT_TRUE(run().ok()) << "no fault of the disk, which would end the run";
  EXPECT_EQ(counts_.failed, 3U);
  EXPECT_THAT(failures_[0].why.message, HasSubstr("holds metadata of another program"));
  EXPECT_THAT(read("b.png.xmp"), HasSubstr("edits"));
  EXPECT_THAT(read("a.png.xmp"), HasSubstr("4 wide"));
  outputs_.existing = Existing::kSkip;
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.failed, 0U);
}

TEST_F(JobTest, FolderOfOutputs) {
  fs::create_directories(folder_ / "sub");
  make_picture("sub/e.png", 6);
  outputs_.folder = folder_ / "out";
  fs::create_directories(outputs_.folder);
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(read("out/sub/e.txt"), text_of("sub/e.png", 6) + "\n");
  EXPECT_FALSE(fs::exists(folder_ / "a.txt"));
}

TEST_F(JobTest, NamesThatCollide) {
  make_picture("a.webp", 4);
  const Status refused = check_outputs_of_each(outputs_, pictures());
  EXPECT_EQ(refused.code, Code::kUsage);
  EXPECT_THAT(refused.message, HasSubstr("a.txt"));
  EXPECT_THAT(refused.hint, HasSubstr("--full-names"));
  outputs_.full_names = true;
  EXPECT_TRUE(check_outputs_of_each(outputs_, pictures()).ok());
  outputs_.each = {OutputFormat::kText, OutputFormat::kParagraph};
  EXPECT_EQ(check_outputs_of_each(outputs_, pictures()).code, Code::kUsage);
}

TEST_F(JobTest, LeftoversOfAKilledRunGo) {
  write(".a.txt.partial-1-0", "half");
  write(".other.txt.partial-1-0", "of somebody else");
  ASSERT_TRUE(run().ok());
  EXPECT_FALSE(fs::exists(folder_ / ".a.txt.partial-1-0"));
  EXPECT_TRUE(fs::exists(folder_ / ".other.txt.partial-1-0"));
}

// Three in a row are the disk's fault: the run ends, and the captions are in the journal.
TEST_F(JobTest, OutputsThatCannotBeWrittenEndTheRun) {
  outputs_.folder = folder_ / "out";
  write("out", "a file where the folder should be");
  const Status ended = run();
  EXPECT_EQ(ended.code, Code::kIo);
  EXPECT_EQ(counts_.failed, 3U);
  EXPECT_EQ(captioned_.size(), 3U);
  fs::remove(folder_ / "out");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("d.png"));
  EXPECT_EQ(read("out/a.txt"), text_of("a.png", 4) + "\n");
}

class EmbedTest : public JobTest {
 protected:
  void SetUp() override {
    if (!can_write_descriptions()) GTEST_SKIP() << "built without libexempi";
    JobTest::SetUp();
    outputs_.each.clear();
    outputs_.embed = true;
  }
  std::string description(const std::string& name) const {
    const std::string file = read(name);
    const auto found = read_description(std::as_bytes(std::span(file)), name);
    if (!found.ok()) return "(" + found.status().message + ")";
    return found->value_or("(none)");
  }
  void describe(const std::string& name, const std::string& text) const {
    const std::string file = read(name);
    write(name, *with_description(std::as_bytes(std::span(file)), text, name));
  }
  std::string pixels(const std::string& name) const {
    const auto image = load_image(folder_ / name);
    return image.ok() ? std::string(image->rgb.begin(), image->rgb.end()) : "";
  }
};

TEST_F(EmbedTest, IntoThePicturesThemselves) {
  fs::permissions(folder_ / "b.png", static_cast<fs::perms>(0640));
  const std::string before = pixels("b.png");
  const auto time = fs::last_write_time(folder_ / "b.png");
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.made, 4U);
  EXPECT_EQ(description("b.png"), text_of("b.png", 4));
  EXPECT_EQ(pixels("b.png"), before);
  EXPECT_EQ(fs::last_write_time(folder_ / "b.png"), time);
  EXPECT_EQ(fs::status(folder_ / "b.png").permissions(), static_cast<fs::perms>(0640));
  // It is still the picture that was captioned, also when somebody touches it.
  fs::last_write_time(folder_ / "a.png", fs::file_time_type::clock::now());
  const std::string whole = read("c.png");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(counts_.kept, 4U);
  EXPECT_EQ(read("c.png"), whole);
  make_picture("d.png", 9);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("d.png"));
  EXPECT_EQ(description("d.png"), text_of("d.png", 9));
}

// Killed before the picture was replaced, or behind it.
TEST_F(EmbedTest, AnInterruptedRunGoesOn) {
  const std::string old = read("c.png");
  const auto time = fs::last_write_time(folder_ / "c.png");
  ASSERT_TRUE(run().ok());
  write("c.png", old);
  fs::last_write_time(folder_ / "c.png", time);
  write(".c.png.partial-1-0", "half");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(description("c.png"), text_of("c.png", 4));
  EXPECT_FALSE(fs::exists(folder_ / ".c.png.partial-1-0"));
  // The journal of merged shards knows as much.
  ASSERT_TRUE(merge_results({folder_ / "captions.journal"}, folder_ / "merged.journal").ok());
  ASSERT_TRUE(run({}, "merged.journal").ok());
  EXPECT_THAT(captioned_, IsEmpty());
}

TEST_F(EmbedTest, DescriptionsThatAreThere) {
  describe("b.png", "by hand");
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(captioned_, ElementsAre("a.png", "c.png", "d.png"));
  EXPECT_EQ(counts_.skipped, 1U);
  EXPECT_EQ(description("b.png"), "by hand");
  const std::string text = text_of("b.png", 4);
  const std::vector<std::pair<Existing, std::string>> ways = {
      {Existing::kAppend, "by hand\n" + text},
      {Existing::kPrepend, text + "\nby hand"},
      {Existing::kOverwrite, text}};
  for (const auto& [how, expected] : ways) {
    fs::remove(folder_ / "captions.journal");
    make_picture("b.png", 4);
    describe("b.png", "by hand");
    outputs_.existing = how;
    for (int times = 0; times < 2; ++times) {
      ASSERT_TRUE(run().ok());
      EXPECT_EQ(description("b.png"), expected);
    }
  }
}

TEST_F(EmbedTest, OtherFormatsAreNamed) {
  fs::copy_file(test::golden("image/lossy.webp"), folder_ / "e.webp");
  names_.emplace_back("e.webp");
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.failed, 1U);
  EXPECT_THAT(failures_[0].why.message,
              HasSubstr("e.webp: captions are written into JPEG and PNG files, not into WebP"));
  EXPECT_THAT(captioned_, ElementsAre("a.png", "b.png", "c.png", "d.png")) << "no work in vain";
  outputs_.each = {OutputFormat::kText};
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counts_.failed, 1U);
  EXPECT_THAT(read("e.txt"), HasSubstr("e.webp is")) << "what can be written is";
}

// A picture that comes again, as it does in a folder that is watched.
TEST_F(JobTest, TheLastOutcomeCounts) {
  write("b.png", "half a picture");
  auto journal = Journal::open(folder_ / "captions.journal", kSettings);
  ASSERT_TRUE(journal.ok());
  Job job(*journal, {.outputs = outputs_}, [](const Image&, const Picture& picture) {
    return Result<std::string>(R"({"image":")" + picture.name + R"(","text":"x"})");
  });
  int times = 0;
  const Status end = job.run([&](bool wait) -> std::optional<Picture> {
    if (!wait || ++times > 3) return std::nullopt;
    if (times == 2) {
      EXPECT_EQ(job.counts().failed, 1U);
      make_picture("b.png", 5);
    }
    return Picture{folder_ / "b.png", "b.png"};
  });
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(job.counts().made, 1U);
  EXPECT_EQ(job.counts().failed, 0U);
  EXPECT_EQ(job.counts().done(), 1U);
  EXPECT_THAT(job.failures(), IsEmpty());
}

TEST_F(JobTest, MergingAWholeRunWithAShardOfAnother) {
  outputs_.each.clear();
  ASSERT_TRUE(run({}, "whole.journal").ok());
  ASSERT_TRUE(run({0, 2}, "own.journal").ok());
  const auto own =
      merge_results({folder_ / "whole.journal", folder_ / "own.journal"}, folder_ / "own.jsonl");
  ASSERT_TRUE(own.ok());
  EXPECT_TRUE(own->complete()) << "the whole run has what the other shard has to do";
  make_picture("e.png", 6);
  make_picture("f.png", 6);
  names_ = {"e.png", "f.png"};
  ASSERT_TRUE(run({0, 2}, "foreign.journal").ok());
  const auto foreign = merge_results({folder_ / "whole.journal", folder_ / "foreign.journal"},
                                     folder_ / "foreign.jsonl");
  ASSERT_TRUE(foreign.ok());
  EXPECT_EQ(foreign->captions, 5U);
  EXPECT_FALSE(foreign->complete());
  EXPECT_THAT(foreign->missing_shards, ElementsAre(1U));
  const auto twice = merge_results({folder_ / "foreign.journal", folder_ / "foreign.journal"},
                                   folder_ / "twice.jsonl");
  ASSERT_TRUE(twice.ok());
  EXPECT_THAT(twice->missing_shards, ElementsAre(1U));
}

TEST_F(JobTest, ShardsMergeIntoOneRun) {
  outputs_.each.clear();
  outputs_.all = {{OutputFormat::kJsonLines, folder_ / "whole.jsonl"}};
  names_ = {"c.png", "a.png", "d.png", "b.png"};  // shuffled: the order is kept
  ASSERT_TRUE(run().ok());
  std::vector<fs::path> journals;
  for (size_t i = 0; i < 3; ++i) {
    const std::string journal = std::to_string(i) + ".journal";
    outputs_.all = {{OutputFormat::kJsonLines, folder_ / (std::to_string(i) + ".jsonl")}};
    ASSERT_TRUE(run({i, 3}, journal).ok());
    journals.push_back(folder_ / journal);
  }
  std::reverse(journals.begin(), journals.end());
  const auto merged = merge_results(journals, folder_ / "merged.jsonl");
  ASSERT_TRUE(merged.ok()) << merged.status().message;
  EXPECT_TRUE(merged->complete());
  EXPECT_EQ(merged->captions, 4U);
  EXPECT_EQ(read("merged.jsonl"), read("whole.jsonl"));

  // With the merged journal a run over everything has nothing to do.
  ASSERT_TRUE(merge_results(journals, folder_ / "merged.journal").ok());
  outputs_.all = {{OutputFormat::kJsonLines, folder_ / "again.jsonl"}};
  ASSERT_TRUE(run({}, "merged.journal").ok());
  EXPECT_THAT(captioned_, IsEmpty());
  EXPECT_EQ(read("again.jsonl"), read("whole.jsonl"));

  // JSON lines know no order but the names'.
  const auto lines = merge_results({folder_ / "1.jsonl", folder_ / "0.jsonl", folder_ / "2.jsonl"},
                                   folder_ / "lines.jsonl");
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ(lines->captions, 4U);
}

TEST_F(JobTest, MergingSaysWhatIsMissing) {
  outputs_.each.clear();
  write("b.png", "no picture");
  ASSERT_TRUE(run({0, 3}, "0.journal").ok());  // a, d
  stop_after_ = 0;
  EXPECT_EQ(run({1, 3}, "1.journal").code, Code::kInterrupted);
  const auto merged =
      merge_results({folder_ / "0.journal", folder_ / "1.journal"}, folder_ / "merged.csv");
  ASSERT_TRUE(merged.ok());
  EXPECT_FALSE(merged->complete());
  EXPECT_EQ(merged->captions, 2U);
  EXPECT_THAT(merged->missing, ElementsAre("b.png"));
  EXPECT_THAT(merged->missing_shards, ElementsAre(2U));
  stop_after_ = 1000;
  ASSERT_TRUE(run({1, 3}, "1.journal").ok());
  const auto failed =
      merge_results({folder_ / "0.journal", folder_ / "1.journal"}, folder_ / "merged.csv");
  EXPECT_THAT(failed->failed, ElementsAre("b.png"));
}

TEST_F(JobTest, MergingSeesDuplicates) {
  outputs_.each.clear();
  ASSERT_TRUE(run({}, "0.journal").ok());
  make_picture("b.png", 77);
  ASSERT_TRUE(run({}, "1.journal").ok());
  const auto merged =
      merge_results({folder_ / "0.journal", folder_ / "1.journal"}, folder_ / "merged.jsonl");
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(merged->repeated, 3U);
  EXPECT_THAT(merged->different, ElementsAre("b.png"));
  EXPECT_THAT(read("merged.jsonl"), HasSubstr("b.png is 4 wide"));
  auto other = Journal::open(folder_ / "2.journal", {{"model", "another"}});
  ASSERT_TRUE(other.ok());
  const Status refused =
      merge_results({folder_ / "0.journal", folder_ / "2.journal"}, folder_ / "x.jsonl").status();
  EXPECT_THAT(refused.message, HasSubstr("2.journal: made with other settings than"));
  EXPECT_FALSE(fs::exists(folder_ / "x.jsonl"));
}

}  // namespace
}  // namespace fastvlm
