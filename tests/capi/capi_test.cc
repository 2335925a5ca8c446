// SPDX-License-Identifier: Apache-2.0
// The C API on the demo model: what it answers, and that nothing that a caller gives it ends the
// program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fastvlm/fastvlm.h"
#include "image/decode.h"

namespace {

using testing::HasSubstr;

const std::string kSource = FASTVLM_SOURCE_DIR;
const std::string kDemo = kSource + "/models/demo";
const std::string kCat = kSource + "/examples/cat-city-midday.jpg";

fastvlm_request no_request() {
  fastvlm_request request{};
  request.struct_size = sizeof(request);
  return request;
}

std::string text_and_free(fastvlm_result* result) {
  std::string text = result == nullptr ? "" : fastvlm_result_text(result);
  fastvlm_result_free(result);
  return text;
}

class CApi : public testing::Test {
 protected:
  void SetUp() override {
    fastvlm_model_options options{};
    options.struct_size = sizeof(options);
    options.threads = 2;
    ASSERT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model_), FASTVLM_OK)
        << fastvlm_last_error();
    ASSERT_EQ(fastvlm_session_new(model_, &session_), FASTVLM_OK) << fastvlm_last_error();
  }
  void TearDown() override {
    fastvlm_session_free(session_);
    fastvlm_model_free(model_);
  }

  fastvlm_status describe(const fastvlm_request* request = nullptr) {
    result_ = nullptr;
    return fastvlm_describe_file(session_, kCat.c_str(), request, &result_);
  }
  void expect_refused(const fastvlm_request& request, const char* message) {
    EXPECT_EQ(describe(&request), FASTVLM_USAGE) << message;
    EXPECT_EQ(result_, nullptr);
    EXPECT_THAT(fastvlm_last_error(), HasSubstr(message));
  }

  fastvlm_model* model_ = nullptr;
  fastvlm_session* session_ = nullptr;
  fastvlm_result* result_ = nullptr;
};

TEST_F(CApi, ResultHasTextSectionsTimingsAndJson) {
  ASSERT_EQ(describe(), FASTVLM_OK) << fastvlm_last_error();
  const std::string text = fastvlm_result_text(result_);
  EXPECT_THAT(text, testing::StartsWith("1. Main Focus"));
  ASSERT_EQ(fastvlm_result_section_count(result_), 7U);
  EXPECT_STREQ(fastvlm_result_section_key(result_, 0), "main_focus");
  EXPECT_STREQ(fastvlm_result_section_title(result_, 0), "Main Focus");
  EXPECT_STREQ(fastvlm_result_section_text(result_, 6), fastvlm_result_section(result_, "style"));
  EXPECT_EQ(fastvlm_result_section_key(result_, 7), nullptr);
  EXPECT_EQ(fastvlm_result_section_text(result_, 7), nullptr);
  EXPECT_EQ(fastvlm_result_section(result_, "colour"), nullptr);
  EXPECT_STREQ(fastvlm_result_finish_reason(result_), "stop");

  fastvlm_timings timings{};
  timings.struct_size = sizeof(timings);
  ASSERT_EQ(fastvlm_result_timings(result_, &timings), FASTVLM_OK);
  EXPECT_GT(timings.answer_tokens, 50);
  EXPECT_GT(timings.prompt_tokens, timings.answer_tokens / 2);
  EXPECT_GT(timings.tokens_per_second, 0);
  EXPECT_DOUBLE_EQ(timings.first_token_seconds,
                   timings.picture_seconds + timings.vision_seconds + timings.prompt_seconds);

  char* json = nullptr;
  ASSERT_EQ(fastvlm_result_json(result_, FASTVLM_JSON_TIMINGS, &json), FASTVLM_OK);
  const auto parsed = nlohmann::json::parse(json);
  fastvlm_string_free(json);
  EXPECT_EQ(parsed.at("text"), text);
  EXPECT_EQ(parsed.at("image"), "cat-city-midday.jpg");
  EXPECT_TRUE(parsed.contains("timings"));
  EXPECT_EQ(fastvlm_result_json(result_, 4, &json), FASTVLM_USAGE);
  EXPECT_EQ(json, nullptr);
  fastvlm_result_free(result_);
}

TEST_F(CApi, FileBytesAndPixelsAreDescribedAlike) {
  ASSERT_EQ(describe(), FASTVLM_OK);
  const std::string expected = text_and_free(result_);
  std::ifstream file(kCat, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(fastvlm_describe_bytes(session_, bytes.data(), bytes.size(), nullptr, &result_),
            FASTVLM_OK);
  EXPECT_EQ(text_and_free(result_), expected);

  const auto image = fastvlm::load_image(kCat);
  ASSERT_TRUE(image.ok());
  const size_t stride = image->stride() + 5;
  std::vector<uint8_t> rows(stride * static_cast<size_t>(image->height), 77);
  for (int y = 0; y < image->height; ++y) {
    std::copy_n(image->row(y), image->stride(), rows.data() + static_cast<size_t>(y) * stride);
  }
  ASSERT_EQ(fastvlm_describe_rgb(session_, rows.data(), image->width, image->height, stride,
                                 nullptr, &result_),
            FASTVLM_OK);
  EXPECT_EQ(text_and_free(result_), expected);
  ASSERT_EQ(fastvlm_describe_rgb(session_, image->rgb.data(), image->width, image->height, 0,
                                 nullptr, &result_),
            FASTVLM_OK);
  EXPECT_EQ(text_and_free(result_), expected);
}

TEST_F(CApi, RequestIsFollowed) {
  fastvlm_request request = no_request();
  request.prompt = "describe";
  request.tags = "cat (left), bridge";
  request.max_tokens = 5;
  request.image_name = "the cat";
  ASSERT_EQ(describe(&request), FASTVLM_OK) << fastvlm_last_error();
  EXPECT_STREQ(fastvlm_result_finish_reason(result_), "length");
  char* json = nullptr;
  ASSERT_EQ(fastvlm_result_json(result_, FASTVLM_JSON_PRETTY, &json), FASTVLM_OK);
  const auto parsed = nlohmann::json::parse(json);
  fastvlm_string_free(json);
  fastvlm_result_free(result_);
  EXPECT_EQ(parsed.at("image"), "the cat");
  EXPECT_EQ(parsed.at("tags").size(), 2U);

  request = no_request();
  request.temperature = 1.5;
  request.seed = 1;
  request.free = 1;
  ASSERT_EQ(describe(&request), FASTVLM_OK);
  const std::string first = text_and_free(result_);
  ASSERT_EQ(describe(&request), FASTVLM_OK);
  EXPECT_EQ(text_and_free(result_), first);
  request.seed = 2;
  ASSERT_EQ(describe(&request), FASTVLM_OK);
  EXPECT_NE(text_and_free(result_), first);
}

struct Seen {
  std::string text;
  std::vector<fastvlm_stage> stages;
  int64_t tokens = 0;
  fastvlm_stage stop_at = FASTVLM_STAGE_TOKEN;
  bool stop = false;
};

int take_text(const char* piece, size_t length, void* user_data) {
  EXPECT_EQ(std::strlen(piece), length);
  static_cast<Seen*>(user_data)->text += piece;
  return 0;
}

int take_progress(fastvlm_stage stage, int64_t tokens, void* user_data) {
  auto& seen = *static_cast<Seen*>(user_data);
  if (seen.stages.empty() || seen.stages.back() != stage) seen.stages.push_back(stage);
  seen.tokens = tokens;
  return seen.stop && stage == seen.stop_at ? 1 : 0;
}

TEST_F(CApi, CallbacksTellTextAndProgress) {
  Seen seen;
  fastvlm_request request = no_request();
  request.on_text = take_text;
  request.on_progress = take_progress;
  request.user_data = &seen;
  ASSERT_EQ(describe(&request), FASTVLM_OK);
  EXPECT_EQ(text_and_free(result_), seen.text);
  EXPECT_EQ(seen.stages, (std::vector{FASTVLM_STAGE_PICTURE_READ, FASTVLM_STAGE_PICTURE_SEEN,
                                      FASTVLM_STAGE_PROMPT_READ, FASTVLM_STAGE_TOKEN}));
  EXPECT_GT(seen.tokens, 30);
}

TEST_F(CApi, CallbacksStopAtEachStage) {
  for (const auto stage : {FASTVLM_STAGE_PICTURE_READ, FASTVLM_STAGE_PICTURE_SEEN,
                           FASTVLM_STAGE_PROMPT_READ, FASTVLM_STAGE_TOKEN}) {
    Seen seen;
    seen.stop = true;
    seen.stop_at = stage;
    fastvlm_request request = no_request();
    request.on_progress = take_progress;
    request.user_data = &seen;
    EXPECT_EQ(describe(&request), FASTVLM_INTERRUPTED) << stage;
    EXPECT_EQ(result_, nullptr);
    EXPECT_EQ(seen.stages.back(), stage);
  }
  fastvlm_request request = no_request();
  request.on_text = [](const char*, size_t, void*) { return 1; };
  EXPECT_EQ(describe(&request), FASTVLM_INTERRUPTED);
  EXPECT_EQ(describe(), FASTVLM_OK);  // the session goes on
  fastvlm_result_free(result_);
}

TEST_F(CApi, AnotherThreadCancels) {
  fastvlm_cancel_token* token = nullptr;
  ASSERT_EQ(fastvlm_cancel_token_new(&token), FASTVLM_OK);
  struct Waiting {
    std::atomic<bool> answering{false};
    std::atomic<bool> cancelled{false};
  } waiting;
  std::thread other([&] {
    while (!waiting.answering) std::this_thread::yield();
    fastvlm_cancel(token);
    waiting.cancelled = true;
  });
  fastvlm_request request = no_request();
  request.cancel = token;
  request.user_data = &waiting;
  request.on_progress = [](fastvlm_stage stage, int64_t, void* user_data) {
    auto& both = *static_cast<Waiting*>(user_data);
    if (stage == FASTVLM_STAGE_TOKEN) {
      both.answering = true;
      while (!both.cancelled) std::this_thread::yield();
    }
    return 0;
  };
  EXPECT_EQ(describe(&request), FASTVLM_INTERRUPTED);
  EXPECT_EQ(result_, nullptr);
  other.join();
  request.on_progress = nullptr;
  EXPECT_EQ(describe(&request), FASTVLM_INTERRUPTED);  // it stays cancelled
  fastvlm_cancel_token_reset(token);
  EXPECT_EQ(describe(&request), FASTVLM_OK);
  fastvlm_result_free(result_);
  fastvlm_cancel_token_free(token);
}

TEST_F(CApi, TwoSessionsOnTwoThreadsAnswerAlike) {
  ASSERT_EQ(describe(), FASTVLM_OK);
  const std::string expected = text_and_free(result_);
  fastvlm_model_free(model_);  // the session keeps it
  model_ = nullptr;
  fastvlm_model* second = nullptr;
  ASSERT_EQ(fastvlm_model_load(kDemo.c_str(), nullptr, &second), FASTVLM_OK);
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&text, second] {
      fastvlm_session* session = nullptr;
      fastvlm_result* result = nullptr;
      if (fastvlm_session_new(second, &session) == FASTVLM_OK &&
          fastvlm_describe_file(session, kCat.c_str(), nullptr, &result) == FASTVLM_OK) {
        text = fastvlm_result_text(result);
      }
      fastvlm_result_free(result);
      fastvlm_session_free(session);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
  fastvlm_model_free(second);
}

TEST_F(CApi, SecondCallOfASessionIsRefused) {
  fastvlm_request request = no_request();
  request.user_data = session_;
  request.on_text = [](const char*, size_t, void* user_data) {
    fastvlm_result* inner = nullptr;
    auto* session = static_cast<fastvlm_session*>(user_data);
    EXPECT_EQ(fastvlm_describe_file(session, kCat.c_str(), nullptr, &inner), FASTVLM_USAGE);
    EXPECT_EQ(inner, nullptr);
    EXPECT_THAT(fastvlm_last_error(), HasSubstr("at work"));
    return 0;
  };
  ASSERT_EQ(describe(&request), FASTVLM_OK);
  fastvlm_result_free(result_);
}

TEST_F(CApi, NullsAreRefused) {
  fastvlm_result* result = nullptr;
  const uint8_t pixel[3] = {1, 2, 3};
  EXPECT_EQ(fastvlm_model_load(nullptr, nullptr, nullptr), FASTVLM_USAGE);
  fastvlm_model* model = nullptr;
  EXPECT_EQ(fastvlm_model_load(nullptr, nullptr, &model), FASTVLM_USAGE);
  EXPECT_THAT(fastvlm_last_error(), HasSubstr("folder"));
  fastvlm_session* session = nullptr;
  EXPECT_EQ(fastvlm_session_new(nullptr, &session), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_session_new(model_, nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_cancel_token_new(nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_file(nullptr, kCat.c_str(), nullptr, &result), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_file(session_, nullptr, nullptr, &result), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_file(session_, kCat.c_str(), nullptr, nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_bytes(session_, nullptr, 3, nullptr, &result), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_bytes(session_, pixel, 3, nullptr, nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(session_, nullptr, 1, 1, 0, nullptr, &result), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(session_, pixel, 1, 1, 0, nullptr, nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(nullptr, pixel, 1, 1, 0, nullptr, &result), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_result_timings(nullptr, nullptr), FASTVLM_USAGE);
  char* json = nullptr;
  EXPECT_EQ(fastvlm_result_json(nullptr, 0, &json), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_result_json(nullptr, 0, nullptr), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_result_text(nullptr), nullptr);
  EXPECT_EQ(fastvlm_result_section_count(nullptr), 0U);
  EXPECT_EQ(fastvlm_result_section_key(nullptr, 0), nullptr);
  EXPECT_EQ(fastvlm_result_section_title(nullptr, 0), nullptr);
  EXPECT_EQ(fastvlm_result_section_text(nullptr, 0), nullptr);
  EXPECT_EQ(fastvlm_result_section(nullptr, nullptr), nullptr);
  EXPECT_EQ(fastvlm_result_finish_reason(nullptr), nullptr);
  EXPECT_STREQ(fastvlm_model_warnings(nullptr), "");
  fastvlm_model_free(nullptr);
  fastvlm_session_free(nullptr);
  fastvlm_result_free(nullptr);
  fastvlm_cancel_token_free(nullptr);
  fastvlm_cancel(nullptr);
  fastvlm_cancel_token_reset(nullptr);
  fastvlm_string_free(nullptr);
}

TEST_F(CApi, ValuesOutOfRangeAreRefused) {
  fastvlm_request request = no_request();
  request.max_tokens = -1;
  expect_refused(request, "max_tokens");
  request = no_request();
  request.temperature = std::nan("");
  expect_refused(request, "temperature");
  request = no_request();
  request.top_p = 2;
  expect_refused(request, "top_p");
  request = no_request();
  request.top_k = -2;
  expect_refused(request, "top_k");
  request = no_request();
  request.prompt = " \n";
  expect_refused(request, "prompt");
  request = no_request();
  request.struct_size = 0;
  expect_refused(request, "struct_size");
  request.struct_size = SIZE_MAX;
  expect_refused(request, "struct_size");
  const uint8_t pixel[3] = {1, 2, 3};
  EXPECT_EQ(fastvlm_describe_rgb(session_, pixel, 0, 1, 0, nullptr, &result_), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(session_, pixel, 1, -1, 0, nullptr, &result_), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(session_, pixel, 1, 1, 2, nullptr, &result_), FASTVLM_USAGE);
  EXPECT_EQ(fastvlm_describe_rgb(session_, pixel, 60'000, 60'000, 0, nullptr, &result_),
            FASTVLM_LIMIT);
  request = no_request();
  request.max_tokens = 1 << 20;
  EXPECT_EQ(describe(&request), FASTVLM_LIMIT);
}

TEST_F(CApi, StructsOfOtherVersionsAreRead) {
  struct Later {
    fastvlm_request request;
    uint64_t added;
  } later{no_request(), 0};
  later.request.struct_size = sizeof(later);
  ASSERT_EQ(describe(&later.request), FASTVLM_OK);
  fastvlm_result_free(result_);
  later.added = 1;
  EXPECT_EQ(describe(&later.request), FASTVLM_UNSUPPORTED);
  fastvlm_request earlier = no_request();
  earlier.struct_size = offsetof(fastvlm_request, max_tokens);
  earlier.max_tokens = -5;  // not part of it
  ASSERT_EQ(describe(&earlier), FASTVLM_OK);
  fastvlm_timings timings{};
  timings.struct_size = offsetof(fastvlm_timings, answer_tokens);
  timings.answer_tokens = -7;
  ASSERT_EQ(fastvlm_result_timings(result_, &timings), FASTVLM_OK);
  EXPECT_EQ(timings.answer_tokens, -7);
  EXPECT_GT(timings.prompt_tokens, 0);
  fastvlm_result_free(result_);
}

TEST_F(CApi, BadPicturesAreNamed) {
  EXPECT_EQ(fastvlm_describe_file(session_, "/no/such.jpg", nullptr, &result_), FASTVLM_NOT_FOUND);
  EXPECT_THAT(fastvlm_last_error(), HasSubstr("/no/such.jpg"));
  fastvlm_request request = no_request();
  request.image_name = "upload 7";
  EXPECT_EQ(fastvlm_describe_bytes(session_, "no picture", 10, &request, &result_),
            FASTVLM_INVALID);
  EXPECT_THAT(fastvlm_last_error(), HasSubstr("upload 7"));
  EXPECT_EQ(fastvlm_describe_bytes(session_, "", 0, nullptr, &result_), FASTVLM_INVALID);
  EXPECT_EQ(result_, nullptr);
}

TEST(CApiModel, BadModelsAndOptionsAreRefused) {
  fastvlm_model* model = nullptr;
  EXPECT_EQ(fastvlm_model_load("/no/such/model", nullptr, &model), FASTVLM_NOT_FOUND);
  EXPECT_THAT(fastvlm_last_error(), HasSubstr("/no/such/model"));
  EXPECT_STRNE(fastvlm_last_hint(), "");
  EXPECT_EQ(model, nullptr);
  fastvlm_model_options options{};
  options.struct_size = sizeof(options);
  options.precision = 9;
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_USAGE);
  options.precision = FASTVLM_PRECISION_FP32;
  options.threads = -1;
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_USAGE);
  options.threads = 1;
  options.memory_limit = -1;
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_USAGE);
  options.memory_limit = 1000;
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_LIMIT);
  options.memory_limit = 0;
  options.adapter = "/no/such/adapter";
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_NOT_FOUND);
  options.adapter = nullptr;
  options.vision_tower = "/no/such/tower";
  EXPECT_NE(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_OK);
  options.vision_tower = nullptr;
  options.drafts = "/no/such/drafts";
  EXPECT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_NOT_FOUND);
  options.drafts = "none";
  ASSERT_EQ(fastvlm_model_load(kDemo.c_str(), &options, &model), FASTVLM_OK);
  EXPECT_STREQ(fastvlm_model_warnings(model), "");
  fastvlm_model_free(model);
}

TEST(CApiModel, ErrorsBelongToTheirThread) {
  fastvlm_model* model = nullptr;
  EXPECT_EQ(fastvlm_model_load("/no/such/model", nullptr, &model), FASTVLM_NOT_FOUND);
  std::thread([] { EXPECT_STREQ(fastvlm_last_error(), ""); }).join();
  EXPECT_STRNE(fastvlm_last_error(), "");
  EXPECT_STREQ(fastvlm_status_name(FASTVLM_NOT_FOUND), "not-found");
}

}  // namespace
