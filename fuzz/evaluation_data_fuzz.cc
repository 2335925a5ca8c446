// SPDX-License-Identifier: Apache-2.0
// The files beside the captions of an evaluation: instances, tags, factors, document frequencies,
// METEOR's paraphrases, ratings. The first byte chooses the reader, the rest is the file.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "dataset/caption_files.h"
#include "dataset/instances.h"
#include "evaluate/document_frequency_file.h"
#include "evaluate/factors.h"
#include "evaluate/paraphrases.h"
#include "evaluate/rating.h"

namespace {

using namespace fastvlm;

// A folder of a rating study with one caption, gone at the end.
struct Folder {
  Folder() {
    std::filesystem::create_directories(path);
    std::ofstream(path / "model.jsonl") << R"({"image": "1.jpg", "text": "a dog"})"
                                        << "\n";
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path = std::filesystem::temp_directory_path() /
                               ("fastvlm-evaluation-fuzz-" + std::to_string(::getpid()));
};

void read_one(uint8_t reader, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "ratings.jsonl";
  switch (reader % 6) {
    case 0:
      if (const auto found = read_instances(file); found.ok()) {
        for (const auto& entry : *found) (void)factors_of(entry.second);
      }
      break;
    case 1:
      (void)read_tags(file);
      break;
    case 2:
      (void)read_factors(file);
      break;
    case 3:
      (void)load_document_frequencies(file);
      break;
    case 4:
      (void)Paraphrases::load(file);
      break;
    default:
      if (const auto study = RatingStudy::open(folder); study.ok()) {
        if (to_table(summarize(*study)).empty()) std::abort();
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  std::ofstream(folder.path / "ratings.jsonl", std::ios::binary)
      .write(reinterpret_cast<const char*>(data + 1), static_cast<std::streamsize>(size - 1));
  read_one(data[0], folder.path);
  return 0;
}
