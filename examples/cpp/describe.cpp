// SPDX-License-Identifier: Apache-2.0
// Describes a picture, printing each section as it comes: describe MODEL PICTURE
//
//   c++ -std=c++17 describe.cpp -o describe $(pkg-config --cflags --libs fastvlm)
#include <fastvlm/fastvlm.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " MODEL PICTURE\n";
    return 1;
  }
  try {
    const fastvlm::Model model(argv[1]);
    fastvlm::Session session(model);
    fastvlm::Request request;
    request.on_text = [](std::string_view piece) {
      std::cout << piece << std::flush;
      return true;
    };
    const fastvlm::Result result = session.describe_file(argv[2], request);
    std::cout << '\n';
    for (const fastvlm::Section& section : result.sections()) {
      std::cerr << section.key << ": " << section.text.value_or("(none)") << '\n';
    }
  } catch (const fastvlm::Error& problem) {
    std::cerr << "describe: " << problem.what() << "\nhint: " << problem.hint() << '\n';
    return 2;
  }
  return 0;
}
