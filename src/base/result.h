// SPDX-License-Identifier: Apache-2.0
// Errors as values. Goals: every failure says what is wrong (file, key, expected, found) and what
// to do next, and no exception crosses a room's boundary. Non-goal: a general-purpose `expected`;
// this is the little that we use.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/strings.h"

namespace fastvlm {

enum class Code {
  kOk,
  kUsage,        // the caller asked for something that makes no sense: exit code 1
  kNotFound,     // a file, tensor, key or name is missing
  kInvalid,      // data that is there is wrong: truncated, inconsistent, out of range
  kUnsupported,  // valid, but not something that this build or program handles
  kIo,           // the operating system refused a read or write
  kLimit,        // a size limit guards against what was asked
  kInterrupted,  // the user stopped the work
};

// The outcome of an operation. `message` is one line that names file, key, expected and found;
// `hint` is one line that says what to do next (may be empty).
struct [[nodiscard]] Status {
  Code code = Code::kOk;
  std::string message;
  std::string hint;

  bool ok() const { return code == Code::kOk; }
};

inline Status error(Code code, std::string message, std::string hint = "") {
  return Status{code, std::move(message), std::move(hint)};
}

// Either a value or the Status that says why there is none. `value()` on an error is a bug of the
// caller.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : state_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  const Status& status() const {
    static const Status kFine;
    return ok() ? kFine : std::get<Status>(state_);
  }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace fastvlm

#define FASTVLM_CONCAT_INNER(a, b) a##b
#define FASTVLM_CONCAT(a, b) FASTVLM_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` (a Status) is an error.
#define FASTVLM_RETURN_IF_ERROR(expr)                        \
  do {                                                       \
    if (::fastvlm::Status status_ = (expr); !status_.ok()) { \
      return status_;                                        \
    }                                                        \
  } while (false)

// FASTVLM_ASSIGN(auto file, open(path)): declares or assigns the value of a Result, or returns its
// Status.
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration cannot stand in parentheses.
#define FASTVLM_ASSIGN(target, expr) \
  FASTVLM_ASSIGN_INNER(target, expr, FASTVLM_CONCAT(result_, __LINE__))
#define FASTVLM_ASSIGN_INNER(target, expr, result) \
  auto result = (expr);                            \
  if (!result.ok()) return result.status();        \
  target = std::move(result).value()
// NOLINTEND(bugprone-macro-parentheses)
