// SPDX-License-Identifier: Apache-2.0
// fastvlm.h for C++17 and later: handles that free themselves, exceptions, std::string and
// std::function. Header only; what is said there about threads and cancelling holds here.
//
//   const fastvlm::Model model("models/demo");
//   fastvlm::Session session(model);
//   std::cout << session.describe_file("cat.jpg").text() << '\n';
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fastvlm/fastvlm.h"

namespace fastvlm {
inline namespace v0 {

// what() says what is wrong, hint() what to do next (it may be empty).
class Error : public std::runtime_error {
 public:
  Error(fastvlm_status status, const std::string& message, std::string hint)
      : std::runtime_error(message), status_(status), hint_(std::move(hint)) {}

  fastvlm_status status() const { return status_; }
  const std::string& hint() const { return hint_; }

 private:
  fastvlm_status status_;
  std::string hint_;
};

inline void check(fastvlm_status status) {
  if (status != FASTVLM_OK) throw Error(status, fastvlm_last_error(), fastvlm_last_hint());
}

struct ModelOptions {
  std::string vision_tower;     // empty: the model's own
  std::string adapter;          // empty: none
  double adapter_strength = 1;  // not 0
  std::string drafts;           // empty: the model's, if any; "none"
  int64_t memory_limit = 0;     // bytes; 0: none
  fastvlm_precision precision = FASTVLM_PRECISION_AUTO;
  int threads = 0;  // 0: one a core
};

class Model {
 public:
  explicit Model(const std::string& folder, const ModelOptions& options = {}) {
    const auto or_null = [](const std::string& text) {
      return text.empty() ? nullptr : text.c_str();
    };
    fastvlm_model_options given{};
    given.struct_size = sizeof(given);
    given.vision_tower = or_null(options.vision_tower);
    given.adapter = or_null(options.adapter);
    given.adapter_strength = options.adapter_strength;
    given.drafts = or_null(options.drafts);
    given.memory_limit = options.memory_limit;
    given.precision = options.precision;
    given.threads = options.threads;
    fastvlm_model* model = nullptr;
    check(fastvlm_model_load(folder.c_str(), &given, &model));
    handle_.reset(model);
  }

  std::string warnings() const { return fastvlm_model_warnings(get()); }
  const fastvlm_model* get() const { return handle_.get(); }

 private:
  struct Free {
    void operator()(fastvlm_model* model) const { fastvlm_model_free(model); }
  };
  std::unique_ptr<fastvlm_model, Free> handle_;
};

// Any thread may cancel; it stays cancelled until reset.
class CancelToken {
 public:
  CancelToken() {
    fastvlm_cancel_token* token = nullptr;
    check(fastvlm_cancel_token_new(&token));
    handle_.reset(token);
  }

  void cancel() { fastvlm_cancel(handle_.get()); }
  void reset() { fastvlm_cancel_token_reset(handle_.get()); }
  const fastvlm_cancel_token* get() const { return handle_.get(); }

 private:
  struct Free {
    void operator()(fastvlm_cancel_token* token) const { fastvlm_cancel_token_free(token); }
  };
  std::unique_ptr<fastvlm_cancel_token, Free> handle_;
};

// Callbacks return true to go on; false, and what they throw, ends the description. What they throw
// comes out of describe_*().
struct Request {
  std::string prompt;      // empty: the seven points
  std::string tags;        // "person (left), dog"
  std::string image_name;  // empty: the file's, or "picture"
  int64_t max_tokens = 256;
  double temperature = 0;  // 0: always the likeliest token
  double top_p = 1;
  int top_k = 0;  // 0: all
  uint64_t seed = 0;
  bool free = false;  // the model writes as it likes, headers too
  std::function<bool(std::string_view piece)> on_text;
  std::function<bool(fastvlm_stage stage, int64_t tokens)> on_progress;
  const CancelToken* cancel = nullptr;
};

struct Section {
  std::string key;                  // "main_focus"
  std::string title;                // "Main Focus"
  std::optional<std::string> text;  // none: a free answer without it
};

class Result {
 public:
  explicit Result(fastvlm_result* result) : handle_(result) {}

  std::string text() const { return fastvlm_result_text(get()); }
  std::string finish_reason() const { return fastvlm_result_finish_reason(get()); }

  std::vector<Section> sections() const {
    std::vector<Section> all;
    for (size_t i = 0; i < fastvlm_result_section_count(get()); ++i) {
      all.push_back({fastvlm_result_section_key(get(), i), fastvlm_result_section_title(get(), i),
                     optional_text(fastvlm_result_section_text(get(), i))});
    }
    return all;
  }
  std::optional<std::string> section(const std::string& key) const {
    return optional_text(fastvlm_result_section(get(), key.c_str()));
  }

  fastvlm_timings timings() const {
    fastvlm_timings timings{};
    timings.struct_size = sizeof(timings);
    check(fastvlm_result_timings(get(), &timings));
    return timings;
  }

  // `flags`: FASTVLM_JSON_* added up.
  std::string json(uint32_t flags = 0) const {
    char* text = nullptr;
    check(fastvlm_result_json(get(), flags, &text));
    const std::unique_ptr<char, decltype(&fastvlm_string_free)> owned(text, &fastvlm_string_free);
    return owned.get();
  }

  const fastvlm_result* get() const { return handle_.get(); }

 private:
  static std::optional<std::string> optional_text(const char* text) {
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
  }

  struct Free {
    void operator()(fastvlm_result* result) const { fastvlm_result_free(result); }
  };
  std::unique_ptr<fastvlm_result, Free> handle_;
};

// One timeline: one call at a time.
class Session {
 public:
  explicit Session(const Model& model) {
    fastvlm_session* session = nullptr;
    check(fastvlm_session_new(model.get(), &session));
    handle_.reset(session);
  }

  Result describe_file(const std::string& path, const Request& request = {}) {
    return describe(request, [&](const fastvlm_request* given, fastvlm_result** result) {
      return fastvlm_describe_file(handle_.get(), path.c_str(), given, result);
    });
  }
  Result describe_bytes(const void* bytes, size_t size, const Request& request = {}) {
    return describe(request, [&](const fastvlm_request* given, fastvlm_result** result) {
      return fastvlm_describe_bytes(handle_.get(), bytes, size, given, result);
    });
  }
  // Upright pixels, red, green and blue a byte each; `stride` bytes a row, 0: no gap.
  Result describe_rgb(const uint8_t* pixels, int width, int height, size_t stride = 0,
                      const Request& request = {}) {
    return describe(request, [&](const fastvlm_request* given, fastvlm_result** result) {
      return fastvlm_describe_rgb(handle_.get(), pixels, width, height, stride, given, result);
    });
  }

 private:
  // No exception may cross the library: it waits here until the call is back.
  struct Calls {
    const Request& request;
    std::exception_ptr thrown;

    template <typename Call>
    int run(const Call& call) noexcept {
      try {
        return call() ? 0 : 1;
      } catch (...) {
        thrown = std::current_exception();
        return 1;
      }
    }
  };

  static int on_text(const char* piece, size_t length, void* user_data) {
    auto& calls = *static_cast<Calls*>(user_data);
    return calls.run([&] { return calls.request.on_text(std::string_view(piece, length)); });
  }
  static int on_progress(fastvlm_stage stage, int64_t tokens, void* user_data) {
    auto& calls = *static_cast<Calls*>(user_data);
    return calls.run([&] { return calls.request.on_progress(stage, tokens); });
  }

  template <typename Describe>
  static Result describe(const Request& request, const Describe& call) {
    Calls calls{request, nullptr};
    fastvlm_request given{};
    given.struct_size = sizeof(given);
    given.prompt = request.prompt.empty() ? nullptr : request.prompt.c_str();
    given.tags = request.tags.c_str();
    given.image_name = request.image_name.empty() ? nullptr : request.image_name.c_str();
    given.max_tokens = request.max_tokens;
    given.temperature = request.temperature;
    given.top_p = request.top_p;
    given.top_k = request.top_k;
    given.free = request.free ? 1 : 0;
    given.seed = request.seed;
    given.on_text = request.on_text ? &on_text : nullptr;
    given.on_progress = request.on_progress ? &on_progress : nullptr;
    given.user_data = &calls;
    given.cancel = request.cancel == nullptr ? nullptr : request.cancel->get();
    fastvlm_result* result = nullptr;
    const fastvlm_status status = call(&given, &result);
    if (calls.thrown) std::rethrow_exception(calls.thrown);
    check(status);
    return Result(result);
  }

  struct Free {
    void operator()(fastvlm_session* session) const { fastvlm_session_free(session); }
  };
  std::unique_ptr<fastvlm_session, Free> handle_;
};

}  // namespace v0
}  // namespace fastvlm
