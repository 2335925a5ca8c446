// SPDX-License-Identifier: Apache-2.0
// Opening a checkpoint: which files, which layout, which tensor under which canonical name.
#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"
#include "formats/checkpoint_state.h"
#include "formats/tensor_names.h"
#include "formats/weight_files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

using Opened = std::shared_ptr<const SafetensorsFile>;

Result<Opened> open_file(const fs::path& path) {
  FASTVLM_ASSIGN(SafetensorsFile file, SafetensorsFile::open(path));
  return std::make_shared<const SafetensorsFile>(std::move(file));
}

Status insert(Checkpoint::State& state, const std::string& canonical, const Opened& file,
              const std::string& stored_name, const TensorView& view) {
  StoredTensor tensor{.file = file, .stored_name = stored_name, .view = view, .shape = view.shape};
  const auto [found, fresh] = state.tensors.try_emplace(canonical, std::move(tensor));
  if (fresh) return {};
  return error(Code::kInvalid,
               cat(file->path().string(), ": tensor `", stored_name, "` and tensor `",
                   found->second.stored_name, "` of ", found->second.file->path().string(),
                   " are both `", canonical, "`"),
               "remove one of the two; the folder seems to hold two checkpoints");
}

// What the names of all files say about the layout, and what they leave over.
struct Survey {
  std::set<Origin> origins;
  std::vector<std::string> unknown;

  Layout layout() const {
    if (origins.contains(Origin::kHuggingFace)) return Layout::kHuggingFace;
    if (origins.contains(Origin::kMlxVlm)) return Layout::kMlxVlm;
    const bool patch = origins.contains(Origin::kMlx) || origins.contains(Origin::kMlxPatch);
    return patch ? Layout::kMlxPatch : Layout::kLlava;
  }
};

Status add_file(Checkpoint::State& state, const Opened& file, bool with_tower, Survey& survey) {
  for (const auto& [stored_name, view] : file->tensors()) {
    if (is_bookkeeping(stored_name)) continue;
    const auto name = canonical_name(stored_name);
    if (!name) {
      survey.unknown.push_back(stored_name);
      continue;
    }
    survey.origins.insert(name->origin);
    if (!with_tower && name->name.starts_with("vision.")) continue;
    FASTVLM_RETURN_IF_ERROR(insert(state, name->name, file, stored_name, view));
  }
  return {};
}

// Every tensor of the index must have arrived with its shard.
Status check_index(const fs::path& folder, const std::vector<Opened>& files) {
  FASTVLM_ASSIGN(const std::vector<IndexedTensor> index, read_weight_index(folder));
  std::map<std::string, const SafetensorsFile*> by_name;
  for (const Opened& file : files) by_name[file->path().filename().string()] = file.get();
  for (const IndexedTensor& tensor : index) {
    const auto file = by_name.find(tensor.file);
    if (file == by_name.end() || file->second->find(tensor.name) == nullptr) {
      return error(Code::kInvalid,
                   cat((folder / tensor.file).string(), ": tensor `", tensor.name,
                       "` is missing; model.safetensors.index.json says it is there"),
                   "download or copy that file again");
    }
  }
  return {};
}

bool has_tower(const Checkpoint::State& state) {
  const auto first = state.tensors.lower_bound("vision.");
  return first != state.tensors.end() && first->first.starts_with("vision.");
}

// The file of a tower that was named by file or folder.
Result<fs::path> tower_path(const fs::path& given) {
  std::error_code ignored;
  if (!fs::is_directory(given, ignored)) {
    for (const char* extension : {".pt", ".pth", ".bin", ".ckpt"}) {
      if (given.extension() != extension) continue;
      return error(Code::kUnsupported,
                   cat(given.string(), ": weights in this container are not read; expected ",
                       "*.safetensors"),
                   "convert the tower to safetensors");
    }
    return given;
  }
  if (file_exists(given / kTowerFileName)) return given / kTowerFileName;
  FASTVLM_ASSIGN(const std::vector<fs::path> files, find_weight_files(given));
  if (files.size() == 1) return files.front();
  return error(Code::kInvalid,
               cat(given.string(), ": expected one file with a tower, found ", files.size()),
               "name the file itself");
}

Status add_tower_file(Checkpoint::State& state, const fs::path& path) {
  FASTVLM_ASSIGN(const Opened file, open_file(path));
  for (const auto& [stored_name, view] : file->tensors()) {
    if (is_bookkeeping(stored_name)) continue;
    const auto name = canonical_tower_name(stored_name);
    if (!name) continue;
    FASTVLM_RETURN_IF_ERROR(insert(state, name->name, file, stored_name, view));
  }
  if (!has_tower(state)) {
    return error(Code::kInvalid,
                 cat(path.string(),
                     ": holds no FastViT tower: expected tensors such as "
                     "network.0.0.convffn.fc1.weight, found ",
                     file->tensors().empty() ? "none" : file->tensors().begin()->first),
                 "name the file of a FastViTHD or MobileCLIP tower");
  }
  state.hashed_files.push_back(path);
  return {};
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

// The second layer of the stem tells PyTorch's [C, 1, 3, 3] from MLX's [C, 3, 3, 1].
bool tower_is_channels_last(const Checkpoint::State& state) {
  for (auto at = state.tensors.lower_bound("vision.patch_embed.1.");
       at != state.tensors.end() && at->first.starts_with("vision.patch_embed.1."); ++at) {
    const std::vector<int64_t>& shape = at->second.shape;
    if (shape.size() == 4 && shape[1] == 3 && shape[3] == 1) return true;
  }
  return false;
}

// Tower shapes in PyTorch's order, layer scales as [C, 1, 1].
void order_tower(Checkpoint::State& state) {
  const bool channels_last = tower_is_channels_last(state);
  for (auto at = state.tensors.lower_bound("vision.");
       at != state.tensors.end() && at->first.starts_with("vision."); ++at) {
    StoredTensor& tensor = at->second;
    std::vector<int64_t>& shape = tensor.shape;
    if (channels_last && shape.size() == 4) {
      tensor.channels_last = true;
      shape = {shape[0], shape[3], shape[1], shape[2]};
    }
    if (ends_with_any(at->first, {".layer_scale", ".layer_scale_1", ".layer_scale_2"}) &&
        std::count(shape.begin(), shape.end(), 1) + 1 >= static_cast<int64_t>(shape.size())) {
      shape = {tensor.view.elements(), 1, 1};
    }
  }
}

Status check_unknown(Checkpoint::State& state, const Survey& survey) {
  if (survey.unknown.empty()) return {};
  const std::string& first = survey.unknown.front();
  state.warnings.push_back(cat(state.folder.string(), ": ", survey.unknown.size(),
                               " tensors are no part of FastVLM and are ignored; the first is ",
                               first));
  return {};
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const fs::path& folder, const CheckpointOptions& options) {
  auto state = std::make_shared<State>();
  state->folder = folder;
  FASTVLM_ASSIGN(state->hashed_files, find_weight_files(folder));
  FASTVLM_ASSIGN(state->config, read_config(folder));

  std::vector<Opened> files;
  Survey survey;
  for (const fs::path& path : state->hashed_files) {
    FASTVLM_ASSIGN(files.emplace_back(), open_file(path));
    FASTVLM_RETURN_IF_ERROR(
        add_file(*state, files.back(), !options.vision_tower.has_value(), survey));
  }
  if (!file_exists(folder / "model.safetensors")) {
    FASTVLM_RETURN_IF_ERROR(check_index(folder, files));
  }
  state->layout = survey.layout();
  FASTVLM_RETURN_IF_ERROR(check_unknown(*state, survey));

  if (options.vision_tower) {
    FASTVLM_ASSIGN(const fs::path path, tower_path(*options.vision_tower));
    FASTVLM_RETURN_IF_ERROR(add_tower_file(*state, path));
  } else if (!has_tower(*state) && file_exists(folder / kTowerFileName)) {
    FASTVLM_RETURN_IF_ERROR(add_tower_file(*state, folder / kTowerFileName));
  }
  state->hashed_files.push_back(folder / "config.json");

  FASTVLM_RETURN_IF_ERROR(resolve_quantized(*state));
  order_tower(*state);
  FASTVLM_RETURN_IF_ERROR(check_consistency(*state));
  return Checkpoint(std::move(state));
}

}  // namespace fastvlm
