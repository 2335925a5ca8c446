// SPDX-License-Identifier: Apache-2.0
// From a pickled module tree to named tensors.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "formats/hints.h"
#include "formats/python_names.h"
#include "formats/torch_archive.h"
#include "formats/torch_pickle.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr int kMostDepth = 64;            // modules within modules; Ultralytics' have 7
constexpr size_t kMostModules = 100'000;  // visits; a YOLO11x has some 800
constexpr size_t kMostVisits = 10'000'000;
constexpr size_t kMostTorchDimensions = 8;

enum class StorageType { kF32, kF16, kBF16, kInteger };

struct StorageFacts {
  std::string_view name;
  StorageType type;
  uint64_t size;  // bytes of an element
};
constexpr std::array<StorageFacts, 9> kStorages = {{
    {"torch.FloatStorage", StorageType::kF32, 4},
    {"torch.HalfStorage", StorageType::kF16, 2},
    {"torch.BFloat16Storage", StorageType::kBF16, 2},
    {"torch.LongStorage", StorageType::kInteger, 8},
    {"torch.IntStorage", StorageType::kInteger, 4},
    {"torch.ShortStorage", StorageType::kInteger, 2},
    {"torch.CharStorage", StorageType::kInteger, 1},
    {"torch.ByteStorage", StorageType::kInteger, 1},
    {"torch.BoolStorage", StorageType::kInteger, 1},
}};

// A tensor as _rebuild_tensor_v2 is told of it, checked against its storage.
struct Layout {
  StorageFacts storage;
  std::string key;
  int64_t numel = 0;  // elements of the storage
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  int64_t elements = 1;
};

float element(StorageType type, const std::byte* storage, int64_t index) {
  if (type == StorageType::kF32) return load_unaligned<float>(storage, index);
  const auto bits = load_unaligned<uint16_t>(storage, index);
  return type == StorageType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

std::vector<float> gather(const Layout& layout, std::span<const std::byte> storage) {
  std::vector<float> values(static_cast<size_t>(layout.elements));
  std::vector<int64_t> place(layout.shape.size());
  int64_t at = layout.offset;
  for (float& value : values) {
    value = element(layout.storage.type, storage.data(), at);
    for (size_t d = place.size(); d-- > 0;) {
      at += layout.strides[d];
      if (++place[d] < layout.shape[d]) break;
      at -= layout.strides[d] * layout.shape[d];
      place[d] = 0;
    }
  }
  return values;
}

class TreeReader {
 public:
  TreeReader(const Pickle& pickle, const StorageReader& storages, std::string_view label)
      : pickle_(pickle), storages_(storages), label_(label) {}

  Result<DetectorWeights> read() {
    const PickleNode& root = find_root();
    if (is_module(root)) {
      FASTVLM_RETURN_IF_ERROR(read_module(root, "", 0));
      FASTVLM_RETURN_IF_ERROR(read_names(*state_of(root)));
    } else {
      FASTVLM_RETURN_IF_ERROR(read_tensors(root, ""));
    }
    return std::move(weights_);
  }

 private:
  // What Ultralytics loads of a checkpoint: `ema` unless it is None, else `model`. Others write
  // `state_dict`, or the tree or state dict itself.
  const PickleNode& find_root() const {
    const PickleNode& root = pickle_.at(pickle_.root);
    for (const char* key : {"ema", "model", "state_dict"}) {
      const PickleNode* found = pickle_.find(root, key);
      if (found != nullptr && (is_module(*found) || found->kind == PickleKind::kDict)) {
        return *found;
      }
    }
    return root;
  }

  const PickleNode* state_of(const PickleNode& node) const {
    if (node.kind != PickleKind::kObject || node.items.size() != 3) return nullptr;
    return &pickle_.at(node.items[2]);
  }
  bool is_module(const PickleNode& node) const {
    const PickleNode* state = state_of(node);
    return state != nullptr && pickle_.find(*state, "_modules") != nullptr;
  }

  Status read_module(const PickleNode& module, const std::string& prefix, int depth) {
    if (depth > kMostDepth || ++modules_ > kMostModules) {
      return error(Code::kLimit,
                   cat(label_, ": its modules are nested too deeply or contain each other"),
                   kOtherDetectorFile);
    }
    const PickleNode& state = *state_of(module);
    if (name_too_long(prefix)) return wrong("", "a name of more than 500 bytes");
    FASTVLM_RETURN_IF_ERROR(spend(state));
    for (const char* kind : {"_parameters", "_buffers"}) {
      const PickleNode* tensors = pickle_.find(state, kind);
      if (tensors != nullptr) FASTVLM_RETURN_IF_ERROR(read_tensors(*tensors, prefix));
    }
    const PickleNode& children = *pickle_.find(state, "_modules");
    if (children.kind != PickleKind::kDict) return wrong(prefix, "modules that are no dict");
    FASTVLM_RETURN_IF_ERROR(spend(children));
    for (size_t i = 0; i + 1 < children.items.size(); i += 2) {
      const PickleNode& name = pickle_.at(children.items[i]);
      const PickleNode& child = pickle_.at(children.items[i + 1]);
      if (child.kind == PickleKind::kNone) continue;
      if (name.kind != PickleKind::kText || !is_module(child)) {
        return wrong(prefix + printable(name.text), "something that is no module");
      }
      if (name_too_long(name.text)) return wrong(prefix, "a name of more than 500 bytes");
      FASTVLM_RETURN_IF_ERROR(read_module(child, cat(prefix, name.text, "."), depth + 1));
    }
    return {};
  }

  // A dict of tensors; None stands for a bias that is not there.
  Status read_tensors(const PickleNode& dict, const std::string& prefix) {
    if (dict.kind != PickleKind::kDict) {
      return error(Code::kInvalid, cat(label_, ": expected a model or a state dict, found neither"),
                   "give a detector that Ultralytics or torch.save wrote");
    }
    FASTVLM_RETURN_IF_ERROR(spend(dict));
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const PickleNode& key = pickle_.at(dict.items[i]);
      const PickleNode& value = pickle_.at(dict.items[i + 1]);
      if (value.kind == PickleKind::kNone) continue;
      if (key.kind != PickleKind::kText) return wrong(prefix, "a tensor whose name is no text");
      if (name_too_long(key.text)) return wrong(prefix, "a name of more than 500 bytes");
      FASTVLM_RETURN_IF_ERROR(read_tensor(value, prefix + key.text));
    }
    return {};
  }

  static bool name_too_long(const std::string& name) { return name.size() > 500; }

  // A small pickle can name a large dict over and over.
  Status spend(const PickleNode& dict) {
    visited_ += dict.items.size();
    if (visited_ <= kMostVisits) return {};
    return error(Code::kLimit, cat(label_, ": its modules repeat each other too often"),
                 kOtherDetectorFile);
  }

  Status wrong(const std::string& name, std::string_view what) const {
    return error(Code::kInvalid,
                 cat(label_, ": tensor `", printable(name), "`: the pickle has ", what),
                 kDownloadAgain);
  }

  Status read_tensor(const PickleNode& node, const std::string& name) {
    const PickleNode* tensor = &node;
    const std::string_view maker = pickle_.class_of(node);
    if (maker == "torch._utils._rebuild_parameter" ||
        maker == "torch._utils._rebuild_parameter_with_state") {
      const PickleNode& arguments = pickle_.at(node.items[1]);
      if (arguments.items.empty()) return wrong(name, "a parameter without data");
      tensor = &pickle_.at(arguments.items[0]);
    }
    if (pickle_.class_of(*tensor) != "torch._utils._rebuild_tensor_v2") {
      const std::string_view found = pickle_.class_of(*tensor);
      return error(Code::kUnsupported,
                   cat(label_, ": `", printable(name), "` is no plain tensor but ",
                       found.empty() ? "a value" : printable(found)),
                   kOtherDetectorFile);
    }
    FASTVLM_ASSIGN(const Layout layout, layout_of(pickle_.at(tensor->items[1]), name));
    if (layout.storage.type == StorageType::kInteger) return {};  // num_batches_tracked
    elements_ += layout.elements;
    if (elements_ > kMostDetectorWeights) {
      return error(Code::kLimit,
                   cat(label_, ": holds more than ", kMostDetectorWeights, " weights"),
                   kOtherDetectorFile);
    }
    auto storage = read_storages_.find(layout.key);
    if (storage == read_storages_.end()) {
      FASTVLM_ASSIGN(auto bytes, storages_(layout.key, static_cast<uint64_t>(layout.numel) *
                                                           layout.storage.size));
      storage = read_storages_.emplace(layout.key, std::move(bytes)).first;
    }
    if (storage->second.size() != static_cast<uint64_t>(layout.numel) * layout.storage.size) {
      return wrong(name, "a storage that had another size or type before");
    }
    weights_.tensors.insert_or_assign(
        name, DetectorTensor{layout.shape, gather(layout, storage->second)});
    return {};
  }

  // (storage, offset, size, stride, requires_grad, hooks) -> what they say, all of it in bounds.
  Result<Layout> layout_of(const PickleNode& arguments, const std::string& name) const {
    if (arguments.items.size() < 4) return wrong(name, "too few arguments");
    Layout layout;
    FASTVLM_RETURN_IF_ERROR(read_storage(pickle_.at(arguments.items[0]), name, layout));
    const PickleNode& offset = pickle_.at(arguments.items[1]);
    if (offset.kind != PickleKind::kInt || offset.integer < 0 || offset.integer > layout.numel) {
      return wrong(name, "an offset outside of its storage");
    }
    layout.offset = offset.integer;
    const auto shape = integers(pickle_.at(arguments.items[2]));
    const auto strides = integers(pickle_.at(arguments.items[3]));
    if (!shape || !strides || shape->size() != strides->size()) {
      return wrong(name, "a size or stride that is none");
    }
    layout.shape = *shape;
    layout.strides = *strides;
    const bool empty = std::find(shape->begin(), shape->end(), 0) != shape->end();
    if (empty) layout.elements = 0;
    int64_t last = layout.offset;  // the place of the last element
    for (size_t d = 0; d < shape->size() && !empty; ++d) {
      int64_t span = 0;
      // Views that repeat elements are not saved by anyone, but they would fill any memory.
      if (__builtin_mul_overflow(layout.elements, (*shape)[d], &layout.elements) ||
          layout.elements > layout.numel ||
          __builtin_mul_overflow((*shape)[d] - 1, (*strides)[d], &span) ||
          __builtin_add_overflow(last, span, &last)) {
        return out_of_bounds(name, layout);
      }
    }
    if (!empty && last >= layout.numel) return out_of_bounds(name, layout);
    return layout;
  }

  Status out_of_bounds(const std::string& name, const Layout& layout) const {
    return error(Code::kInvalid,
                 cat(label_, ": tensor `", printable(name), "`: size ", bracketed(layout.shape),
                     ", stride ", bracketed(layout.strides), ", offset ", layout.offset,
                     " reach beyond its storage of ", layout.numel, " elements"),
                 kDownloadAgain);
  }

  // ('storage', torch.HalfStorage, key, 'cpu', numel)
  Status read_storage(const PickleNode& persistent, const std::string& name, Layout& layout) const {
    const PickleNode* id = nullptr;
    if (persistent.kind == PickleKind::kPersistent) id = &pickle_.at(persistent.items[0]);
    if (id == nullptr || id->kind != PickleKind::kTuple || id->items.size() != 5 ||
        pickle_.at(id->items[0]).text != "storage") {
      return wrong(name, "a storage that PyTorch does not write");
    }
    const PickleNode& type = pickle_.at(id->items[1]);
    const PickleNode& key = pickle_.at(id->items[2]);
    const PickleNode& numel = pickle_.at(id->items[4]);
    const auto* known = std::find_if(kStorages.begin(), kStorages.end(), [&](const auto& facts) {
      return type.kind == PickleKind::kGlobal && facts.name == type.text;
    });
    if (known == kStorages.end()) {
      return error(
          Code::kUnsupported,
          cat(label_, ": tensor `", printable(name),
              "`: expected F32, F16 or BF16, found storage type `", printable(type.text), "`"),
          "convert the model to one of these");
    }
    const bool named = key.kind == PickleKind::kText && !key.text.empty() &&
                       key.text.size() < 256 && key.text.find('/') == std::string::npos &&
                       key.text.find('\0') == std::string::npos;
    if (!named || numel.kind != PickleKind::kInt || numel.integer < 0 ||
        numel.integer > std::numeric_limits<int64_t>::max() / 8) {
      return wrong(name, "a storage without key or size");
    }
    layout.storage = *known;
    layout.key = key.text;
    layout.numel = numel.integer;
    return {};
  }

  // A tuple of numbers >= 0, few enough for a tensor.
  std::optional<std::vector<int64_t>> integers(const PickleNode& tuple) const {
    if (tuple.kind != PickleKind::kTuple || tuple.items.size() > kMostTorchDimensions) {
      return std::nullopt;
    }
    std::vector<int64_t> values;
    for (const PickleRef item : tuple.items) {
      const PickleNode& value = pickle_.at(item);
      if (value.kind != PickleKind::kInt || value.integer < 0) return std::nullopt;
      values.push_back(value.integer);
    }
    return values;
  }

  // `names`: a dict from class id to name, or a list.
  Status read_names(const PickleNode& state) {
    const PickleNode* names = pickle_.find(state, "names");
    if (names == nullptr || names->kind == PickleKind::kNone) return {};
    std::map<int64_t, std::string> by_id;
    const std::string where = cat(label_, ": `names`");
    const bool dict = names->kind == PickleKind::kDict;
    if (!dict && names->kind != PickleKind::kList) return wrong("names", "no dict or list there");
    for (size_t i = 0; i + (dict ? 1 : 0) < names->items.size(); i += dict ? 2 : 1) {
      const PickleNode& id = pickle_.at(names->items[i]);
      const PickleNode& name = pickle_.at(names->items[dict ? i + 1 : i]);
      if ((dict && id.kind != PickleKind::kInt) || name.kind != PickleKind::kText) {
        return wrong("names", "a class without number or name");
      }
      if (by_id.size() == kMostClasses || name_too_long(name.text)) {
        return wrong("names", "more than 100,000 classes, or a name of more than 500 bytes");
      }
      by_id.insert_or_assign(dict ? id.integer : static_cast<int64_t>(i), name.text);
    }
    FASTVLM_ASSIGN(weights_.class_names, dense_names(by_id, where));
    return {};
  }

  const Pickle& pickle_;
  const StorageReader& storages_;
  std::string label_;
  DetectorWeights weights_;
  size_t modules_ = 0;
  size_t visited_ = 0;  // items of dicts
  int64_t elements_ = 0;
  std::unordered_map<std::string, std::vector<std::byte>> read_storages_;
};

}  // namespace

Result<DetectorWeights> read_module_tree(std::span<const std::byte> pickle,
                                         const StorageReader& storages, std::string_view label) {
  FASTVLM_ASSIGN(const Pickle parsed, parse_pickle(pickle, label));
  return TreeReader(parsed, storages, label).read();
}

}  // namespace fastvlm
