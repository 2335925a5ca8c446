// SPDX-License-Identifier: Apache-2.0
#include "capi/last_error.h"

#include <exception>

namespace fastvlm::capi {
namespace {

struct LastError {
  std::string message;
  std::string hint;
};

thread_local LastError last;

fastvlm_status code_of(Code code) {
  switch (code) {
    case Code::kOk:
      return FASTVLM_OK;
    case Code::kUsage:
      return FASTVLM_USAGE;
    case Code::kNotFound:
      return FASTVLM_NOT_FOUND;
    case Code::kInvalid:
      return FASTVLM_INVALID;
    case Code::kUnsupported:
      return FASTVLM_UNSUPPORTED;
    case Code::kIo:
      return FASTVLM_IO;
    case Code::kLimit:
      return FASTVLM_LIMIT;
    case Code::kInterrupted:
      return FASTVLM_INTERRUPTED;
  }
  return FASTVLM_INTERNAL;
}

}  // namespace

fastvlm_status remember(fastvlm_status code, const std::string& message,
                        const std::string& hint) noexcept {
  try {
    last.message = message;
    last.hint = hint;
  } catch (const std::exception&) {
    last.message.clear();
    last.hint.clear();
  }
  return code;
}

fastvlm_status remember(const Status& status) noexcept {
  return remember(code_of(status.code), status.message, status.hint);
}

}  // namespace fastvlm::capi

extern "C" {

const char* fastvlm_last_error(void) {
  return fastvlm::capi::last.message.c_str();
}
const char* fastvlm_last_hint(void) {
  return fastvlm::capi::last.hint.c_str();
}

const char* fastvlm_status_name(fastvlm_status status) {
  switch (status) {
    case FASTVLM_OK:
      return "ok";
    case FASTVLM_USAGE:
      return "usage";
    case FASTVLM_NOT_FOUND:
      return "not-found";
    case FASTVLM_INVALID:
      return "invalid";
    case FASTVLM_UNSUPPORTED:
      return "unsupported";
    case FASTVLM_IO:
      return "io";
    case FASTVLM_LIMIT:
      return "limit";
    case FASTVLM_INTERRUPTED:
      return "interrupted";
    case FASTVLM_INTERNAL:
      return "internal";
  }
  return "unknown";
}

}  // extern "C"
