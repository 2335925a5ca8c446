// SPDX-License-Identifier: Apache-2.0
// The boundary of the C API: nothing is thrown over it, and structs of callers are read by the size
// that they had when the caller was compiled.
#pragma once

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <type_traits>

#include "base/result.h"
#include "capi/last_error.h"

namespace fastvlm::capi {

// What fn(), which returns a Status, comes to.
template <typename Function>
fastvlm_status guarded(const Function& fn) noexcept {
  try {
    const Status status = fn();
    return status.ok() ? FASTVLM_OK : remember(status);
  } catch (const std::bad_alloc&) {
    return remember(
        error(Code::kLimit, "out of memory", "close other programs or use a smaller model"));
  } catch (const std::exception& problem) {
    return remember(FASTVLM_INTERNAL, problem.what(), "this is a bug of fastvlm; please report it");
  } catch (...) {
    return remember(FASTVLM_INTERNAL, "an unknown exception",
                    "this is a bug of fastvlm; please report it");
  }
}

inline Status no_null(const void* pointer, const char* name) {
  if (pointer != nullptr) return {};
  return error(Code::kUsage, cat(name, ": expected a pointer, found null"), "");
}

// No struct of ours comes near it: what says so was not initialised.
inline constexpr size_t kLargestStruct = 4096;

inline Status check_struct_size(size_t size, const char* name) {
  if (size >= sizeof(size_t) && size <= kLargestStruct) return {};
  return error(Code::kUsage, cat(name, ".struct_size: expected the struct's sizeof, found ", size),
               "set it, and all that is not wanted to zero");
}

// A caller's struct with the fields of ours: those that it lacks are zero, those that we lack must
// be. Null: all are zero.
template <typename Struct>
Result<Struct> fields_of(const Struct* given, const char* name) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  Struct known{};
  if (given == nullptr) return known;
  const size_t size = given->struct_size;
  FASTVLM_RETURN_IF_ERROR(check_struct_size(size, name));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  const size_t shared = std::min(size, sizeof(Struct));
  if (std::any_of(bytes + shared, bytes + size, [](unsigned char byte) { return byte != 0; })) {
    return error(Code::kUnsupported,
                 cat(name, ": has fields that fastvlm ", fastvlm_version(), " does not know"),
                 "leave them zero, or use the library that the program was compiled for");
  }
  std::memcpy(&known, given, shared);
  return known;
}

}  // namespace fastvlm::capi
