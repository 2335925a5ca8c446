// SPDX-License-Identifier: Apache-2.0
// fastvlm.hpp on the demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fastvlm/fastvlm.hpp>
#include <stdexcept>
#include <string>

namespace {

const std::string kToyModel = FASTVLM_SOURCE_DIR "/models/demo";
const std::string kToyCat = FASTVLM_SOURCE_DIR "/examples/cat-city-midday.jpg";

TEST(Wrapper, DescribesAndTellsSections) {
  fastvlm::Session session{fastvlm::Model(kToyModel)};
  std::string streamed;
  fastvlm::Request request;
  request.on_text = [&](std::string_view piece) {
    streamed += piece;
    return true;
  };
  const auto result = session.describe_file(kToyCat, request);
  EXPECT_EQ(result.text(), streamed);
  EXPECT_EQ(result.finish_reason(), "stop");
  ASSERT_EQ(result.sections().size(), 7U);
  EXPECT_EQ(result.sections()[0].key, "main_focus");
  EXPECT_EQ(result.sections()[0].text, result.section("main_focus"));
  EXPECT_EQ(result.section("none"), std::nullopt);
  EXPECT_GT(result.timings().answer_tokens, 0);
  EXPECT_THAT(result.json(FASTVLM_JSON_PRETTY), testing::StartsWith("{\n"));
}

TEST(Wrapper, ThrowsWhatCallbacksThrowAndCancels) {
  const fastvlm::Model model(kToyModel);
  fastvlm::Session session(model);
  fastvlm::Request request;
  request.on_progress = [](fastvlm_stage, int64_t) -> bool { throw std::out_of_range("mine"); };
  EXPECT_THROW(session.describe_file(kToyCat, request), std::out_of_range);
  fastvlm::CancelToken token;
  token.cancel();
  request.on_progress = nullptr;
  request.cancel = &token;
  try {
    session.describe_file(kToyCat, request);
    FAIL() << "expected an error";
  } catch (const fastvlm::Error& problem) {
    EXPECT_EQ(problem.status(), FASTVLM_INTERRUPTED);
  }
  token.reset();
  EXPECT_FALSE(session.describe_file(kToyCat, request).text().empty());
}

TEST(Wrapper, ErrorsCarryStatusAndHint) {
  try {
    const fastvlm::Model model("/no/such/model");
    FAIL() << "expected an error";
  } catch (const fastvlm::Error& problem) {
    EXPECT_EQ(problem.status(), FASTVLM_NOT_FOUND);
    EXPECT_THAT(problem.what(), testing::HasSubstr("/no/such/model"));
    EXPECT_FALSE(problem.hint().empty());
  }
}

}  // namespace
