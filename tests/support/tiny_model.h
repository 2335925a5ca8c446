// SPDX-License-Identifier: Apache-2.0
// A whole checkpoint folder for tests: the tiny random models of tests/goldens/vlm with a tokenizer
// made by hand. What they say is noise, but they run every part of the program.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "support/files.h"
#include "support/small_tokenizer.h"

namespace fastvlm::test {

// Fills `folder`, which it makes, with the model `name` ("hd_tied", "s0_untied") and a tokenizer.
inline void make_tiny_model(const std::filesystem::path& folder, const std::string& name) {
  std::filesystem::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(golden("vlm/" + name) / file, folder / file);
  }
  std::ofstream(folder / "tokenizer.json") << small_tokenizer().dump();
}

// The same as an MLX 4-bit export: language model and projector, without a tower.
inline void make_tiny_export(const std::filesystem::path& folder, const std::string& name) {
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(golden("vlm/" + name) / "mlx_config.json", folder / "config.json");
  std::filesystem::copy_file(golden("vlm/" + name) / "mlx_4bit.safetensors",
                             folder / "model.safetensors");
  std::ofstream(folder / "tokenizer.json") << small_tokenizer().dump();
}

// Replaces the first `from` in a file of `folder` by `to`.
inline void edit_file(const std::filesystem::path& path, const std::string& from,
                      const std::string& to) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  in.close();
  text.replace(text.find(from), from.size(), to);
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace fastvlm::test
