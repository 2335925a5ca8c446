// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hub/archive.h"
#include "hub/tower.h"
#include "hub/weights.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kTowerFile = "vision_tower.safetensors";

struct RemoteFile {
  std::string path;
  std::optional<uint64_t> bytes;  // empty when the hub states none that a file can have
  std::string sha256;             // empty when the hub publishes none (small files)
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

FetchRequest hub_request(const PullOptions& options, const std::string& path) {
  FetchRequest request;
  request.url = options.hub + path;
  request.bearer_token = options.token;
  return request;
}

Result<json> get_json(const HttpClient& client, const FetchRequest& request) {
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
           printable(part) != part;
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
    const auto size = entry.find("size");
    if (size != entry.end() && size->is_number_unsigned() && size->get<uint64_t>() <= INT64_MAX)
      file.bytes = size->get<uint64_t>();
    if (entry.contains("lfs")) file.sha256 = text_at(entry["lfs"], "oid");
    repository.files.push_back(std::move(file));
  }
  return repository;
}

FetchRequest file_request(const PullOptions& options, const Repository& repository,
                          const std::string& path) {
  return hub_request(options, cat("/", repository.name, "/resolve/", repository.revision, "/",
                                  url_path_escaped(path)));
}

bool is_weights(const RemoteFile& file) {
  return file.path.ends_with(".safetensors");
}

// The bytes of all files together. A file whose size is not known could not be told from a part.
Result<uint64_t> total_bytes(const Repository& repository) {
  uint64_t total = 0;
  for (const RemoteFile& file : repository.files) {
    if (!file.bytes) {
      return error(Code::kInvalid,
                   cat(repository.name, ": the hub states no usable `size` of ", file.path),
                   "check that the hub's address is right");
    }
    if (__builtin_add_overflow(total, *file.bytes, &total)) total = UINT64_MAX;
  }
  return total;
}

// The record's and the note's name of a source; what stands there of the tower's revision is found
// out only later.
std::string source_name(const ModelSource& source) {
  if (source.repository.empty()) return source.url;
  return source.tower_from.empty()
             ? source.repository
             : cat(source.repository, " with the tower of ", source.tower_from);
}

bool is_from(const std::string& recorded, const ModelSource& source) {
  const std::string name = source_name(source);
  return recorded == name || (!source.tower_from.empty() && recorded.starts_with(name + "@"));
}

// Two sources must not mix in one folder.
Status check_folder(const PulledModel& model, const ModelSource& source) {
  const auto record = read_record(model.folder);
  const std::string recorded = record.ok() ? record->source : unfinished_source(model.folder);
  if (recorded.empty() || is_from(recorded, source)) return {};
  return error(
      Code::kUsage,
      cat(model.folder.string(), ": holds files of ", recorded, ", not of ", source_name(source)),
      "keep this one under another name with --as NAME, or remove that folder");
}

// A file of the model that must prove to be what its name says.
Result<PulledFile> fetch(const HttpClient& client, const Download& what, const std::string& name,
                         const OnProgress& on_progress) {
  FASTVLM_ASSIGN(DownloadedFile done, download(client, what, on_progress));
  FASTVLM_RETURN_IF_ERROR(keep_weights(what.path, what.request.url));
  return PulledFile{name, done.bytes, std::move(done.sha256), done.verified};
}

// The tower of another repository, next to the model.
Status pull_tower(const HttpClient& client, const PullOptions& options, const std::string& from,
                  PulledModel& model, const OnProgress& on_progress) {
  FASTVLM_ASSIGN(const Repository repository, read_repository(client, options, from));
  std::vector<FetchRequest> shards;
  for (const RemoteFile& file : repository.files) {
    if (is_weights(file)) shards.push_back(file_request(options, repository, file.path));
  }
  FASTVLM_ASSIGN(PulledFile tower,
                 fetch_tower(client, shards, model.folder / kTowerFile, on_progress));
  FASTVLM_RETURN_IF_ERROR(keep_weights(model.folder / kTowerFile, cat("the tower of ", from)));
  model.files.push_back(std::move(tower));
  model.source += cat("@", repository.revision);
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
  FASTVLM_ASSIGN(plan.bytes, total_bytes(repository));
  FASTVLM_RETURN_IF_ERROR(on_plan(plan));
  FASTVLM_RETURN_IF_ERROR(check_space(options.models, plan.bytes));
  model.source = source_name(source);
  FASTVLM_RETURN_IF_ERROR(note_unfinished(model.folder, model.source));
  model.revision = repository.revision;
  model.license = plan.license;
  for (const RemoteFile& file : repository.files) {
    const Download what{file_request(options, repository, file.path), model.folder / file.path,
                        file.bytes, file.sha256};
    FASTVLM_ASSIGN(PulledFile done, fetch(client, what, file.path, on_progress));
    model.files.push_back(std::move(done));
  }
  if (source.tower_from.empty()) return {};
  return pull_tower(client, options, source.tower_from, model, on_progress);
}

Status pull_file(const HttpClient& client, const ModelSource& source, const OnPlan& on_plan,
                 const OnProgress& on_progress, PulledModel& model) {
  PullPlan plan{source, "", source.license, 0, 1};
  if (plan.license.empty()) plan.license = "unknown: the address says nothing about it";
  FASTVLM_RETURN_IF_ERROR(on_plan(plan));
  model.source = source_name(source);
  FASTVLM_RETURN_IF_ERROR(note_unfinished(model.folder, model.source));
  model.license = plan.license;
  const std::string path = source.url.substr(0, source.url.find_first_of("?#"));
  const std::string name = path.substr(path.rfind('/') + 1);
  FetchRequest request;
  request.url = source.url;
  const Download what{request, model.folder / name, {}, ""};
  FASTVLM_ASSIGN(PulledFile done, fetch(client, what, name, on_progress));
  if (!name.ends_with(".zip")) {
    model.files.push_back(std::move(done));
    return {};
  }
  auto files = unpack_model(what.path, model.folder, on_progress);
  std::error_code ignored;
  std::filesystem::remove(what.path, ignored);  // a damaged one is no use either
  FASTVLM_ASSIGN(model.files, std::move(files));
  return {};
}

}  // namespace

Result<PulledModel> pull(const HttpClient& client, const ModelSource& source,
                         const PullOptions& options, const OnPlan& on_plan,
                         const OnProgress& on_progress) {
  PulledModel model;
  model.name = options.name.empty() ? source.name : options.name;
  FASTVLM_RETURN_IF_ERROR(check_model_name(model.name));
  model.folder = options.models / model.name;
  std::error_code failure;
  std::filesystem::create_directories(options.models, failure);
  if (failure) {
    return error(Code::kIo, cat(options.models.string(), ": cannot be made: ", failure.message()),
                 "set XDG_CACHE_HOME to a folder that you may write to");
  }
  FASTVLM_RETURN_IF_ERROR(check_folder(model, source));
  if (auto present = read_record(model.folder); present.ok() && present->complete) return present;
  Status status = source.repository.empty()
                      ? pull_file(client, source, on_plan, on_progress, model)
                      : pull_repository(client, source, options, on_plan, on_progress, model);
  if (!status.ok()) {
    remove_if_empty(model.folder);
    return status;
  }
  FASTVLM_RETURN_IF_ERROR(write_record(model));
  model.complete = true;
  return model;
}

}  // namespace fastvlm
