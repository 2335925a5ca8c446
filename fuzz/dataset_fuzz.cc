// SPDX-License-Identifier: Apache-2.0
// Files of a data set: records with their lines, LLaVA conversations and their sections, CSV. The
// first byte chooses: an odd one reads CSV.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/csv.h"
#include "dataset/llava.h"
#include "dataset/phrases.h"
#include "dataset/record_file.h"

namespace {

using namespace fastvlm;

void read_csv(std::string_view text) {
  const auto rows = parse_csv(text, "f.csv");
  if (!rows.ok()) return;
  int64_t line = 0;
  for (const CsvRow& row : *rows) {
    if (row.fields.empty() || row.line <= line) std::abort();
    line = row.line;
    for (const std::string& field : row.fields) (void)completed(as_sentence(field), "There is");
  }
}

void read_conversations(std::string_view text) {
  const auto records = parse_records(text, "f.jsonl");
  if (!records.ok()) return;
  for (const FileRecord& record : *records) {
    if (record.line < 1 || record.value.is_discarded()) continue;
    std::vector<std::string> problems;
    const LlavaRecord read = read_llava(record.value, problems);
    if (problems.empty() && (read.image.empty() || read.exchanges.empty())) std::abort();
    for (const LlavaExchange& exchange : read.exchanges) {
      if (problems.empty() && exchange.answer.empty()) std::abort();
      if (has_all_sections(exchange.answer)) (void)section_problems(exchange.answer);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  data[0] % 2 == 1 ? read_csv(text) : read_conversations(text);
  return 0;
}
