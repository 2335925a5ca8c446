// SPDX-License-Identifier: Apache-2.0
#include "evaluate/document_frequency_file.h"

#include <map>

#include "base/strings.h"
#include "dataset/json_file.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "fastvlm document frequencies 1";

Status wrong(const std::filesystem::path& path, const std::string& key,
             const std::string& expected) {
  return error(Code::kInvalid, cat(path.string(), ": key `", key, "`: expected ", expected),
               "write the table with --save-document-frequencies");
}

}  // namespace

Result<DocumentFrequencies> load_document_frequencies(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const json file, read_json(path));
  if (!file.is_object() || file.value("format", json()) != kFormat) {
    return wrong(path, "format", cat("\"", kFormat, "\""));
  }
  const json images = file.value("images", json());
  if (!images.is_number_integer() || images < 1) {
    return wrong(path, "images", "the number of images");
  }
  const json ngrams = file.value("ngrams", json());
  if (!ngrams.is_object()) return wrong(path, "ngrams", "an object of counts");
  DocumentFrequencies frequencies;
  frequencies.images = images.get<int64_t>();
  for (const auto& [ngram, count] : ngrams.items()) {
    if (!count.is_number_integer() || count < 1 || count > images) {
      return wrong(path, "ngrams." + ngram, cat("1 to ", frequencies.images));
    }
    frequencies.ngrams.emplace(ngram, count.get<int64_t>());
  }
  return frequencies;
}

Status save_document_frequencies(const std::filesystem::path& path,
                                 const DocumentFrequencies& frequencies) {
  const std::map<std::string, int64_t> in_order(frequencies.ngrams.begin(),
                                                frequencies.ngrams.end());
  const nlohmann::ordered_json file = {
      {"format", kFormat}, {"images", frequencies.images}, {"ngrams", in_order}};
  return write_file_atomically(
      path, file.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace fastvlm
