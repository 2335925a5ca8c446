// SPDX-License-Identifier: Apache-2.0
// Which pictures a run is about. Goals: files, folders, patterns and lists in any mix; an order
// that depends on nothing but the names; no picture lost without a word. Non-goals: reading
// pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct Picture {
  std::string path;  // as it can be opened
  // How outputs name it, in UTF-8 (bytes that are none as %E9): where it lies below the folder that
  // was given, or below the fixed part of an absolute pattern; else the path as it was given, of an
  // absolute one the last part. Never absolute, never out of its folder ("..").
  std::string name;
};

// Part `index` of `count` equal ones.
struct Shard {
  size_t index = 0;
  size_t count = 1;
};

struct Selection {
  std::vector<std::string> places = {};   // files, folders, patterns ("photos/**/*.jpg")
  std::vector<std::string> listed = {};   // files only, taken as they are: no pattern, no folder
  bool recursive = false;                 // folders within folders too
  std::vector<std::string> include = {};  // patterns; none: all pictures
  std::vector<std::string> exclude = {};  // patterns, of folders too
  std::filesystem::path root = {};        // names are relative to it; empty: as above
  bool shuffle = false;
  uint64_t seed = 0;  // of the shuffling
  size_t limit = 0;   // the first so many; 0: all
  Shard shard = {};   // of what is then left: every count-th
};

// The name in outputs of what lies at `path` below a folder.
std::string output_name(const std::filesystem::path& path);

// Does `pattern` fit? `*` and `?` stand for characters of one name, `[a-z]` and `[!a-z]` for one
// character, `**` for any folders. Without `/` the last part of `name` is looked at.
bool fits(std::string_view pattern, std::string_view name);
bool is_pattern(std::string_view text);  // holds *, ? or [

// Does one of `include` fit, or is there none, and none of `exclude`?
bool is_wanted(const std::vector<std::string>& include, const std::vector<std::string>& exclude,
               const std::string& name);

// By its ending, in capital letters or small ones: .jpg, .jpeg, .png, .webp, .bmp, .heic, .heif,
// .avif.
bool has_picture_name(const std::filesystem::path& path);

// Sorted by name, or shuffled. In folders and patterns hidden files and folders and what is no
// picture by its name are left out, and links to folders are not followed; files that are named are
// taken whatever they are, also when they do not exist. Errors: kNotFound (a place without
// pictures, nothing left), kIo (a folder that cannot be listed), kUsage (two pictures of one name).
Result<std::vector<Picture>> find_pictures(const Selection& selection);

// The lines of a list of files, empty ones left out; `separator` is '\n' (a CR before it goes, and
// a byte order mark at the beginning) or '\0'.
std::vector<std::string> list_entries(std::string_view text, char separator);

}  // namespace fastvlm
