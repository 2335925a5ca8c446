// SPDX-License-Identifier: Apache-2.0
#include "language/adapter_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "formats/atomic_file.h"
#include "formats/json_fields.h"
#include "formats/safetensors.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;  // the first pattern that matches counts

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kEndA = ".lora_A.weight";
constexpr std::string_view kEndB = ".lora_B.weight";
constexpr const char* kProjector = "mm_projector";  // in modules_to_save
constexpr std::string_view kProjectorPrefix = "base_model.model.model.mm_projector.";

// The fields of adapter_config.json. A key that is null counts as absent.
class Fields {
 public:
  Fields(std::string file, const Json& object) : file_(std::move(file)), object_(object) {}

  const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  // Absent, false, empty, "none" or `plain`: nothing beyond a plain LoRA is asked for.
  Status expect_plain(const char* key, std::string_view what) const {
    const Json* value = find(key);
    const bool plain = value == nullptr || *value == false || *value == "none" ||
                       (value->is_structured() && value->empty());
    if (plain) return {};
    return unsupported(key, cat(what, " are not supported, found ", printable(value->dump())),
                       "train a plain LoRA adapter of the language model's linear layers");
  }
  Result<double> number(const char* key, double otherwise) const {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number()) return wrong(key, "a number", *value);
    return value->get<double>();
  }
  Result<bool> flag(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return wrong(key, "true or false", *value);
    return value->get<bool>();
  }
  template <typename T>
  Result<std::vector<std::pair<std::string, T>>> pattern(const char* key) const {
    std::vector<std::pair<std::string, T>> entries;
    const Json* value = find(key);
    if (value == nullptr) return entries;
    if (!value->is_object()) return wrong(key, "an object of names and numbers", *value);
    for (const auto& [name, number] : value->items()) {
      const bool fits = std::is_integral_v<T> ? number.is_number_integer() : number.is_number();
      if (!fits) return wrong(key, "an object of names and numbers", *value);
      entries.emplace_back(name, number.template get<T>());
    }
    return entries;
  }
  Status unsupported(const char* key, const std::string& what, const char* hint) const {
    return error(Code::kUnsupported, cat(file_, ": key `", key, "`: ", what), hint);
  }
  Status wrong(const char* key, std::string_view expected, const Json& found) const {
    return error(Code::kInvalid,
                 cat(file_, ": key `", key, "`: expected ", expected, ", found ",
                     printable(found.dump(-1, ' ', false, Json::error_handler_t::replace))),
                 "take the adapter's own files, as PEFT wrote them");
  }

 private:
  std::string file_;
  const Json& object_;
};

// Keys that make an adapter more than what it adds to the linear layers.
constexpr std::pair<const char*, std::string_view> kOtherMathematics[] = {
    {"layer_replication", "replicated layers"},
    {"alora_invocation_tokens", "adapters that begin at a token"},
    {"trainable_token_indices", "trained embeddings of tokens"},
    {"target_parameters", "adapted parameters that are no layers"},
    {"use_qalora", "adapters of pooled inputs"},
    {"arrow_config", "adapters that are routed to"}};

Status check_kind(const Fields& fields) {
  const Json* type = fields.find("peft_type");
  if (type == nullptr || *type != "LORA") {
    return fields.wrong("peft_type", "\"LORA\"", type == nullptr ? Json() : *type);
  }
  FASTVLM_RETURN_IF_ERROR(fields.expect_plain("use_dora", "DoRA adapters"));
  FASTVLM_RETURN_IF_ERROR(fields.expect_plain("bias", "adapters with trained biases"));
  FASTVLM_RETURN_IF_ERROR(fields.expect_plain("lora_bias", "adapters with trained biases"));
  FASTVLM_RETURN_IF_ERROR(fields.expect_plain("fan_in_fan_out", "transposed weights"));
  const Json* whole = fields.find("modules_to_save");
  if (whole == nullptr || *whole != Json::array({kProjector})) {
    FASTVLM_RETURN_IF_ERROR(fields.expect_plain(
        "modules_to_save", "modules trained as a whole, other than mm_projector,"));
  }
  for (const auto& [key, what] : kOtherMathematics) {
    FASTVLM_RETURN_IF_ERROR(fields.expect_plain(key, what));
  }
  const Json* start = fields.find("init_lora_weights");
  const std::string name = start != nullptr && start->is_string() ? start->get<std::string>() : "";
  if (name.starts_with("pissa") || name == "olora" || name == "corda") {
    return fields.unsupported(
        "init_lora_weights",
        cat("adapters for a base that ", printable(name), " changed are not supported"),
        "save it with path_initial_model_for_weight_conversion, which makes a plain one");
  }
  return {};
}

struct AdapterConfig {
  LoraSettings lora;
  bool projector = false;  // modules_to_save names it
};

Result<AdapterConfig> read_adapter_config(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const Json object, read_ordered_json_object(path));
  const Fields fields(path.string(), object);
  FASTVLM_RETURN_IF_ERROR(check_kind(fields));
  AdapterConfig config;
  config.projector =
      fields.find("modules_to_save") != nullptr && !object["modules_to_save"].empty();
  LoraSettings& settings = config.lora;
  FASTVLM_ASSIGN(const double rank, fields.number("r", 8));
  if (!(rank >= 1 && rank <= 1e6)) return fields.wrong("r", "a whole number above 0", rank);
  settings.rank = static_cast<int64_t>(rank);
  FASTVLM_ASSIGN(settings.alpha, fields.number("lora_alpha", 8));
  FASTVLM_ASSIGN(settings.dropout, fields.number("lora_dropout", 0));
  FASTVLM_ASSIGN(settings.rank_stabilized, fields.flag("use_rslora"));
  FASTVLM_ASSIGN(settings.rank_pattern, fields.pattern<int64_t>("rank_pattern"));
  FASTVLM_ASSIGN(settings.alpha_pattern, fields.pattern<double>("alpha_pattern"));
  return config;
}

// "model.layers.0.self_attn.q_proj" of a tensor's name that ends so; empty for another.
std::string module_of(std::string_view tensor, std::string_view end) {
  if (!tensor.starts_with(kPrefix) || !tensor.ends_with(end)) return {};
  tensor.remove_prefix(kPrefix.size());
  tensor.remove_suffix(std::min(end.size(), tensor.size()));
  return std::string(tensor);
}

Result<std::set<std::string>> adapted_modules(const SafetensorsFile& file, bool with_projector) {
  std::set<std::string> modules;
  for (const auto& [name, tensor] : file.tensors()) {
    if (with_projector && name.starts_with(kProjectorPrefix)) continue;
    std::string module = module_of(name, kEndA);
    if (module.empty()) module = module_of(name, kEndB);
    if (module.empty()) {
      return error(Code::kUnsupported,
                   cat(file.path().string(), ": tensor ", printable(name),
                       ": expected only lora_A and lora_B of linear layers",
                       with_projector ? " and mm_projector" : ""),
                   "train a plain LoRA adapter of the language model's linear layers");
    }
    modules.insert(std::move(module));
  }
  return modules;
}

// The adapted layers as short as they can be named: "q_proj" where it is adapted in every block.
std::vector<std::string> shortest_names(const std::set<std::string>& modules, int64_t layers) {
  std::vector<std::string> names;
  std::set<std::string> left = modules;
  for (const std::string& target : all_target_names()) {
    const auto is_of = [&](const std::string& module) { return module.ends_with("." + target); };
    if (std::count_if(left.begin(), left.end(), is_of) != layers) continue;
    names.push_back(target);
    std::erase_if(left, is_of);
  }
  names.insert(names.end(), left.begin(), left.end());
  return names;
}

Status read_tensor(const SafetensorsFile& file, const std::string& name,
                   const std::vector<int64_t>& shape, float* out) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr || tensor->shape != shape) {
    return error(Code::kInvalid,
                 cat(file.path().string(), ": tensor ", name, ": expected ", bracketed(shape),
                     ", found ", tensor == nullptr ? "none" : bracketed(tensor->shape)),
                 "check that the adapter was trained on this model, and its r and rank_pattern");
  }
  FASTVLM_ASSIGN(const std::vector<float> values, to_floats(*tensor, name));
  if (!std::all_of(values.begin(), values.end(),
                   [](float value) { return std::isfinite(value); })) {
    return error(Code::kInvalid,
                 cat(file.path().string(), ": tensor ", name, ": expected finite numbers"),
                 "take an earlier adapter; its training went wrong");
  }
  std::copy(values.begin(), values.end(), out);
  return {};
}

// Its first weight says how wide the tower's tokens are.
Status add_projector(const SafetensorsFile& file, int64_t hidden, LoraAdapter& adapter) {
  const TensorView* first = file.find(cat(kProjectorPrefix, "0.weight"));
  const bool is_matrix = first != nullptr && first->shape.size() == 2 && first->shape[0] == hidden;
  const int64_t inputs = is_matrix ? first->shape[1] : 1;
  ProjectorWeights projector{{inputs, hidden}, {}};
  projector.values.resize(static_cast<size_t>(projector.shape.size()));
  for (const ProjectorShape::Tensor& tensor : projector.shape.tensors()) {
    FASTVLM_RETURN_IF_ERROR(read_tensor(file, cat(kProjectorPrefix, tensor.name), tensor.shape,
                                        projector.values.data() + tensor.offset));
  }
  adapter.add_projector(projector);
  return {};
}

template <typename T>
Json pattern_json(const std::vector<std::pair<std::string, T>>& pattern) {
  Json json = Json::object();
  for (const auto& [name, value] : pattern) json[name] = value;
  return json;
}

Json config_json(const LoraAdapter& adapter, const std::string& base) {
  const LoraSettings& settings = adapter.settings();
  return {{"alpha_pattern", pattern_json(settings.alpha_pattern)},
          {"base_model_name_or_path", base},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"lora_alpha", settings.alpha},
          {"lora_dropout", settings.dropout},
          {"modules_to_save", adapter.projector() ? Json::array({kProjector}) : Json()},
          {"peft_type", "LORA"},
          {"r", settings.rank},
          {"rank_pattern", pattern_json(settings.rank_pattern)},
          {"target_modules", settings.targets},
          {"task_type", "CAUSAL_LM"},
          {"use_dora", false},
          {"use_rslora", settings.rank_stabilized}};
}

}  // namespace

Result<LoraAdapter> load_adapter(const std::filesystem::path& folder,
                                 const LanguageConfig& config) {
  FASTVLM_ASSIGN(AdapterConfig stated, read_adapter_config(folder / kAdapterConfigFile));
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(folder / kAdapterTensorFile));
  FASTVLM_ASSIGN(const std::set<std::string> modules, adapted_modules(file, stated.projector));
  stated.lora.targets = shortest_names(modules, config.layers);
  auto created = LoraAdapter::create(config, stated.lora);
  if (!created.ok()) {  // settings that a person gives on the command line come from a file here
    const Status& wrong = created.status();
    return error(Code::kInvalid, cat(folder.string(), ": ", wrong.message),
                 "take the adapter's own files, as PEFT wrote them");
  }
  LoraAdapter adapter = std::move(*created);
  for (const LoraModule& module : adapter.modules()) {
    const std::string name = cat(kPrefix, module.name);
    float* const values = adapter.parameters().data();
    FASTVLM_RETURN_IF_ERROR(
        read_tensor(file, cat(name, kEndA), {module.rank, module.in}, values + module.a));
    FASTVLM_RETURN_IF_ERROR(
        read_tensor(file, cat(name, kEndB), {module.out, module.rank}, values + module.b));
  }
  if (stated.projector) {
    FASTVLM_RETURN_IF_ERROR(add_projector(file, config.hidden_size, adapter));
  }
  return adapter;
}

Result<std::string> adapter_digest(const std::filesystem::path& folder) {
  Sha256 hash;
  for (const char* name : {kAdapterConfigFile, kAdapterTensorFile}) {
    FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(folder / name));
    hash.update(cat(name, '\0', file.bytes().size(), '\0'));
    hash.update(file.bytes());
  }
  return hash.finish();
}

Status save_adapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                    const std::string& base) {
  std::vector<TensorToWrite> tensors;
  const std::span<const std::byte> bytes = std::as_bytes(adapter.parameters());
  const auto part = [&](int64_t offset, int64_t count) {
    return bytes.subspan(static_cast<size_t>(offset) * sizeof(float),
                         static_cast<size_t>(count) * sizeof(float));
  };
  for (const LoraModule& module : adapter.modules()) {
    const std::string name = cat(kPrefix, module.name);
    tensors.push_back(
        {cat(name, kEndA), DType::kF32, {module.rank, module.in}, part(module.a, module.a_size())});
    tensors.push_back({cat(name, kEndB),
                       DType::kF32,
                       {module.out, module.rank},
                       part(module.b, module.b_size())});
  }
  if (adapter.projector()) {
    for (const ProjectorShape::Tensor& tensor : adapter.projector()->tensors()) {
      tensors.push_back({cat(kProjectorPrefix, tensor.name), DType::kF32, tensor.shape,
                         part(adapter.projector_offset() + tensor.offset, tensor.size())});
    }
  }
  FASTVLM_RETURN_IF_ERROR(
      write_safetensors(folder / kAdapterTensorFile, tensors, {{"format", "pt"}}));
  return write_file_atomically(folder / kAdapterConfigFile,
                               config_json(adapter, base).dump(2) + "\n");
}

}  // namespace fastvlm
