// SPDX-License-Identifier: Apache-2.0
// The guide alone, with a made-up model that writes what a test wants it to write, and whole
// captions of models with random weights.
#include "caption/section_guide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <set>

#include "base/strings.h"
#include "caption/engine.h"
#include "caption/schema.h"
#include "caption/value_text.h"
#include "support/guided_model.h"
#include "support/test_length.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

using Model = test::WishfulModel;

struct Made : test::GuidedAnswer {
  std::string text;
  std::vector<GuidedSection> sections;
};

class SectionGuideTest : public test::GuideFixture {
 protected:
  // An answer under a schema.
  Made make(const CaptionSchema& schema, const Model& model, int64_t max_tokens,
            uint64_t seed = 0) {
    auto guide = SectionGuide::make(schema, *tokenizer_, {end_}, max_tokens);
    EXPECT_TRUE(guide.ok()) << guide.status().message;
    Made made;
    if (!guide.ok()) return made;
    static_cast<test::GuidedAnswer&>(made) = answer(*guide, model, max_tokens, seed);
    made.text = std::string(trimmed(tokenizer_->decode(made.ids, true)));
    made.sections = guide->sections();
    return made;
  }

  // Writes `text`, then end tokens.
  Made write(std::string_view text, int64_t max_tokens = 256,
             const CaptionSchema& schema = seven_point_schema()) {
    const std::vector<TokenId> wished = ids_of(text);
    size_t next = 0;
    return make(
        schema,
        [&](std::span<const TokenId>) { return next < wished.size() ? wished[next++] : end_; },
        max_tokens);
  }

  // Follows `text` as a model does: at the place in it that the answer has reached.
  Made follow(const std::string& text, int64_t max_tokens = 256) {
    const std::vector<TokenId> wished = ids_of(text);
    return make(
        seven_point_schema(),
        [&](std::span<const TokenId> ids) {
          return ids.size() < wished.size() ? wished[ids.size()] : end_;
        },
        max_tokens);
  }

  static void expect_seven(const Made& made) {
    ASSERT_EQ(made.sections.size(), kSectionCount) << made.text;
    const Sections read = parse_sections(made.text);
    std::vector<size_t> order;
    for (const SectionPart& part : split_sections(made.text)) {
      ASSERT_TRUE(part.section) << made.text;
      order.push_back(static_cast<size_t>(*part.section));
    }
    EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6)) << made.text;
    for (size_t i = 0; i < kSectionCount; ++i) {
      EXPECT_TRUE(has_word(made.sections[i].text)) << i << " of " << made.text;
      EXPECT_EQ(read[i], made.sections[i].text) << i << " of " << made.text;
    }
  }
};

const std::string kWhole =
    "1. Main Focus – A cat is the main subject.\n"
    "2. Surrounding Objects & Context – Two dogs.\n- a tree\n- a bench\n"
    "3. Spatial Relationships – The dog is left of it.\n\n"
    "4. Activities & Interactions – It sits\n"
    "5. Scene Type & Time – A park at night.\n"
    "6. Inferences & Intent – It may run. Or not.\n"
    "7. Style & Aesthetic – Calm, \"flat\".\nLike a book.";

TEST_F(SectionGuideTest, AWholeAnswerStaysAsItIs) {
  const Made made = follow(kWhole);
  EXPECT_EQ(made.text, kWhole);
  EXPECT_EQ(made.ids, ids_of(kWhole));  // token by token, also where a header follows a full stop
  EXPECT_EQ(made.finish, FinishReason::kStop);
  expect_seven(made);
  EXPECT_EQ(made.sections[1].text, "Two dogs.\n- a tree\n- a bench");
  int64_t headers = 0;
  for (size_t i = 0; i < kSectionCount; ++i) {
    headers += static_cast<int64_t>(ids_of(section_header(seven_point_schema(), i)).size());
  }
  // The model chose the values, the first id of six headers, and the end.
  EXPECT_EQ(made.chosen, static_cast<int64_t>(made.ids.size()) - headers + 6 + 1);
}

TEST_F(SectionGuideTest, AnEndTokenEndsItsSectionOnly) {
  const Made made = write(" A cat");
  expect_seven(made);
  EXPECT_EQ(made.sections[0].text, "A cat");
  EXPECT_THAT(made.text, HasSubstr("1. Main Focus – A cat\n2. Surrounding"));
  EXPECT_EQ(made.finish, FinishReason::kStop);
}

// The line end behind a full stop is the one token that the tokenizer makes of both.
TEST_F(SectionGuideTest, SeamsAreAsTheTokenizerMakesThem) {
  for (const char* value :
       {" A cat.", " A cat", " \"A cat.\"", " A cat 2", " A cat?!", " Une été"}) {
    std::vector<TokenId> wished = ids_of(value);
    wished.push_back(end_);
    size_t next = 0;
    const Made made = make(
        seven_point_schema(),
        [&](std::span<const TokenId>) { return wished[next++ % wished.size()]; }, 256);
    expect_seven(made);
    EXPECT_EQ(made.ids, ids_of(made.text)) << value;
  }
}

TEST_F(SectionGuideTest, OtherHeadersEndAValue) {
  for (const char* forged :
       {" A cat.\n3. Spatial Relationships – It", " A cat. **Style & Aesthetic**: x",
        " A cat.\n### Scene\nx", " A cat.\n\n1. Main Focus – A cat",
        " A cat.\n---\n**2. Context**: x", " A cat.\nMain Focus"}) {
    const Made made = write(forged);
    expect_seven(made);
    EXPECT_EQ(made.sections[0].text, "A cat.") << forged;
    EXPECT_EQ(made.sections[0].finish, FinishReason::kStop);
  }
}

TEST_F(SectionGuideTest, AValueThatIsAHeaderStartsAnew) {
  const Made made = write(" 2. Surrounding Objects & Context – x");
  expect_seven(made);
  EXPECT_THAT(made.text, testing::Not(HasSubstr("– 2.")));
}

TEST_F(SectionGuideTest, ALoopIsCutToItsFirstRound) {
  const std::vector<TokenId> round = ids_of(" A cat sits.");
  size_t next = 0;
  const Made made = make(
      seven_point_schema(), [&](std::span<const TokenId>) { return round[next++ % round.size()]; },
      400);
  expect_seven(made);
  EXPECT_EQ(made.sections[0].text, "A cat sits.");
  EXPECT_EQ(made.sections[0].finish, FinishReason::kLoop);
}

TEST_F(SectionGuideTest, ALongValueIsCutToWholeSentences) {
  std::string text = " A cat.";
  for (int i = 0; i < 300; ++i) text += cat(" dog", i);
  const Made made = write(text, 200);
  expect_seven(made);
  EXPECT_EQ(made.sections[0].text, "A cat.");
  EXPECT_EQ(made.sections[0].finish, FinishReason::kLength);
  EXPECT_EQ(made.finish, FinishReason::kLength);
  EXPECT_LE(made.ids.size(), 200U);
}

TEST_F(SectionGuideTest, TooFewTokensAreRefused) {
  int64_t least = 1;
  while (!SectionGuide::make(seven_point_schema(), *tokenizer_, {end_}, least).ok()) ++least;
  EXPECT_GT(least, 30);
  const auto refused = SectionGuide::make(seven_point_schema(), *tokenizer_, {end_}, least - 1);
  EXPECT_EQ(refused.status().code, Code::kUsage);
  EXPECT_THAT(refused.status().message, HasSubstr(cat("at least ", least)));
  EXPECT_THAT(refused.status().hint, HasSubstr("--free"));
  // The least is enough for the worst.
  const std::vector<TokenId> word = ids_of(" dog");
  expect_seven(make(
      seven_point_schema(), [&](std::span<const TokenId>) { return word[0]; }, least));
}

// A model that writes pieces of headers, marks, ends and words at random.
TEST_F(SectionGuideTest, NoModelCanForgeSections) {
  const std::vector<std::string> pieces = {"\n",
                                           "\n\n",
                                           "**",
                                           " **",
                                           "# ",
                                           "1",
                                           "2",
                                           "3.",
                                           " 4",
                                           "7)",
                                           ".",
                                           ".\n",
                                           " – ",
                                           ":",
                                           "---\n",
                                           " Main Focus",
                                           "Main Focus",
                                           "Surrounding Objects & Context",
                                           " Spatial",
                                           "Style",
                                           " Scene",
                                           "Style & Aesthetic",
                                           " a",
                                           " dog",
                                           "x",
                                           "<|im_end|>",
                                           "<|endoftext|>",
                                           " ",
                                           "(",
                                           "5. Time:",
                                           "6. Inferences & Intent –",
                                           "\xF0\x9F",
                                           "é",
                                           "- ",
                                           "**Context**: ",
                                           "[1]",
                                           "_",
                                           "*",
                                           "\r\n"};
  for (const bool words : {true, false}) {
    if (!words) use(Tokenizer::from_json(test::small_tokenizer().dump(), "small"));
    const int64_t most = words ? 160 : 450;
    for (uint64_t seed = 0; seed < 1500; ++seed) {
      Generator random(seed);
      std::deque<TokenId> wished;
      const Made made = make(
          seven_point_schema(),
          [&](std::span<const TokenId>) {
            while (wished.empty()) {
              const auto ids = ids_of(pieces[random.next() % pieces.size()]);
              wished.assign(ids.begin(), ids.end());
            }
            const TokenId id = wished.front();
            wished.pop_front();
            return id;
          },
          most + static_cast<int64_t>(seed % 100), seed);
      expect_seven(made);
      if (HasFailure()) FAIL() << "seed " << seed;
    }
  }
}

TEST_F(SectionGuideTest, ChoicesAreOneOfTheirList) {
  const auto schema = parse_caption_schema(R"({"introduction": "x", "sections": [
      {"name": "light", "title": "Light", "choices": ["day", "daylight", "night", "day and night"]},
      {"name": "free", "title": "Free", "max_tokens": 6},
      {"name": "one", "title": "One", "choices": ["the only one"]}]})",
                                           "my.json");
  ASSERT_TRUE(schema.ok()) << schema.status().message;
  std::set<std::string> lights;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Generator random(seed);
    const auto any = [&](std::span<const TokenId>) {
      return static_cast<TokenId>(random.next() % tokenizer_->vocab_size());
    };
    const Made made = make(*schema, any, 80, seed);
    ASSERT_EQ(made.sections.size(), 3U);
    lights.insert(made.sections[0].text);
    EXPECT_TRUE(has_word(made.sections[1].text));
    EXPECT_EQ(made.sections[2].text, "the only one");
    EXPECT_THAT(made.text,
                testing::StartsWith("1. Light – " + made.sections[0].text + "\n2. Free –"));
    EXPECT_THAT(made.text, testing::EndsWith("\n3. One – the only one"));
  }
  EXPECT_THAT(lights, testing::ElementsAre("day", "day and night", "daylight", "night"));
}

// Whole captions of random weights, through the front door.
class RandomWeights : public testing::TestWithParam<const char*> {
 protected:
  RandomWeights() { test::make_tiny_model(folder_ / "tiny", GetParam()); }
  test::TemporaryFolder folder_;
};

TEST_P(RandomWeights, CaptionsHaveTheirSectionsAndEnd) {
  ThreadPool pool(2);
  const auto engine = Engine::load({folder_ / "tiny", {}, {}, {}}, pool);
  ASSERT_TRUE(engine.ok()) << engine.status().message;
  Session session(*engine, pool);
  Image image = blank_image(64, 64);
  const uint64_t runs = test::test_length() == "fast" ? 50 : 250;
  for (uint64_t seed = 0; seed < runs; ++seed) {
    for (uint8_t& value : image.rgb) value = static_cast<uint8_t>(value * 5 + seed);
    CaptionRequest request;
    const std::array<double, 5> temperatures{0, 0.7, 1.5, 8, 100};
    request.sampling = {.temperature = temperatures[seed % 5], .seed = seed};
    if (seed % 3 == 1) request.sampling.dry_multiplier = 0.8;
    if (seed % 7 == 1) request.sampling.repetition_penalty = 1.3;
    request.max_tokens = 330 + static_cast<int64_t>(seed);  // headers are 200 of them: bytes
    std::string stream;
    request.on_text = [&](std::string_view piece) {
      stream += piece;
      return true;
    };
    const auto caption = session.caption(image, request);
    ASSERT_TRUE(caption.ok()) << caption.status().message;
    EXPECT_EQ(stream, caption->text);
    EXPECT_LE(caption->timings.answer_tokens, request.max_tokens);
    ASSERT_EQ(caption->sections.size(), kSectionCount);
    const Sections read = parse_sections(caption->text);
    for (size_t i = 0; i < kSectionCount; ++i) {
      const CaptionSection& section = caption->sections[i];
      ASSERT_TRUE(section.text && section.finish) << caption->text;
      EXPECT_TRUE(has_word(*section.text)) << caption->text;
      EXPECT_EQ(read[i], section.text) << caption->text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RandomWeights, testing::Values("hd_tied", "s0_untied"));

}  // namespace
}  // namespace fastvlm
