// SPDX-License-Identifier: Apache-2.0
// fastvlm_model_*, fastvlm_session_new, fastvlm_cancel_token_*
#include <cmath>
#include <filesystem>

#include "base/strings.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "caption/caption_json.h"

namespace fastvlm::capi {
namespace {

constexpr int32_t kMostThreads = 1024;

Result<EngineOptions> engine_options(const char* folder, const fastvlm_model_options& given) {
  EngineOptions options;
  options.model = folder;
  options.vision = std::nullopt;
  switch (given.precision) {
    case FASTVLM_PRECISION_AUTO:
      break;
    case FASTVLM_PRECISION_FP32:
      options.vision = options.language = Arithmetic::kF32;
      break;
    case FASTVLM_PRECISION_BF16:
      options.vision = options.language = Arithmetic::kBf16;
      break;
    case FASTVLM_PRECISION_INT8:
      options.vision = options.language = Arithmetic::kInt8;
      break;
    default:
      return error(Code::kUsage, cat("options.precision: expected 0 to 3, found ", given.precision),
                   "use one of FASTVLM_PRECISION_*");
  }
  if (given.vision_tower != nullptr) options.vision_tower = given.vision_tower;
  if (given.adapter != nullptr) {
    const double strength = given.adapter_strength == 0 ? 1 : given.adapter_strength;
    if (!std::isfinite(strength)) {
      return error(Code::kUsage,
                   cat("options.adapter_strength: expected a number, found ", strength), "");
    }
    options.adapter = AdapterChoice{given.adapter, static_cast<float>(strength)};
  }
  const std::string drafts = given.drafts == nullptr ? "" : given.drafts;
  options.draft = drafts != "none";
  if (options.draft && !drafts.empty()) options.drafts = drafts;
  if (given.memory_limit < 0) {
    return error(Code::kUsage,
                 cat("options.memory_limit: expected bytes, found ", given.memory_limit),
                 "0 means no limit");
  }
  if (given.memory_limit > 0) options.memory_limit = given.memory_limit;
  return options;
}

Result<std::shared_ptr<LoadedModel>> start_threads(int32_t threads) {
  if (threads < 0 || threads > kMostThreads) {
    return error(Code::kUsage,
                 cat("options.threads: expected 0 to ", kMostThreads, ", found ", threads),
                 "0 means one a core");
  }
  auto loaded = std::make_shared<LoadedModel>(threads);
  if (loaded->pool.size() < threads) {
    return error(Code::kLimit,
                 cat("options.threads ", threads, ": the system grants only ", loaded->pool.size()),
                 "ask for fewer threads; more than there are processors do not help");
  }
  return loaded;
}

Result<std::shared_ptr<LoadedModel>> load(const char* folder, const fastvlm_model_options* given) {
  FASTVLM_RETURN_IF_ERROR(no_null(folder, "folder"));
  FASTVLM_ASSIGN(const fastvlm_model_options known, fields_of(given, "options"));
  FASTVLM_ASSIGN(const EngineOptions options, engine_options(folder, known));
  FASTVLM_ASSIGN(std::shared_ptr<LoadedModel> loaded, start_threads(known.threads));
  FASTVLM_ASSIGN(loaded->engine, Engine::load(options, loaded->pool));
  for (const std::string& line : loaded->engine->warnings()) {
    loaded->warnings += loaded->warnings.empty() ? line : "\n" + line;
  }
  return loaded;
}

}  // namespace
}  // namespace fastvlm::capi

using fastvlm::Status;
using fastvlm::capi::guarded;
using fastvlm::capi::no_null;

extern "C" {

const char* fastvlm_version(void) {
  return fastvlm::program_version().data();  // a literal
}

fastvlm_status fastvlm_model_load(const char* folder, const fastvlm_model_options* options,
                                  fastvlm_model** model) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(model, "model"));
    *model = nullptr;
    FASTVLM_ASSIGN(auto loaded, fastvlm::capi::load(folder, options));
    *model = new fastvlm_model{std::move(loaded)};
    return {};
  });
}

void fastvlm_model_free(fastvlm_model* model) {
  delete model;
}

const char* fastvlm_model_warnings(const fastvlm_model* model) {
  return model == nullptr ? "" : model->loaded->warnings.c_str();
}

fastvlm_status fastvlm_session_new(const fastvlm_model* model, fastvlm_session** session) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(session, "session"));
    *session = nullptr;
    FASTVLM_RETURN_IF_ERROR(no_null(model, "model"));
    *session = new fastvlm_session(model->loaded);
    return {};
  });
}

void fastvlm_session_free(fastvlm_session* session) {
  delete session;
}

fastvlm_status fastvlm_cancel_token_new(fastvlm_cancel_token** token) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(token, "token"));
    *token = nullptr;
    *token = new fastvlm_cancel_token;
    return {};
  });
}

void fastvlm_cancel_token_free(fastvlm_cancel_token* token) {
  delete token;
}

void fastvlm_cancel(fastvlm_cancel_token* token) {
  if (token != nullptr) token->cancelled.store(true);
}

void fastvlm_cancel_token_reset(fastvlm_cancel_token* token) {
  if (token != nullptr) token->cancelled.store(false);
}

}  // extern "C"
