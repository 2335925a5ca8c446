// SPDX-License-Identifier: Apache-2.0
#include "dataset/sample.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "caption/prompt.h"
#include "formats/atomic_file.h"

namespace fastvlm {

std::string human_turn(const std::vector<Tag>& tags, std::string_view prompt) {
  return cat(kImageMark, "\n", question_text(tags, prompt));
}

std::string llava_record(const DatasetSample& sample) {
  using Json = nlohmann::ordered_json;
  Json turns = Json::array();
  const auto add = [&turns](const std::string& question, const std::string& answer) {
    turns.push_back({{"from", "human"}, {"value", question}});
    turns.push_back({{"from", "gpt"}, {"value", answer}});
  };
  add(sample.human, sample.gpt);
  for (const LlavaExchange& exchange : sample.more) add(exchange.question, exchange.answer);
  const Json record = {
      {"id", sample.id}, {"image", sample.image}, {"conversations", std::move(turns)}};
  return record.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status write_samples(const std::filesystem::path& folder, const std::string& name,
                     const std::vector<DatasetSample>& samples) {
  std::string lines;
  std::string list = "[";
  for (const DatasetSample& sample : samples) {
    const std::string record = llava_record(sample);
    list += cat(list.size() > 1 ? ",\n" : "\n", record);
    lines += record + "\n";
  }
  FASTVLM_RETURN_IF_ERROR(write_file_atomically(folder / (name + ".json"), list + "\n]\n"));
  return write_file_atomically(folder / (name + ".jsonl"), lines);
}

}  // namespace fastvlm
