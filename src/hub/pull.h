// SPDX-License-Identifier: Apache-2.0
// `fastvlm pull`: a model from a hub repository or an address into the models folder. Goals: a pull
// that was cut off goes on where it stopped; every file is checked against the digest that its
// source publishes, or its digest is recorded (never invented); the licence is known before
// anything large is fetched.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "hub/cache.h"
#include "hub/catalog.h"
#include "hub/download.h"
#include "hub/http.h"

namespace fastvlm {

struct PullOptions {
  std::string hub{kDefaultHub};  // base address of a hub-shaped server, without a slash at the end
  std::string token;             // access token for gated repositories; sent to the hub only
  std::filesystem::path models;  // where models live
  std::string name;              // the folder's name, when not the source's own
};

// What is about to be fetched, before it is.
struct PullPlan {
  ModelSource source;
  std::string revision;
  std::string license;  // the catalogue's line and what the source says
  uint64_t bytes = 0;   // 0 when the source does not say
  size_t files = 0;
};

// Asked once, when the plan is known; returning an error stops the pull.
using OnPlan = std::function<Status(const PullPlan&)>;

Result<PulledModel> pull(const HttpClient& client, const ModelSource& source,
                         const PullOptions& options, const OnPlan& on_plan,
                         const OnProgress& on_progress);

}  // namespace fastvlm
