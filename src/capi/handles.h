// SPDX-License-Identifier: Apache-2.0
// What is behind the opaque handles of fastvlm.h.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "caption/engine.h"
#include "language/compute.h"

namespace fastvlm::capi {

// Weights and the threads that work on them, kept by all who need them.
struct LoadedModel {
  explicit LoadedModel(int threads) : pool(threads), shared(pool) {}

  ThreadPool pool;
  SharedPool shared;
  std::shared_ptr<const Engine> engine;
  std::string warnings;
};

}  // namespace fastvlm::capi

struct fastvlm_model {
  std::shared_ptr<fastvlm::capi::LoadedModel> loaded;
};

struct fastvlm_session {
  explicit fastvlm_session(std::shared_ptr<fastvlm::capi::LoadedModel> model)
      : loaded(std::move(model)), session(loaded->engine, loaded->shared) {}

  std::shared_ptr<fastvlm::capi::LoadedModel> loaded;
  fastvlm::Session session;
  std::atomic<bool> busy{false};
};

struct fastvlm_cancel_token {
  std::atomic<bool> cancelled{false};
};

struct fastvlm_result {
  fastvlm::Caption caption;
  std::string image_name;
  std::shared_ptr<fastvlm::capi::LoadedModel> loaded;  // for its identity
};
