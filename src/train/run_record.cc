// SPDX-License-Identifier: Apache-2.0
#include "train/run_record.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/cpu.h"
#include "base/strings.h"
#include "formats/atomic_file.h"
#include "formats/json_fields.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kBetweenSaves{10};
constexpr const char* kParts = "parts";

Json to_json(const RunData& data) {
  return {{"file", data.file},
          {"samples", data.samples},
          {"pictures", data.pictures},
          {"tokens", data.tokens}};
}

Json to_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json object = Json::object();
  for (const auto& [name, value] : pairs) object[name] = value;
  return object;
}

Json to_json(const RunPart& part) {
  Json object{{"seconds", part.seconds},
              {"processor", part.processor},
              {"threads", part.threads},
              {"peak_memory", part.peak_memory}};
  if (part.joules) object["joules"] = *part.joules;
  if (part.watts) object["watts"] = *part.watts;
  return object;
}

std::string to_text(const RunRecord& record) {
  Json object{{"program", record.program},         {"model", record.model},
              {"sha256", record.sha256},           {"weights", record.weights},
              {"model_bytes", record.model_bytes}, {"source", record.source},
              {"license", record.license},         {"data", to_json(record.data)}};
  if (record.evaluation) object["evaluation"] = to_json(*record.evaluation);
  object["data_made"] = to_json(record.data_made);
  object["settings"] = to_json(record.settings);
  object["steps"] = record.steps;
  object["trained_parameters"] = record.trained_parameters;
  object["region"] = record.region;
  if (record.grams_per_kwh) object["grams_per_kwh"] = *record.grams_per_kwh;
  object[kParts] = Json::array();
  for (const RunPart& part : record.parts) object[kParts].push_back(to_json(part));
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Reads one object; the first field that is not of its type is told by fault().
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  template <typename T>
  void read(const char* key, T& value) {
    const auto found = object_.find(key);
    if (found == object_.end()) return;
    try {
      found->get_to(value);
    } catch (const Json::exception&) {
      fail(key);
    }
  }
  template <typename T>
  void read(const char* key, std::optional<T>& value) {
    if (!object_.contains(key)) return;
    read(key, value.emplace());
  }
  void read(const char* key, std::vector<std::pair<std::string, std::string>>& pairs) {
    const auto found = object_.find(key);
    if (found == object_.end()) return;
    if (!found->is_object()) return fail(key);
    for (const auto& [name, text] : found->items()) {
      if (!text.is_string()) return fail(key);
      pairs.emplace_back(name, text.get<std::string>());
    }
  }
  void read(const char* key, RunData& data) {
    const auto found = object_.find(key);
    if (found == object_.end()) return;
    if (!found->is_object()) return fail(key);
    Reader inner(*found, where_);
    inner.read("file", data.file);
    inner.read("samples", data.samples);
    inner.read("pictures", data.pictures);
    inner.read("tokens", data.tokens);
    if (!inner.fault().ok()) fault_ = inner.fault();
  }
  void fail(const char* key) {
    fault_ = error(Code::kInvalid, cat(where_, ": key `", key, "`: is not as a run writes it"),
                   "name the folder of a run of `fastvlm train`");
  }
  const Status& fault() const { return fault_; }

 private:
  const Json& object_;
  std::string where_;
  Status fault_;
};

Result<RunPart> read_part(const Json& object, const std::string& where) {
  RunPart part;
  Reader reader(object, where);
  if (!object.is_object()) reader.fail(kParts);
  reader.read("seconds", part.seconds);
  reader.read("processor", part.processor);
  reader.read("threads", part.threads);
  reader.read("peak_memory", part.peak_memory);
  reader.read("joules", part.joules);
  reader.read("watts", part.watts);
  if (!reader.fault().ok()) return reader.fault();
  return part;
}

}  // namespace

Result<std::optional<RunRecord>> read_run_record(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kRunRecordFile;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<RunRecord>();
  FASTVLM_ASSIGN(const Json object, read_ordered_json_object(path));
  RunRecord record;
  Reader reader(object, path.string());
  reader.read("program", record.program);
  reader.read("model", record.model);
  reader.read("sha256", record.sha256);
  reader.read("weights", record.weights);
  reader.read("model_bytes", record.model_bytes);
  reader.read("source", record.source);
  reader.read("license", record.license);
  reader.read("data", record.data);
  reader.read("evaluation", record.evaluation);
  reader.read("data_made", record.data_made);
  reader.read("settings", record.settings);
  reader.read("steps", record.steps);
  reader.read("trained_parameters", record.trained_parameters);
  reader.read("region", record.region);
  reader.read("grams_per_kwh", record.grams_per_kwh);
  const auto parts = object.find(kParts);
  if (parts == object.end() || !parts->is_array()) {
    reader.fail(kParts);
  } else {
    for (const Json& each : *parts) {
      FASTVLM_ASSIGN(RunPart part, read_part(each, path.string()));
      record.parts.push_back(std::move(part));
    }
  }
  if (!reader.fault().ok()) return reader.fault();
  return std::optional<RunRecord>(std::move(record));
}

RunCost cost_of(const RunRecord& record) {
  RunCost cost;
  for (const RunPart& part : record.parts) {
    cost.seconds += part.seconds;
    cost.peak_memory = std::max(cost.peak_memory, part.peak_memory);
    if (!part.watts && !part.joules) continue;
    cost.joules += part.watts ? *part.watts * part.seconds : *part.joules;
    cost.joules_seconds += part.seconds;
    (part.watts ? cost.stated : cost.measured) = true;
  }
  return cost;
}

Result<std::unique_ptr<RunMeter>> RunMeter::start(const std::filesystem::path& folder, RunPart part,
                                                  const Stopwatch& since) {
  FASTVLM_ASSIGN(std::optional<RunRecord> before, read_run_record(folder));
  RunRecord record = before ? std::move(*before) : RunRecord{};
  record.parts.push_back(std::move(part));
  std::unique_ptr<RunMeter> meter(new RunMeter(folder, std::move(record), since));
  FASTVLM_RETURN_IF_ERROR(meter->save());
  return meter;
}

RunMeter::RunMeter(std::filesystem::path folder, RunRecord record, const Stopwatch& since)
    : folder_(std::move(folder)), since_(since), record_(std::move(record)) {
  if (!record_.parts.back().watts) counters_ = EnergyCounters::open();
  watch_ = std::jthread([this](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, stop, kBetweenSaves, [&] { return stop.stop_requested(); })) {
      // What cannot be written now is told by the next save() of the run itself.
      [[maybe_unused]] const Status status = save_locked();
    }
  });
}

RunMeter::~RunMeter() {
  [[maybe_unused]] const Status status = save();
}

void RunMeter::change(const std::function<void(RunRecord& record)>& change) {
  const std::lock_guard lock(mutex_);
  change(record_);
}

Status RunMeter::save() {
  const std::lock_guard lock(mutex_);
  return save_locked();
}

Status RunMeter::save_locked() {
  RunPart& part = record_.parts.back();
  part.seconds = since_.seconds();
  part.peak_memory = peak_resident_bytes();
  if (!part.watts) part.joules = counters_.joules();
  return write_file_atomically(folder_ / kRunRecordFile, to_text(record_));
}

RunRecord RunMeter::record() {
  const std::lock_guard lock(mutex_);
  return record_;
}

}  // namespace fastvlm
