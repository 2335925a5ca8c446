// SPDX-License-Identifier: Apache-2.0
// A guide alone, with a made-up model in place of a decoder: what it would like to write next is
// taken where the guide allows it, else something that it allows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "language/guided_decoding.h"
#include "language/sampler.h"
#include "support/files.h"
#include "text/tokenizer.h"

namespace fastvlm::test {

// The id that the model wishes behind `ids`.
using WishfulModel = std::function<TokenId(std::span<const TokenId> ids)>;

struct GuidedAnswer {
  std::vector<TokenId> ids;
  FinishReason finish = FinishReason::kInterrupted;  // stays so when the answer does not end
  int64_t chosen = 0;                                // steps of the model
};

class GuideFixture : public testing::Test {
 protected:
  void use(Result<Tokenizer> tokenizer) {
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message;
    tokenizer_ = std::make_unique<const Tokenizer>(std::move(*tokenizer));
    end_ = *tokenizer_->find("<|im_end|>");
  }
  void SetUp() override { use(Tokenizer::load(demo_model())); }

  std::vector<TokenId> ids_of(std::string_view text) const {
    return *tokenizer_->encode(text, Trust::kTrusted);
  }

  // `seed` is that of the choices where the model's wish is forbidden. Checks what every guide has
  // to keep to.
  GuidedAnswer answer(Guide& guide, const WishfulModel& model, int64_t max_tokens, uint64_t seed) {
    Generator random(seed);
    GuidedAnswer made;
    std::vector<TokenId> settled;
    for (int64_t steps = 0; steps < 20 * max_tokens; ++steps) {
      const auto step = guide.next(made.ids);
      EXPECT_TRUE(step.ok());
      EXPECT_LE(step->settled, step->keep);
      EXPECT_LE(step->keep, made.ids.size());
      EXPECT_GE(step->keep, settled.size());
      made.ids.resize(step->keep);
      // What was settled stays as it was.
      EXPECT_TRUE(std::equal(settled.begin(), settled.end(), made.ids.begin()));
      settled.assign(made.ids.begin(),
                     made.ids.begin() + static_cast<std::ptrdiff_t>(step->settled));
      if (step->finish) {
        made.finish = *step->finish;
        EXPECT_EQ(settled.size(), made.ids.size());
        break;
      }
      made.ids.insert(made.ids.end(), step->forced.begin(), step->forced.end());
      EXPECT_LE(static_cast<int64_t>(made.ids.size()), max_tokens);
      if (!step->forced.empty()) continue;
      TokenId id = model(made.ids);
      for (int tries = 0; step->allows && !step->allows(id); ++tries) {
        if (tries == 200000) {
          ADD_FAILURE() << "nothing is allowed behind " << tokenizer_->decode(made.ids, true);
          return made;
        }
        id = static_cast<TokenId>(random.next() % tokenizer_->vocab_size());
      }
      made.ids.push_back(id);
      ++made.chosen;
      EXPECT_LE(static_cast<int64_t>(made.ids.size()), max_tokens);
    }
    EXPECT_NE(made.finish, FinishReason::kInterrupted)
        << "does not end: " << tokenizer_->decode(made.ids, true);
    return made;
  }

  std::unique_ptr<const Tokenizer> tokenizer_;
  TokenId end_ = 0;
};

}  // namespace fastvlm::test
