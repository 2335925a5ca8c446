// SPDX-License-Identifier: Apache-2.0
#include "caption/journal.h"

#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kKind = "fastvlm captions";
constexpr int kFormat = 1;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Whether outputs of this name stay below their folder: a journal may come from elsewhere.
bool stays_below(const std::string& image) {
  const std::filesystem::path path(image);
  return path.has_filename() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
}

std::string fingerprint(const JobSettings& settings) {
  Sha256 digest;
  digest.update(cat("format=", kFormat, "\n"));
  for (const auto& [name, value] : settings) digest.update(cat(name, "=", value, "\n"));
  return digest.finish();
}

std::string header_line(const JobSettings& settings) {
  Json values = Json::object();
  for (const auto& [name, value] : settings) values[name] = value;
  return dumped({{"journal", kKind},
                 {"format", kFormat},
                 {"fingerprint", fingerprint(settings)},
                 {"settings", std::move(values)}});
}

template <typename T>
T field(const Json& object, const char* key, T otherwise = {}) {
  const auto found = object.find(key);
  if (found == object.end()) return otherwise;
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->template get<T>() : otherwise;
  } else {
    return found->is_number_integer() ? found->template get<T>() : otherwise;
  }
}

FileStamp stamp_in(const Json& object) {
  return {field<int64_t>(object, "bytes"), field<int64_t>(object, "modified"),
          field<std::string>(object, "sha256")};
}

Json stamp_json(const FileStamp& stamp) {
  return {{"bytes", stamp.bytes}, {"modified", stamp.modified}, {"sha256", stamp.sha256}};
}

Status no_journal(const std::filesystem::path& path) {
  return error(Code::kInvalid, cat(path.string(), ": expected the journal of a folder job"),
               "name a journal, or a new file");
}

// The header's settings; an error when this is none of ours.
Result<JobSettings> parse_header(const Json& header, const std::filesystem::path& path) {
  if (!header.is_object() || field<std::string>(header, "journal") != kKind) {
    return no_journal(path);
  }
  if (const auto format = field<int64_t>(header, "format"); format != kFormat) {
    return error(Code::kUnsupported,
                 cat(path.string(), ": expected a journal of format ", kFormat, ", found ", format),
                 "use the program that wrote it, or begin a new journal");
  }
  JobSettings settings;
  const auto values = header.find("settings");
  if (values != header.end() && values->is_object()) {
    for (const auto& [name, value] : values->items()) {
      if (value.is_string()) settings.emplace_back(name, value.get<std::string>());
    }
  }
  if (field<std::string>(header, "fingerprint") != fingerprint(settings)) {
    return error(Code::kInvalid, cat(path.string(), ": its first line was changed"),
                 "put the line back as it was, or begin a new journal");
  }
  return settings;
}

std::string value_of(const JobSettings& settings, const std::string& name) {
  for (const auto& [key, value] : settings) {
    if (key == name) return value;
  }
  return "none";
}

// Digests and texts are shown by their beginning.
std::string shown(const std::string& value) {
  constexpr size_t kMost = 40;
  return value.size() > kMost ? value.substr(0, kMost) + "…" : value;
}

}  // namespace

Result<FileStamp> stamp_of(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) {
    return error(Code::kNotFound, cat(file.string(), ": no such file"), "check the path");
  }
  return FileStamp{static_cast<int64_t>(info.st_size),
                   static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
                       static_cast<int64_t>(info.st_mtim.tv_nsec),
                   ""};
}

Result<Journal> Journal::open(const std::filesystem::path& path, const JobSettings& settings) {
  Journal journal;
  journal.path_ = path;
  FASTVLM_ASSIGN(journal.lines_, KeptLines::open(path));
  FASTVLM_RETURN_IF_ERROR(journal.load());
  FASTVLM_RETURN_IF_ERROR(journal.lines_.drop(journal.torn_));
  if (journal.started_) {
    FASTVLM_RETURN_IF_ERROR(journal.check_settings(settings));
    return journal;
  }
  FASTVLM_RETURN_IF_ERROR(journal.lines_.append(header_line(settings)).status());
  journal.settings_ = settings;
  return journal;
}

Result<Journal> Journal::read(const std::filesystem::path& path) {
  Journal journal;
  journal.path_ = path;
  FASTVLM_RETURN_IF_ERROR(journal.load());
  if (!journal.started_) return no_journal(path);
  return journal;
}

Status Journal::load() {
  // Only the last line can have been damaged by an interruption.
  Status damage;
  const auto visit = [&](std::string_view line, LinePlace place) -> Status {
    FASTVLM_RETURN_IF_ERROR(damage);
    damage = take(line, place);
    return {};
  };
  FASTVLM_ASSIGN(torn_, visit_lines(path_, visit));
  FASTVLM_RETURN_IF_ERROR(damage);
  const bool ours = torn_.starts_with(kJournalFirstLine) || kJournalFirstLine.starts_with(torn_);
  return started_ || ours ? Status{} : no_journal(path_);
}

Status Journal::take(std::string_view line, LinePlace place) {
  const Json object = Json::parse(line, nullptr, false);
  if (!started_) {
    FASTVLM_ASSIGN(settings_, parse_header(object, path_));
    started_ = true;
    return {};
  }
  if (!object.is_object()) {
    return error(Code::kInvalid,
                 cat(path_.string(), ": expected a JSON object at byte ", place.offset),
                 "take the damaged line out; its picture is then captioned again");
  }
  if (const auto plan = object.find("plan"); plan != object.end() && plan->is_array()) {
    JobPlan found{{}, field<size_t>(object, "shard"), field<size_t>(object, "shards", 1)};
    for (const Json& image : *plan) {
      if (image.is_string()) found.images.push_back(image.get<std::string>());
    }
    take_plan(std::move(found));
    return {};
  }
  const auto image = field<std::string>(object, "image");
  if (!stays_below(image)) {
    return error(Code::kInvalid,
                 cat(path_.string(), ": expected a picture's name without .. at byte ",
                     place.offset, ", found \"", printable(image), "\""),
                 "take the line out; no run of this program wrote it");
  }
  if (const auto embedded = object.find("embedded"); embedded != object.end()) {
    const auto entry = entries_.find(image);
    if (entry != entries_.end()) entry->second.embedded = stamp_in(*embedded);
    return {};
  }
  JournalEntry entry;
  entry.captioned = object.contains("caption");
  entry.place = place;
  entry.stamp = stamp_in(object);
  entry.error = field<std::string>(object, "error");
  entry.hint = field<std::string>(object, "hint");
  remember(image, std::move(entry));
  return {};
}

void Journal::take_plan(JobPlan plan) {
  plan_ = std::move(plan);
  planned_ = {plan_.images.begin(), plan_.images.end()};
}

void Journal::remember(const std::string& image, JournalEntry entry) {
  if (const JournalEntry* old = find(image); old != nullptr) {
    entry.before = old->captioned ? old->place : old->before;
  }
  // Pictures that come to a folder that is watched.
  if (!plan_.images.empty() && planned_.insert(image).second) plan_.images.push_back(image);
  entries_.insert_or_assign(image, std::move(entry));
}

Status Journal::check_settings(const JobSettings& wanted) const {
  if (settings_ == wanted) return {};
  std::string differences;
  const auto compare = [&](const std::string& name) {
    const std::string then = value_of(settings_, name);
    const std::string now = value_of(wanted, name);
    if (then == now) return;
    differences +=
        cat(differences.empty() ? "" : "; ", name, " was ", shown(then), ", is now ", shown(now));
  };
  for (const auto& entry : settings_) compare(entry.first);
  for (const auto& entry : wanted) {
    if (value_of(settings_, entry.first) == "none") compare(entry.first);
  }
  return error(Code::kInvalid,
               cat(path_.string(), ": its captions were made with other settings: ", differences),
               "give the options of the earlier run, another --out or --journal, or remove this "
               "journal to begin anew");
}

const JournalEntry* Journal::find(const std::string& image) const {
  const auto found = entries_.find(image);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<std::string> Journal::images() const {
  std::vector<std::string> names;
  for (const auto& [image, entry] : entries_) {
    if (entry.captioned) names.push_back(image);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<JournalRecord> Journal::record(LinePlace place) const {
  FASTVLM_ASSIGN(const std::string line, read_line(path_, place));
  const Json object = Json::parse(line, nullptr, false);
  const auto caption = object.find("caption");
  if (!object.is_object() || caption == object.end()) {
    return error(Code::kInvalid, cat(path_.string(), ": changed while it was in use"),
                 "start the command again");
  }
  JournalRecord record;
  record.image = field<std::string>(object, "image");
  record.path = field<std::string>(object, "path", record.image);
  record.caption = dumped(*caption);
  return record;
}

Status Journal::set_plan(JobPlan plan) {
  if (plan.images == plan_.images && plan.shard == plan_.shard && plan.shards == plan_.shards) {
    return {};
  }
  Json object = {{"plan", plan.images}};
  if (plan.shards > 1) {
    object["shard"] = plan.shard;
    object["shards"] = plan.shards;
  }
  FASTVLM_RETURN_IF_ERROR(lines_.append(dumped(object)).status());
  take_plan(std::move(plan));
  return {};
}

Status Journal::add(const JournalRecord& record, const FileStamp& stamp) {
  Json object = {{"image", record.image}};
  if (record.path != record.image) object["path"] = record.path;
  object.update(stamp_json(stamp));
  object["caption"] = Json::parse(record.caption, nullptr, false);
  JournalEntry entry;
  entry.captioned = true;
  entry.stamp = stamp;
  return append(dumped(object), record.image, std::move(entry));
}

Status Journal::add_embedded(const std::string& image, const FileStamp& stamp) {
  const Json object = {{"image", image}, {"embedded", stamp_json(stamp)}};
  FASTVLM_RETURN_IF_ERROR(lines_.append(dumped(object)).status());
  entries_[image].embedded = stamp;
  return {};
}

Status Journal::add_failure(const std::string& image, const Status& why) {
  const Json object = {{"image", image}, {"error", why.message}, {"hint", why.hint}};
  JournalEntry entry;
  entry.error = why.message;
  entry.hint = why.hint;
  return append(dumped(object), image, std::move(entry));
}

Status Journal::append(const std::string& line, const std::string& image, JournalEntry entry) {
  FASTVLM_ASSIGN(entry.place, lines_.append(line));
  remember(image, std::move(entry));
  return {};
}

}  // namespace fastvlm
