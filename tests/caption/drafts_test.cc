// SPDX-License-Identifier: Apache-2.0
// Drafts through engine and session, with the demo model: the caption is the same with and without
// them. And where their table comes from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "caption/draft_corpus.h"
#include "caption/engine.h"
#include "support/files.h"
#include "support/test_length.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::filesystem::path kDemo = test::demo_model();

EngineOptions options_of(const std::filesystem::path& model, bool draft = true,
                         std::optional<std::filesystem::path> drafts = {}) {
  EngineOptions options;
  options.model = model;
  options.draft = draft;
  options.drafts = std::move(drafts);
  return options;
}

// Rectangles in any colours: nothing that the model knows, so it says all sorts of things.
Image drawn_picture(Generator& random) {
  Image image = blank_image(256, 256);
  for (int i = 0; i < 6; ++i) {
    const auto part = [&] { return static_cast<int>(random.next() % 256); };
    const int left = part(), top = part(), right = left + part(), bottom = top + part();
    const auto colour = static_cast<uint32_t>(random.next());
    for (int y = top; y < std::min(bottom, 256); ++y) {
      for (int x = left; x < std::min(right, 256); ++x) {
        for (int c = 0; c < 3; ++c) {
          image.rgb[static_cast<size_t>((y * 256 + x) * 3 + c)] =
              static_cast<uint8_t>(colour >> (8 * c));
        }
      }
    }
  }
  return image;
}

CaptionRequest drawn_request(Generator& random) {
  CaptionRequest request;
  const uint64_t kind = random.next() % 4;
  if (kind == 0) request.prompt = "Describe the image.";
  if (kind == 1) request.free = true;
  if (kind == 2) {
    constexpr const char* kWords[] = {"What", "is", "the", "cat", "red", "left", "time", "?"};
    request.prompt.clear();
    for (int i = 0; i < 9; ++i) request.prompt += cat(kWords[random.next() % 8], " ");
  }
  if (random.next() % 3 == 0) {
    request.sampling = {.temperature = 0.8, .top_p = 0.95, .seed = random.next()};
  }
  if (random.next() % 4 == 0) request.sampling.repetition_penalty = 1.2;
  if (random.next() % 4 == 0) request.sampling.dry_multiplier = 0.8;
  request.max_tokens = 160;
  return request;
}

TEST(DemoDrafts, ChangeNoCaption) {
  ThreadPool pool(2);
  const auto with = Engine::load(options_of(kDemo), pool);
  const auto without = Engine::load(options_of(kDemo, false), pool);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_THAT((*with)->warnings(), ElementsAre());
  Session drafting(*with, pool);
  Session plain(*without, pool);
  Generator random(1);
  const std::string_view length = test::test_length();
  const int pictures = length == "fast" ? 20 : length == "long" ? 3000 : 120;
  DraftCounts counts;
  for (int i = 0; i < pictures; ++i) {
    const Image image = drawn_picture(random);
    CaptionRequest request = drawn_request(random);
    std::string streamed;
    request.on_text = [&](std::string_view piece) {
      streamed += piece;
      return true;
    };
    const auto drafted = drafting.caption(image, request);
    request.on_text = {};
    const auto expected = plain.caption(image, request);
    ASSERT_TRUE(drafted.ok() && expected.ok());
    ASSERT_EQ(drafted->text, expected->text) << "picture " << i;
    EXPECT_EQ(streamed, expected->text);
    EXPECT_EQ(drafted->finish, expected->finish);
    EXPECT_EQ(drafted->timings.answer_tokens, expected->timings.answer_tokens);
    EXPECT_EQ(expected->timings.drafts.drafted, 0);
    counts.drafted += drafted->timings.drafts.drafted;
    counts.accepted += drafted->timings.drafts.accepted;
  }
  // How many is a matter of time.
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.drafted, counts.accepted);
}

class DraftsFile : public testing::Test {
 protected:
  // The demo model in a folder of its own, without its table.
  DraftsFile() {
    std::filesystem::copy(kDemo, model());
    std::filesystem::remove(model() / kDraftsFileName);
  }
  std::filesystem::path model() const { return folder_ / "model"; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  test::TemporaryFolder folder_;
  ThreadPool pool_{1};
};

TEST_F(DraftsFile, NeedNotBeThere) {
  const auto engine = Engine::load(options_of(model()), pool_);
  ASSERT_TRUE(engine.ok());
  EXPECT_THAT((*engine)->warnings(), ElementsAre());
  EXPECT_TRUE((*engine)->drafter());
}

TEST_F(DraftsFile, BesideTheModelMayBeDamagedButNotWhereItIsAskedFor) {
  const auto damaged = write("damaged", "no table at all");
  std::filesystem::copy(damaged, model() / kDraftsFileName);
  const auto engine = Engine::load(options_of(model()), pool_);
  ASSERT_TRUE(engine.ok());
  EXPECT_THAT((*engine)->warnings(), ElementsAre(HasSubstr(kDraftsFileName)));
  EXPECT_FALSE(Engine::load(options_of(model(), true, damaged), pool_).ok());
  EXPECT_TRUE(Engine::load(options_of(model(), false, damaged), pool_).ok());
}

TEST_F(DraftsFile, IsLearntFromCaptions) {
  const auto lines =
      write("lines.jsonl", "{\"text\": \"A cat.\"}\n\n{\"image\": \"a\", \"caption\": \"A dog.\"}");
  const auto texts = read_draft_texts(lines);
  ASSERT_TRUE(texts.ok());
  EXPECT_THAT(*texts, ElementsAre("A cat.", "A dog."));
  for (const char* bad : {"", "\n", "{\"text\": \"a\"}\n[1]\n", "{\"text\": 1}", "A cat."}) {
    EXPECT_EQ(read_draft_texts(write("bad.jsonl", bad)).status().code, Code::kInvalid) << bad;
  }
  EXPECT_THAT(read_draft_texts(write("bad.jsonl", "{\"text\": \"a\"}\n[1]\n")).status().message,
              HasSubstr("line 2"));
  EXPECT_FALSE(read_draft_texts(folder_ / "missing").ok());
}

}  // namespace
}  // namespace fastvlm
