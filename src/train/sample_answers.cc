// SPDX-License-Identifier: Apache-2.0
#include "train/sample_answers.h"

#include <algorithm>

#include "base/strings.h"
#include "language/decoding.h"

namespace fastvlm {

namespace {

// A sample's rows with the image's tokens as the language model reads them.
Result<std::vector<float>> projected(const SampleData& data, size_t sample, const Answering& how,
                                     ThreadPool& pool) {
  FASTVLM_ASSIGN(SampleRows rows, data.rows(sample));
  if (rows.image.empty()) return std::move(rows.rows);
  const int64_t width = how.projector->input_width();
  const auto count = static_cast<int64_t>(rows.image.size()) / width;
  const Tokens tokens = how.projector->project({count, width, std::move(rows.image)}, pool);
  std::copy(tokens.values.begin(), tokens.values.end(),
            rows.rows.begin() + rows.image_row * tokens.width);
  return std::move(rows.rows);
}

}  // namespace

std::vector<size_t> chosen_samples(size_t samples, size_t count) {
  std::vector<size_t> chosen;
  count = std::min(samples, count);
  for (size_t i = 0; i < count; ++i) chosen.push_back(i * samples / count);
  return chosen;
}

Result<std::vector<std::string>> answers(const Qwen2& model, const SampleData& data,
                                         const std::vector<size_t>& samples, const Answering& how,
                                         ThreadPool& pool) {
  std::vector<std::string> texts;
  for (const size_t sample : samples) {
    const int64_t prompt =
        data.targets(sample).front().row + 1;  // its last row predicts the answer
    FASTVLM_ASSIGN(const std::vector<float> rows, projected(data, sample, how, pool));
    DecodingOptions options;
    options.stop_ids = how.stop_ids;
    options.stop_on_loop = true;
    options.max_tokens = std::min(how.max_tokens, model.context_limit() - prompt);
    std::string text;
    if (options.max_tokens > 0) {
      KvCache cache(model.config(), prompt + options.max_tokens);
      FASTVLM_ASSIGN(const Decoded decoded,
                     decode(model, cache, rows.data(), prompt, options, pool));
      text = how.tokenizer.decode(decoded.ids, true);
    }
    texts.emplace_back(trimmed(text));
  }
  return texts;
}

std::string expected_answer(const SampleData& data, size_t sample, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  int32_t row = data.targets(sample).front().row;
  for (const TrainingTarget& target : data.targets(sample)) {
    if (target.row != row++) break;  // a question comes in between
    ids.push_back(target.id);
  }
  return std::string(trimmed(tokenizer.decode(ids, true)));
}

}  // namespace fastvlm
