// SPDX-License-Identifier: Apache-2.0
#include "caption/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const JobSettings kOfOneModel = {{"model_sha256", "12ab"}, {"max_tokens", "256"}};

std::string caption_of(const std::string& image) {
  return R"({"image":")" + image + R"(","text":"A dog."})";
}

class JournalTest : public testing::Test {
 protected:
  Result<Journal> open(const JobSettings& settings = kOfOneModel) const {
    return Journal::open(path_, settings);
  }
  std::string text() const { return *read_text_file(path_); }
  void write(const std::string& content) const {
    std::ofstream(path_, std::ios::binary) << content;
  }
  // A journal of one captioned picture and one that failed.
  void make() const {
    auto journal = open();
    ASSERT_TRUE(journal.ok()) << journal.status().message;
    ASSERT_TRUE(journal->set_plan({{"a.jpg", "b.jpg", "c.jpg"}, 0, 1}).ok());
    ASSERT_TRUE(journal->add({"a.jpg", "p/a.jpg", caption_of("a.jpg")}, {7, 99, "f00"}).ok());
    ASSERT_TRUE(journal->add_failure("b.jpg", error(Code::kInvalid, "damaged", "mend it")).ok());
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "captions.journal";
};

TEST_F(JournalTest, KnowsAPictureWithItsCaptionInIt) {
  make();
  {
    auto journal = open();
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE(journal->add_embedded("a.jpg", {8, 99, "f01"}).ok());
  }
  const auto journal = Journal::read(path_);
  ASSERT_TRUE(journal.ok());
  const JournalEntry* a = journal->find("a.jpg");
  EXPECT_TRUE(a->captioned);
  EXPECT_EQ(a->stamp.sha256, "f00");
  ASSERT_TRUE(a->embedded);
  EXPECT_EQ(a->embedded->bytes, 8);
  EXPECT_EQ(a->embedded->sha256, "f01");
  EXPECT_EQ(journal->record(a->place)->caption, caption_of("a.jpg"));
}

TEST_F(JournalTest, IsReadBackAsItWasWritten) {
  make();
  const std::string before = text();
  auto journal = open();
  ASSERT_TRUE(journal.ok());
  EXPECT_EQ(journal->settings(), kOfOneModel);
  EXPECT_THAT(journal->plan().images, ElementsAre("a.jpg", "b.jpg", "c.jpg"));
  const JournalEntry* a = journal->find("a.jpg");
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(a->captioned);
  EXPECT_EQ(a->stamp.bytes, 7);
  EXPECT_EQ(a->stamp.modified, 99);
  EXPECT_EQ(a->stamp.sha256, "f00");
  const auto record = journal->record(a->place);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->path, "p/a.jpg");
  EXPECT_EQ(record->caption, caption_of("a.jpg"));
  const JournalEntry* b = journal->find("b.jpg");
  ASSERT_NE(b, nullptr);
  EXPECT_FALSE(b->captioned);
  EXPECT_EQ(b->error, "damaged");
  EXPECT_EQ(journal->find("c.jpg"), nullptr);
  ASSERT_TRUE(journal->set_plan(journal->plan()).ok());
  EXPECT_EQ(text(), before) << "the same plan is not written again";
}

TEST_F(JournalTest, TheLastLineOfAPictureCounts) {
  make();
  {
    auto journal = open();
    ASSERT_TRUE(journal->add({"b.jpg", "b.jpg", caption_of("b.jpg")}, {}).ok());
    EXPECT_TRUE(journal->find("b.jpg")->captioned);
    EXPECT_FALSE(journal->find("b.jpg")->before.has_value());
    const LinePlace first = journal->find("a.jpg")->place;
    ASSERT_TRUE(journal->add_failure("a.jpg", error(Code::kInvalid, "damaged now")).ok());
    ASSERT_TRUE(journal->add({"a.jpg", "a.jpg", caption_of("a.jpg")}, {}).ok());
    ASSERT_TRUE(journal->find("a.jpg")->before.has_value());
    EXPECT_EQ(journal->find("a.jpg")->before->offset, first.offset);
  }
  EXPECT_THAT(open()->images(), ElementsAre("a.jpg", "b.jpg"));
}

// Wherever the file was cut off, the whole lines before the cut are what is known.
TEST_F(JournalTest, EveryTornEndIsMended) {
  make();
  const std::string whole = text();
  for (size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    const size_t lines = static_cast<size_t>(
        std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
    auto journal = open();
    ASSERT_TRUE(journal.ok()) << size << ": " << journal.status().message;
    EXPECT_EQ(journal->find("a.jpg") != nullptr, lines >= 3) << size;
    EXPECT_EQ(journal->find("b.jpg") != nullptr, lines >= 4) << size;
    ASSERT_TRUE(journal->add({"d.jpg", "d.jpg", caption_of("d.jpg")}, {}).ok());
    EXPECT_THAT(text(), StartsWith(whole.substr(0, whole.substr(0, size).rfind('\n') + 1)));
    EXPECT_TRUE(Journal::read(path_).ok()) << size;
  }
}

TEST_F(JournalTest, OtherSettingsAreRefusedByName) {
  make();
  const std::string before = text();
  JobSettings other = kOfOneModel;
  other[1].second = "40";
  const Status refused = open(other).status();
  EXPECT_EQ(refused.code, Code::kInvalid);
  EXPECT_THAT(refused.message, HasSubstr("other settings: max_tokens was 256, is now 40"));
  EXPECT_THAT(refused.hint, HasSubstr("--journal"));
  other = kOfOneModel;
  other.emplace_back("seed", "1");
  EXPECT_THAT(open(other).status().message, HasSubstr("seed was none, is now 1"));
  EXPECT_EQ(text(), before);
}

TEST_F(JournalTest, ForeignFilesAreLeftAlone) {
  for (const std::string foreign : {"my notes\n", "my notes", "{\"image\": \"a.jpg\"}\n", "{}\n"}) {
    write(foreign);
    const Status refused = open().status();
    EXPECT_EQ(refused.code, Code::kInvalid) << foreign;
    EXPECT_THAT(refused.message, HasSubstr("expected the journal of a folder job"));
    EXPECT_EQ(text(), foreign);
  }
  std::filesystem::remove(path_);
  make();
  write(std::string(text()).replace(text().find("256"), 3, "512"));
  EXPECT_THAT(open().status().message, HasSubstr("its first line was changed"));
}

TEST_F(JournalTest, DamageInTheMiddleIsAnError) {
  make();
  std::string damaged = text();
  const size_t at = damaged.find("{\"image\":\"a.jpg\"");
  damaged.replace(at, 1, "#");
  write(damaged);
  const Status refused = open().status();
  EXPECT_EQ(refused.code, Code::kInvalid);
  EXPECT_THAT(refused.message, HasSubstr("expected a JSON object at byte " + std::to_string(at)));
  EXPECT_EQ(text(), damaged);
}

// A journal from elsewhere writes nothing outside the folder of the outputs.
TEST_F(JournalTest, NamesStayBelowTheOutputs) {
  for (const std::string name : {"../a.jpg", "a/../../b.jpg", "/etc/a.jpg", "", "a/"}) {
    std::filesystem::remove(path_);
    make();
    const std::string before = text();
    write(before + R"({"image":")" + name + R"(","caption":)" + caption_of(name) + "}\n");
    const auto journal = open();
    EXPECT_EQ(journal.status().code, Code::kInvalid) << name;
    EXPECT_THAT(journal.status().message, HasSubstr("found \"" + name + "\"")) << name;
  }
}

TEST_F(JournalTest, OneRunAtATime) {
  make();
  const auto first = open();
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(open().status().message, HasSubstr("another run is writing it"));
  EXPECT_TRUE(Journal::read(path_).ok()) << "reading needs no lock";
}

// As `watch` has them.
TEST_F(JournalTest, PicturesBesidesThePlanJoinIt) {
  make();
  {
    auto journal = open();
    ASSERT_TRUE(journal->add({"new.jpg", "new.jpg", caption_of("new.jpg")}, {}).ok());
    EXPECT_THAT(journal->plan().images, ElementsAre("a.jpg", "b.jpg", "c.jpg", "new.jpg"));
  }
  auto journal = open();
  EXPECT_THAT(journal->plan().images, ElementsAre("a.jpg", "b.jpg", "c.jpg", "new.jpg"));
  ASSERT_TRUE(journal->set_plan({{"a.jpg"}, 0, 1}).ok());
  EXPECT_THAT(Journal::read(path_)->plan().images, ElementsAre("a.jpg"));
}

}  // namespace
}  // namespace fastvlm
