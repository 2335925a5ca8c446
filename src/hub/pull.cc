// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hub/archive.h"
#include "hub/tower.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kTowerFile = "vision_tower.safetensors";

struct RemoteFile {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256;  // empty when the hub publishes none (small files)
};

struct Repository {
  std::string name;
  std::string revision;
  std::string license;
  std::vector<RemoteFile> files;
};

std::string text_at(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

HttpRequest hub_request(const PullOptions& options, const std::string& path) {
  HttpRequest request;
  request.url = options.hub + path;
  request.bearer_token = options.token;
  return request;
}

Result<json> get_json(const HttpClient& client, const HttpRequest& request) {
  FASTVLM_ASSIGN(const std::string text, client.get_text(request));
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    return error(Code::kInvalid, cat(request.url, ": expected JSON, found something else"),
                 "check that the hub's address is right");
  }
  return value;
}

// A path from the hub as a file below the model's folder: relative, without "..", with plain parts.
bool is_safe_path(const std::string& path) {
  const std::vector<std::string> parts = split(path, '/');
  return std::none_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part.empty() || part == "." || part == ".." || part.find('\\') != std::string::npos ||
           part.find('\0') != std::string::npos;
  });
}

// The repository's commit, licence and files (not what is in its folders: a checkpoint lies at the
// top).
Result<Repository> read_repository(const HttpClient& client, const PullOptions& options,
                                   const std::string& name) {
  Repository repository;
  repository.name = name;
  const std::string api = cat("/api/models/", name);
  FASTVLM_ASSIGN(const json info, get_json(client, hub_request(options, api + "/revision/main")));
  repository.revision = text_at(info, "sha");
  const bool plain = !repository.revision.empty() &&
                     std::all_of(repository.revision.begin(), repository.revision.end(),
                                 [](unsigned char c) { return std::isalnum(c) != 0; });
  if (!plain) {
    return error(Code::kInvalid,
                 cat(options.hub, api, ": expected a commit under `sha`, found none"),
                 "check that the hub's address is right");
  }
  const json card = info.is_object() ? info.value("cardData", json::object()) : json::object();
  repository.license = text_at(card, "license_name").empty() ? text_at(card, "license")
                                                             : text_at(card, "license_name");
  FASTVLM_ASSIGN(const json tree,
                 get_json(client, hub_request(options, cat(api, "/tree/", repository.revision))));
  if (!tree.is_array()) {
    return error(Code::kInvalid, cat(options.hub, api, "/tree: expected a list of files"),
                 "check the hub's address");
  }
  for (const json& entry : tree) {
    RemoteFile file;
    file.path = text_at(entry, "path");
    if (text_at(entry, "type") != "file" || !is_safe_path(file.path)) continue;
    if (entry.contains("size") && entry["size"].is_number_unsigned())
      file.bytes = entry["size"].get<uint64_t>();
    if (entry.contains("lfs")) file.sha256 = text_at(entry["lfs"], "oid");
    repository.files.push_back(std::move(file));
  }
  return repository;
}

HttpRequest file_request(const PullOptions& options, const Repository& repository,
                         const std::string& path) {
  return hub_request(options, cat("/", repository.name, "/resolve/", repository.revision, "/",
                                  url_path_escaped(path)));
}

bool is_weights(const RemoteFile& file) {
  return file.path.ends_with(".safetensors");
}

// The tower of another repository, next to the model.
Status pull_tower(const HttpClient& client, const PullOptions& options, const std::string& from,
                  PulledModel& model, const OnProgress& on_progress) {
  FASTVLM_ASSIGN(const Repository repository, read_repository(client, options, from));
  std::vector<HttpRequest> shards;
  for (const RemoteFile& file : repository.files) {
    if (is_weights(file)) shards.push_back(file_request(options, repository, file.path));
  }
  FASTVLM_ASSIGN(PulledFile tower,
                 fetch_tower(client, shards, model.folder / kTowerFile, on_progress));
  model.files.push_back(std::move(tower));
  model.source += cat(" with the tower of ", from, "@", repository.revision);
  return {};
}

Status pull_repository(const HttpClient& client, const ModelSource& source,
                       const PullOptions& options, const OnPlan& on_plan,
                       const OnProgress& on_progress, PulledModel& model) {
  FASTVLM_ASSIGN(Repository repository, read_repository(client, options, source.repository));
  std::erase_if(repository.files, [](const RemoteFile& file) { return !is_model_file(file.path); });
  if (std::none_of(repository.files.begin(), repository.files.end(), is_weights)) {
    return error(Code::kNotFound, cat(source.repository, ": holds no *.safetensors weights"),
                 "only safetensors checkpoints are read; look for another repository of the model");
  }
  PullPlan plan{source, repository.revision, source.license, 0, repository.files.size()};
  if (!repository.license.empty()) {
    plan.license += cat(plan.license.empty() ? "" : "; ", "the source says: ", repository.license);
  }
  if (plan.license.empty())
    plan.license = "the source names none: ask its author before you use it";
  for (const RemoteFile& file : repository.files) plan.bytes += file.bytes;
  FASTVLM_RETURN_IF_ERROR(on_plan(plan));
  FASTVLM_RETURN_IF_ERROR(check_space(options.models, plan.bytes));
  model.source = source.repository;
  model.revision = repository.revision;
  model.license = plan.license;
  for (const RemoteFile& file : repository.files) {
    const Download what{file_request(options, repository, file.path), model.folder / file.path,
                        file.bytes, file.sha256};
    FASTVLM_ASSIGN(DownloadedFile done, download(client, what, on_progress));
    model.files.push_back({file.path, done.bytes, std::move(done.sha256), done.verified});
  }
  if (source.tower_from.empty()) return {};
  return pull_tower(client, options, source.tower_from, model, on_progress);
}

Status pull_file(const HttpClient& client, const ModelSource& source, const OnPlan& on_plan,
                 const OnProgress& on_progress, PulledModel& model) {
  PullPlan plan{source, "", source.license, 0, 1};
  if (plan.license.empty()) plan.license = "unknown: the address says nothing about it";
  FASTVLM_RETURN_IF_ERROR(on_plan(plan));
  model.source = source.url;
  model.license = plan.license;
  const std::string path = source.url.substr(0, source.url.find_first_of("?#"));
  const std::string name = path.substr(path.rfind('/') + 1);
  HttpRequest request;
  request.url = source.url;
  FASTVLM_ASSIGN(DownloadedFile done,
                 download(client, {request, model.folder / name, {}, ""}, on_progress));
  if (!name.ends_with(".zip")) {
    model.files.push_back({name, done.bytes, std::move(done.sha256), false});
    return {};
  }
  FASTVLM_ASSIGN(model.files, unpack_model(model.folder / name, model.folder, on_progress));
  std::error_code ignored;
  std::filesystem::remove(model.folder / name, ignored);
  return {};
}

}  // namespace

Result<PulledModel> pull(const HttpClient& client, const ModelSource& source,
                         const PullOptions& options, const OnPlan& on_plan,
                         const OnProgress& on_progress) {
  PulledModel model;
  model.name = options.name.empty() ? source.name : options.name;
  model.folder = options.models / model.name;
  std::error_code failure;
  std::filesystem::create_directories(options.models, failure);
  if (failure) {
    return error(Code::kIo, cat(options.models.string(), ": cannot be made: ", failure.message()),
                 "set XDG_CACHE_HOME to a folder that you may write to");
  }
  if (auto present = read_record(model.folder); present.ok() && present->complete) {
    if (present->source.starts_with(source.repository.empty() ? source.url : source.repository))
      return present;
  }
  FASTVLM_RETURN_IF_ERROR(
      source.repository.empty()
          ? pull_file(client, source, on_plan, on_progress, model)
          : pull_repository(client, source, options, on_plan, on_progress, model));
  FASTVLM_RETURN_IF_ERROR(write_record(model));
  model.complete = true;
  return model;
}

}  // namespace fastvlm
