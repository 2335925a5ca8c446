// SPDX-License-Identifier: Apache-2.0
// Engine and session on the tiny random models.
#include "caption/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "caption/caption_json.h"
#include "support/json_schema.h"
#include "support/tiny_model.h"
#include "vision/tower_plan.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

Image picture() {
  Image image = blank_image(90, 60);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 7 % 251);
  return image;
}

CaptionRequest short_request() {
  CaptionRequest request;
  request.prompt = "hello";
  request.max_tokens = 12;
  return request;
}

class EngineTest : public testing::TestWithParam<const char*> {
 protected:
  EngineTest() { test::make_tiny_model(folder_ / "tiny", GetParam()); }

  std::shared_ptr<const Engine> load(ThreadPool& pool) {
    auto engine = Engine::load({folder_ / "tiny", {}, {}, {}}, pool);
    EXPECT_TRUE(engine.ok()) << engine.status().message;
    return engine.ok() ? *engine : nullptr;
  }
  Caption caption(const CaptionRequest& request, int threads = 1) {
    ThreadPool pool(threads);
    auto result = Session(load(pool), pool).caption(picture(), request);
    EXPECT_TRUE(result.ok()) << result.status().message;
    return result.ok() ? *result : Caption{};
  }

  test::TemporaryFolder folder_;
};

TEST_P(EngineTest, SameAnswerWhateverTheThreads) {
  CaptionRequest request = short_request();
  request.sampling = {.temperature = 1.5, .seed = 3};
  const std::string once = caption(request, 1).text;
  EXPECT_EQ(caption(request, 2).text, once);
  EXPECT_EQ(caption(request, 3).text, once);
  request.sampling.seed = 4;
  EXPECT_NE(caption(request).text, once);
}

TEST_P(EngineTest, SessionStartsAfresh) {
  ThreadPool pool(1);
  const auto engine = load(pool);
  Session session(engine, pool);
  const auto first = session.caption(picture(), short_request());
  CaptionRequest longer = short_request();
  longer.prompt = "hello hello hello hello";
  ASSERT_TRUE(session.caption(picture(), longer).ok());
  const auto again = session.caption(picture(), short_request());
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->text, again->text);
}

TEST_P(EngineTest, StreamIsTheText) {
  CaptionRequest request = short_request();
  request.max_tokens = 40;
  request.stop_on_loop = false;
  std::string stream;
  request.on_text = [&stream](std::string_view piece) {
    stream += piece;
    return true;
  };
  const Caption result = caption(request);
  EXPECT_EQ(stream, result.text);
  EXPECT_EQ(trimmed(stream), stream);
  EXPECT_FALSE(stream.empty());
  EXPECT_EQ(result.timings.answer_tokens, 40);
  EXPECT_EQ(result.finish, FinishReason::kLength);
}

TEST_P(EngineTest, StreamMayBeStopped) {
  CaptionRequest request = short_request();
  request.max_tokens = 40;
  request.on_text = [](std::string_view) { return false; };
  const Caption result = caption(request);
  EXPECT_EQ(result.finish, FinishReason::kInterrupted);
  EXPECT_LT(result.timings.answer_tokens, 40);
}

TEST_P(EngineTest, OrderTagsAndPromptReachTheModel) {
  const Caption plain = caption(short_request());
  CaptionRequest other = short_request();
  other.order = PromptOrder::kImageLast;
  EXPECT_NE(caption(other).text, plain.text);
  CaptionRequest tagged = short_request();
  tagged.tags = {{"dog", "left", 0.5F}};
  const Caption with_tags = caption(tagged);
  EXPECT_GT(with_tags.timings.prompt_tokens, plain.timings.prompt_tokens);
  EXPECT_EQ(with_tags.provenance.prompt_sha256,
            sha256_hex(question_text(tagged.tags, tagged.prompt)));
  EXPECT_EQ(plain.provenance.prompt_sha256, sha256_hex("hello"));
}

TEST_P(EngineTest, TooLongIsRefusedBeforeWork) {
  ThreadPool pool(1);
  Session session(load(pool), pool);
  CaptionRequest request = short_request();
  request.max_tokens = 9000;
  EXPECT_EQ(session.caption(picture(), request).status().code, Code::kLimit);
  request = short_request();
  request.sampling.temperature = -1;
  EXPECT_EQ(session.caption(picture(), request).status().code, Code::kUsage);
}

TEST_P(EngineTest, JsonFitsTheSchema) {
  ThreadPool pool(1);
  const auto engine = load(pool);
  CaptionRequest free = short_request();
  CaptionRequest sections;
  sections.max_tokens = 330;
  const auto identity = engine->identity();
  ASSERT_TRUE(identity.ok()) << identity.status().message;
  EXPECT_EQ(identity->name, "tiny");
  const auto schema_text =
      read_text_file(std::filesystem::path(FASTVLM_SOURCE_DIR) / "docs" / "caption.schema.json");
  ASSERT_TRUE(schema_text.ok());
  const auto schema = nlohmann::json::parse(*schema_text, nullptr, false);
  for (const bool timings : {false, true}) {
    CaptionRequest& request = timings ? free : sections;
    request.tags = {{"dog", "left", 0.9F}, {"cat", "", {}}};
    request.knowable = std::make_shared<const ObjectKinds>(all_object_kinds());
    const auto result = Session(engine, pool).caption(picture(), request);
    ASSERT_TRUE(result.ok());
    const std::string text = to_json(*result, *identity, "a/\xFF.jpg", {timings, timings, true});
    EXPECT_EQ(nlohmann::json::parse(text, nullptr, false).contains("finish_reasons"), !timings);
    EXPECT_EQ(nlohmann::json::parse(text, nullptr, false)["provenance"].contains("schema"),
              !timings);
    const auto value = nlohmann::json::parse(text, nullptr, false);
    ASSERT_TRUE(value.is_object()) << text;
    EXPECT_THAT(test::schema_complaints(schema, value), testing::IsEmpty());
    EXPECT_EQ(value.contains("timings"), timings);
    EXPECT_EQ(value["grounding"]["mentioned"].size() + value["grounding"]["not_mentioned"].size(),
              2U);
    EXPECT_EQ(value["image"], "a/\uFFFD.jpg");
    EXPECT_EQ(value["tags"].dump(),
              R"([{"confidence":0.9,"label":"dog","position":"left"},{"label":"cat"}])");
    EXPECT_THAT(text, testing::Not(HasSubstr(folder_.path().string())));
  }
}

TEST_P(EngineTest, TowerAndLanguageModelCanTakeTurns) {
  ThreadPool pool(1);
  const auto kept = load(pool);
  ASSERT_NE(kept, nullptr);
  const int64_t whole = kept->memory_plan().peak();
  const int64_t turns = kept->memory_plan().peak_in_turns();
  ASSERT_LT(turns, whole);
  EXPECT_TRUE(kept->keeps_tower());

  EngineOptions options{folder_ / "tiny", {}, {}, {}};
  // What the process holds grows from plan to plan, so a limit has to leave room for that.
  options.memory_limit = whole + (int64_t{1} << 30);
  EXPECT_TRUE((*Engine::load(options, pool))->keeps_tower());
  options.memory_limit = 1000;
  const auto refused = Engine::load(options, pool);
  EXPECT_EQ(refused.status().code, Code::kLimit);
  EXPECT_THAT(refused.status().message, HasSubstr("needed are"));

  options.memory_limit.reset();
  options.keep_tower = false;
  const auto engine = *Engine::load(options, pool);
  EXPECT_FALSE(engine->keeps_tower());
  Session in_turns(engine, pool);
  const std::string expected = caption(short_request()).text;
  EXPECT_EQ(in_turns.caption(picture(), short_request())->text, expected);
  EXPECT_EQ(in_turns.caption(picture(), short_request())->text, expected);
  // Only one of the two is in memory: asking for one lets the other go.
  const std::weak_ptr<const ImageEncoder> encoder = *engine->encoder(pool);
  EXPECT_FALSE(encoder.expired());
  const std::weak_ptr<const Qwen2> language = *engine->language(pool);
  EXPECT_TRUE(encoder.expired());
  ASSERT_TRUE(engine->encoder(pool).ok());
  EXPECT_TRUE(language.expired());
}

// The plan is made of shapes alone; the weights then take what it says.
TEST_P(EngineTest, PlanAgreesWithWhatIsLoaded) {
  ThreadPool pool(1);
  const auto engine = load(pool);
  ASSERT_NE(engine, nullptr);
  const auto language = static_cast<double>((*engine->language(pool))->bytes());
  EXPECT_NEAR(static_cast<double>(engine->memory_plan().language), language, 0.1 * language);
  const int64_t side = engine->preprocessing().size;
  const VisionTower& tower = (*engine->encoder(pool))->tower;
  const TowerPlan plan = plan_tower(engine->checkpoint(), engine->precision().vision);
  EXPECT_EQ(plan.stride, tower.stride());
  EXPECT_EQ(plan.workspace_bytes(side, side), tower.workspace_bytes(side, side));
}

TEST_P(EngineTest, SevenPointsAreMadeWhereTheyAreAskedFor) {
  ThreadPool pool(1);
  const auto engine = load(pool);
  CaptionRequest request;
  request.max_tokens = 330;
  const Caption made = caption(request);
  EXPECT_EQ(made.provenance.schema, "seven_point");
  for (const CaptionSection& section : made.sections) EXPECT_TRUE(section.text && section.finish);
  request.sampling = {.temperature = 2, .seed = 1};
  const std::string drawn = caption(request).text;
  EXPECT_NE(drawn, made.text);
  EXPECT_EQ(caption(request, 3).text, drawn);

  request.free = true;
  const Caption free = caption(request);
  EXPECT_EQ(free.provenance.schema, "");
  EXPECT_EQ(free.sections.size(), kSectionCount);
  EXPECT_FALSE(free.sections[0].finish);
  EXPECT_FALSE(free.text.starts_with("1. Main Focus"));

  EXPECT_EQ(caption(short_request()).provenance.schema, "");  // asks for something else
  CaptionRequest short_seven;
  short_seven.max_tokens = 40;
  const auto refused = Session(engine, pool).caption(picture(), short_seven);
  EXPECT_EQ(refused.status().code, Code::kUsage);
  EXPECT_THAT(refused.status().message, HasSubstr("found 40"));
}

TEST_P(EngineTest, ASchemaOfOnesOwn) {
  auto schema = parse_caption_schema(R"({"introduction": "x", "sections": [
      {"name": "light", "title": "Light", "choices": ["day", "night"]},
      {"name": "rest", "title": "Rest", "max_tokens": 8}]})",
                                     "own.json");
  ASSERT_TRUE(schema.ok()) << schema.status().message;
  CaptionRequest request = short_request();
  request.max_tokens = 60;
  request.schema = std::make_shared<const CaptionSchema>(std::move(*schema));
  const Caption made = caption(request);
  ASSERT_EQ(made.sections.size(), 2U);
  EXPECT_EQ(made.sections[0].key, "light");
  EXPECT_THAT(*made.sections[0].text, testing::AnyOf("day", "night"));
  EXPECT_FALSE(made.sections[1].text->empty());
  EXPECT_EQ(made.provenance.schema, "own");
  ThreadPool pool(1);
  request.beams = 2;
  EXPECT_EQ(Session(load(pool), pool).caption(picture(), request).status().code, Code::kUsage);
}

TEST_P(EngineTest, ACallerMayStopBetweenSections) {
  CaptionRequest request;
  request.max_tokens = 330;
  int pieces = 0;
  request.on_text = [&](std::string_view) { return ++pieces < 30; };
  const Caption made = caption(request);
  EXPECT_EQ(made.finish, FinishReason::kInterrupted);
  EXPECT_TRUE(made.sections[0].text);
  EXPECT_FALSE(made.sections[6].text);
  EXPECT_FALSE(made.sections[6].finish);
}

TEST_P(EngineTest, BeamsAnswer) {
  CaptionRequest request = short_request();
  request.beams = 3;
  const Caption result = caption(request);
  EXPECT_EQ(result.text, caption(request, 2).text);
  EXPECT_EQ(describe_sampling(request.sampling, request.beams), "3 beams");
}

INSTANTIATE_TEST_SUITE_P(Models, EngineTest, testing::Values("hd_tied", "s0_untied"));

TEST(Engine, MissingPartsAreNamed) {
  const test::TemporaryFolder folder;
  ThreadPool pool(1);
  const auto failure = [&](const EngineOptions& options) {
    const auto engine = Engine::load(options, pool);
    EXPECT_FALSE(engine.ok());
    EXPECT_FALSE(engine.status().hint.empty()) << engine.status().message;
    return engine.status().message;
  };
  EXPECT_THAT(failure({folder / "none", {}, {}, {}}), HasSubstr("none"));
  test::make_tiny_export(folder / "export", "hd_tied");
  EXPECT_THAT(failure({folder / "export", {}, {}, {}}), HasSubstr("vision tower"));
  const auto tower = test::golden("vlm/hd_tied/vision_train_form.safetensors");
  EXPECT_TRUE(Engine::load({folder / "export", tower, {}, {}}, pool).ok());
  test::make_tiny_model(folder / "model", "hd_tied");
  EXPECT_THAT(failure({folder / "model", {}, {}, 200}),
              HasSubstr("multiple of the tower's stride 64"));
  EXPECT_TRUE(Engine::load({folder / "model", {}, Aspect::kCrop, 128}, pool).ok());
  std::filesystem::remove(folder / "model" / "tokenizer.json");
  EXPECT_THAT(failure({folder / "model", {}, {}, {}}), HasSubstr("tokenizer"));
}

TEST(Engine, PreprocessingFollowsTheConfig) {
  ModelConfig config;
  config.image_aspect_ratio = "pad";
  EXPECT_EQ(preprocessing_of(config, 64, {})->size, 1024);
  EXPECT_EQ(preprocessing_of(config, 32, {})->size, 256);
  EXPECT_EQ(preprocessing_of(config, 64, {})->aspect, Aspect::kPad);
  config.image_aspect_ratio = "";
  config.image_size = 512;
  config.image_mean = {0.5F, 0.0F, 1.0F};
  const auto crop = preprocessing_of(config, 64, {});
  EXPECT_EQ(crop->size, 512);
  EXPECT_EQ(crop->aspect, Aspect::kCrop);
  EXPECT_THAT(crop->background, testing::ElementsAre(127, 0, 255));
  config.image_size = 500;
  EXPECT_EQ(preprocessing_of(config, 64, {}).status().code, Code::kInvalid);
  EXPECT_EQ(preprocessing_of(config, 64, {}).status().hint, "use --image-size 512");
}

TEST(Caption, SamplingInWords) {
  EXPECT_EQ(describe_sampling({}, 1), "greedy");
  EXPECT_EQ(describe_sampling({.temperature = 0.2, .top_k = 50, .top_p = 0.9}, 1),
            "temperature 0.2, top_k 50, top_p 0.9");
  EXPECT_EQ(describe_sampling({.repetition_penalty = 1.1, .dry_multiplier = 0.8}, 1),
            "greedy, repetition_penalty 1.1, dry 0.8 (base 1.75, allowed length 2)");
  EXPECT_EQ(describe_sampling({.temperature = 0.5}, 4), "4 beams, temperature 0.5");
}

}  // namespace
}  // namespace fastvlm
