// SPDX-License-Identifier: Apache-2.0
#include "caption/picture_list.h"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEndings =
    "pictures are told by .jpg, .jpeg, .png, .webp, .bmp, .heic, .heif or .avif";

// Does the set "[a-z]" at the beginning of `pattern` hold `c`? `size` becomes the set's length; 0
// when it is not closed, so that "[" stands for itself.
bool in_set(std::string_view pattern, char c, size_t& size) {
  size = 0;
  const bool inverse = pattern.size() > 1 && (pattern[1] == '!' || pattern[1] == '^');
  bool found = false;
  for (size_t i = inverse ? 2 : 1; i < pattern.size(); ++i) {
    if (pattern[i] == ']' && i > (inverse ? 2U : 1U)) {
      size = i + 1;
      return found != inverse && c != '/';
    }
    const bool range = i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']';
    const char last = range ? pattern[i + 2] : pattern[i];
    found = found || (pattern[i] <= c && c <= last);
    if (range) i += 2;
  }
  return false;
}

// Does the pattern's first element stand for the character `c`? `size` becomes its length.
bool fits_one(std::string_view pattern, char c, size_t& size) {
  size = 1;
  if (pattern[0] == '?') return c != '/';
  if (pattern[0] == '[') {
    const bool found = in_set(pattern, c, size);
    if (size > 0) return found;
    size = 1;
  }
  return pattern[0] == c;
}

// The whole of `name`. Stars take as little as they can and more when the rest does not fit; of
// the ones of each kind only the last is ever tried again, so the time is bounded.
bool fits_whole(std::string_view pattern, std::string_view name) {
  struct Retry {
    size_t pattern = std::string_view::npos;
    size_t name = 0;
  };
  Retry star;
  Retry stars;
  size_t p = 0;
  size_t n = 0;
  while (n < name.size() || p < pattern.size()) {
    size_t size = 0;
    if (pattern.substr(p).starts_with("**/") || pattern.substr(p) == "**") {
      p += pattern.substr(p) == "**" ? 2 : 3;
      stars = {p, n};
      star = {};
      continue;
    }
    if (p < pattern.size() && pattern[p] == '*') {
      star = {++p, n};
      continue;
    }
    if (p < pattern.size() && n < name.size() && fits_one(pattern.substr(p), name[n], size)) {
      p += size;
      ++n;
      continue;
    }
    if (star.pattern != std::string_view::npos && star.name < name.size() &&
        name[star.name] != '/') {
      p = star.pattern;
      n = ++star.name;
      continue;
    }
    if (stars.pattern == std::string_view::npos || stars.name >= name.size()) return false;
    // To the next folder; a "**" at the end takes everything.
    const size_t slash = name.find('/', stars.name);
    if (stars.pattern == pattern.size()) return true;
    if (slash == std::string_view::npos) return false;
    p = stars.pattern;
    n = stars.name = slash + 1;
    star = {};
  }
  return true;
}

bool any_fits(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return fits(pattern, name); });
}

// Bytes that are no UTF-8 by their numbers: two names stay two.
std::string as_utf8(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  while (!bytes.empty()) {
    const Utf8Front front = utf8_front(bytes);
    const std::string_view piece = bytes.substr(0, front.length);
    if (front.kind == Utf8Front::Kind::kCharacter) {
      text += piece;
    } else {
      for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        text += '%';
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
      }
    }
    bytes.remove_prefix(front.length);
  }
  return text;
}

class Finder {
 public:
  explicit Finder(const Selection& selection) : selection_(selection) {}

  Result<std::vector<Picture>> find();

 private:
  Status add_place(const std::string& place);
  Status add_folder(const fs::path& folder, bool recursive, const std::string& pattern);
  Status walk(const fs::path& folder, const fs::path& top, bool recursive,
              const std::string& pattern);
  void add(const fs::path& path, const fs::path& top);
  std::string name_of(const fs::path& path, const fs::path& top) const;

  const Selection& selection_;
  std::map<std::string, std::string> path_by_name_;
  std::set<std::string> paths_;
  size_t seen_ = 0;  // pictures, the unwanted ones too
  Status clash_;
};

std::string Finder::name_of(const fs::path& path, const fs::path& top) const {
  if (!selection_.root.empty()) {
    std::error_code failed;
    const fs::path below =
        fs::absolute(path, failed)
            .lexically_normal()
            .lexically_relative(fs::absolute(selection_.root, failed).lexically_normal());
    return output_name(below);
  }
  if (!top.empty()) return output_name(path.lexically_relative(top));
  return output_name(path.is_absolute() ? path.filename() : path);
}

// Each file once, whatever the places that lead to it.
void Finder::add(const fs::path& path, const fs::path& top) {
  ++seen_;
  const std::string name = name_of(path, top);
  if (!is_wanted(selection_.include, selection_.exclude, name)) return;
  const std::string normal = path.lexically_normal().string();
  if (!paths_.insert(normal).second) return;
  const auto [found, added] = path_by_name_.emplace(name, normal);
  if (added || !clash_.ok()) return;
  clash_ =
      error(Code::kUsage,
            cat("outputs would name two pictures ", name, ": ", found->second, " and ", normal),
            "--root FOLDER names pictures by where they lie below a folder that holds both");
}

Status Finder::walk(const fs::path& folder, const fs::path& top, bool recursive,
                    const std::string& pattern) {
  std::error_code failed;
  std::vector<fs::path> folders;
  for (fs::directory_iterator each(folder, failed), end; !failed && each != end;
       each.increment(failed)) {
    const fs::path path = each->path();
    if (path.filename().string().starts_with('.')) continue;
    std::error_code ignored;
    if (fs::is_directory(each->symlink_status(ignored))) {
      if (recursive && !any_fits(selection_.exclude, name_of(path, top))) folders.push_back(path);
    } else if (has_picture_name(path) && !fs::is_directory(path, ignored) &&
               (pattern.empty() || fits(pattern, path.lexically_normal().string()))) {
      add(path, top);
    }
  }
  if (failed) {
    return error(Code::kIo, cat(folder.string(), ": cannot list the folder: ", failed.message()),
                 "check its permissions, or leave it out with --exclude");
  }
  for (const fs::path& each : folders) {
    FASTVLM_RETURN_IF_ERROR(walk(each, top, recursive, pattern));
  }
  return {};
}

Status Finder::add_folder(const fs::path& folder, bool recursive, const std::string& pattern) {
  const size_t before = seen_;
  const bool as_given = !pattern.empty() && !folder.is_absolute();
  FASTVLM_RETURN_IF_ERROR(walk(folder, as_given ? "" : folder, recursive, pattern));
  if (seen_ > before) return {};
  if (!pattern.empty()) {
    return error(Code::kNotFound, cat(pattern, ": no picture fits this pattern"),
                 cat(kEndings, "; `**/` stands for folders at any depth"));
  }
  return error(Code::kNotFound, cat(folder.string(), ": no pictures in this folder"),
               cat(kEndings, recursive ? "; hidden ones are left out"
                                       : "; --recursive enters the folders inside it"));
}

Status Finder::add_place(const std::string& place) {
  std::error_code ignored;
  if (fs::is_directory(place, ignored)) return add_folder(place, selection_.recursive, "");
  if (fs::exists(place, ignored) || !is_pattern(place)) {
    add(place, "");
    return {};
  }
  // The folder before the first part with a sign of a pattern.
  fs::path folder;
  const fs::path normal = fs::path(place).lexically_normal();
  for (const fs::path& part : normal) {
    if (is_pattern(part.string())) break;
    folder /= part;
  }
  if (!fs::is_directory(folder.empty() ? "." : folder, ignored)) {
    return error(Code::kNotFound, cat(place, ": there is no folder ", folder.string()),
                 "check the path");
  }
  return add_folder(folder.empty() ? "." : folder, true, normal.string());
}

// The same order on every machine, as the standard fixes this generator and not std::shuffle.
void shuffle(std::vector<Picture>& pictures, uint64_t seed) {
  std::mt19937_64 generator(seed);
  for (size_t i = pictures.size(); i > 1; --i) {
    std::swap(pictures[i - 1], pictures[generator() % i]);
  }
}

Result<std::vector<Picture>> Finder::find() {
  for (const std::string& place : selection_.places) FASTVLM_RETURN_IF_ERROR(add_place(place));
  for (const std::string& file : selection_.listed) add(file, "");
  FASTVLM_RETURN_IF_ERROR(clash_);
  std::vector<Picture> pictures;
  for (auto& [name, path] : path_by_name_) pictures.push_back({std::move(path), name});
  if (pictures.empty()) {
    return error(Code::kNotFound, "no picture is left after --include and --exclude",
                 "a pattern without / is compared with the file's name, one with / with the whole "
                 "path");
  }
  if (selection_.shuffle) shuffle(pictures, selection_.seed);
  if (selection_.limit > 0 && pictures.size() > selection_.limit) {
    pictures.resize(selection_.limit);
  }
  const Shard& shard = selection_.shard;
  std::vector<Picture> part;
  for (size_t i = shard.index; i < pictures.size(); i += shard.count) {
    part.push_back(std::move(pictures[i]));
  }
  return part;
}

}  // namespace

std::string output_name(const fs::path& path) {
  fs::path inside;
  for (const fs::path& part : path.lexically_normal().relative_path()) {
    if (part != ".." && part != ".") inside /= part;
  }
  return as_utf8(inside.string());
}

bool fits(std::string_view pattern, std::string_view name) {
  if (pattern.find('/') == std::string_view::npos) name = name.substr(name.rfind('/') + 1);
  return fits_whole(pattern, name);
}

bool is_wanted(const std::vector<std::string>& include, const std::vector<std::string>& exclude,
               const std::string& name) {
  return (include.empty() || any_fits(include, name)) && !any_fits(exclude, name);
}

bool is_pattern(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool has_picture_name(const fs::path& path) {
  constexpr std::array<std::string_view, 8> kKnown = {".jpg", ".jpeg", ".png",  ".webp",
                                                      ".bmp", ".heic", ".heif", ".avif"};
  const std::string extension = lower_case(path.extension().string());
  return std::find(kKnown.begin(), kKnown.end(), extension) != kKnown.end();
}

Result<std::vector<Picture>> find_pictures(const Selection& selection) {
  return Finder(selection).find();
}

std::vector<std::string> list_entries(std::string_view text, char separator) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (separator == '\n' && text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  std::vector<std::string> entries;
  for (std::string& entry : split(text, separator)) {
    if (separator == '\n' && entry.ends_with('\r')) entry.pop_back();
    if (!entry.empty()) entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace fastvlm
