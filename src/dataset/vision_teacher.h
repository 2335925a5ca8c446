// SPDX-License-Identifier: Apache-2.0
// A teacher behind an OpenAI-compatible endpoint (POST …/chat/completions) that sees pictures.
// Goals: passing trouble (429, 5xx, a broken connection) is waited out, an answer that lacks a
// section is asked for again a few times, and trouble that stays ends the run and not each picture.
// Non-goals: streaming, other protocols.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/http.h"

namespace fastvlm {

struct TeacherOptions {
  std::string url;    // https://host/v1, or the whole address that ends in /chat/completions
  std::string model;  // its name there
  std::string key;    // sent as a bearer token; empty: none
  bool seven_sections = true;  // what an answer must have
  int asks = 3;                // for one answer, until it has them
  int tries = 6;               // of one request, while the trouble is passing
  double first_wait = 1;       // seconds after the first try; doubles up to longest_wait
  double longest_wait = 60;    // a server's Retry-After, in seconds, is obeyed up to ten minutes
  double per_minute = 0;       // most requests; 0: no limit
  int64_t max_tokens = 1024;   // of an answer
  double temperature = 0.2;
  std::function<bool()> stop = [] { return false; };  // asked before requests and while it waits
};

struct TeacherUsage {
  int64_t prompt_tokens = 0;  // as the server counts them
  int64_t answer_tokens = 0;
  int64_t requests = 0;
  int64_t repeated = 0;     // tries after passing trouble
  int64_t asked_again = 0;  // answers that lacked something

  TeacherUsage& operator+=(const TeacherUsage& other);
};

// "https://host/v1" -> "https://host/v1/chat/completions"; what has an ending stays.
std::string completions_url(std::string url);

class VisionTeacher {
 public:
  explicit VisionTeacher(TeacherOptions options);

  // Seven sections in their usual form, or what was answered. `image` is a file's bytes (JPEG, PNG,
  // WebP or GIF); `name` stands in messages; what it took is added to `usage`, also when it fails.
  // Any number of threads may ask. kInvalid: this question has no usable answer. Other codes mean
  // that no question has: kUsage (the key or the model is refused), kIo (it does not answer),
  // kInterrupted.
  Result<std::string> ask(const std::string& question, std::span<const std::byte> image,
                          const std::string& name, TeacherUsage& usage);

  // What an answer depends on besides the picture and the question.
  std::string description() const;

 private:
  Result<std::string> request(const std::string& body, TeacherUsage& usage);
  Status wait(double seconds) const;
  Status wait_for_turn();

  TeacherOptions options_;
  HttpClient client_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_turn_{};
};

}  // namespace fastvlm
