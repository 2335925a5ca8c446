// SPDX-License-Identifier: Apache-2.0
#include "formats/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr size_t kMostDimensions = 16;

// Receives the events of nlohmann's parser; returning false stops it.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  const std::string& fault() const { return fault_; }
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return refuse("null"); }
  bool boolean(bool /*value*/) override { return refuse("a truth value"); }
  bool number_float(double /*value*/, const std::string& /*text*/) override {
    return refuse("a number that is no 64-bit integer");
  }
  bool binary(binary_t& /*value*/) override { return refuse("binary data"); }
  bool number_integer(int64_t value) override { return refuse(cat("the negative number ", value)); }

  bool number_unsigned(uint64_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return refuse("a number");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return refuse(cat("the number ", value));
    }
    if (place_ == Place::kShape) {
      if (entry_.shape.size() == kMostDimensions) return refuse("more than 16 dimensions");
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_ == 2) return refuse("a third offset");
      (offsets_ == 0 ? entry_.begin : entry_.end) = value;
      ++offsets_;
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata.insert_or_assign(key_, std::move(value));
      return true;
    }
    if (place_ != Place::kTensor || key_ != "dtype") return refuse("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_object(size_t /*size*/) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop) {
      place_ = name_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
      entry_ = {};
      offsets_ = 0;
      fields_.clear();
    } else {
      return refuse("an object");
    }
    return true;
  }

  bool key(std::string& value) override {
    if (place_ == Place::kTop) {
      name_ = std::move(value);
      key_.clear();
      if (!names_.insert(name_).second) return refuse("the name a second time");
      return true;
    }
    key_ = std::move(value);
    if (place_ == Place::kTensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets") {
      return refuse("an unknown field");
    }
    if (!fields_.insert(key_).second) return refuse("the field a second time");
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (fields_.size() != 3 || offsets_ != 2) {
        key_.clear();
        return refuse("an entry without dtype, shape and two data_offsets");
      }
      header_.tensors.emplace(name_, std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(size_t /*size*/) override {
    if (place_ != Place::kTensor || key_ == "dtype") return refuse("a list");
    place_ = key_ == "shape" ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*reason*/) override {
    fault_ = cat("is not valid JSON at byte ", position);
    return false;
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool refuse(const std::string& what) {
    fault_ = cat("has ", what);
    if (!name_.empty()) fault_ += cat(" at `", name_, "`");
    if (!key_.empty()) fault_ += cat(", field `", key_, "`");
    return false;
  }

  SafetensorsHeader header_;
  std::set<std::string> names_;   // top-level keys so far
  std::set<std::string> fields_;  // keys of the current object so far
  Place place_ = Place::kOutside;
  std::string name_;  // the current top-level key
  std::string key_;   // the current key inside it
  HeaderEntry entry_;
  int offsets_ = 0;
  std::string fault_;
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, std::string_view label) {
  // The format allows spaces behind the object, and its reference writer pads with them.
  HeaderReader reader;
  if (json.empty() || json.front() != '{' ||
      !nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    const std::string fault = reader.fault().empty() ? "is not a JSON object" : reader.fault();
    return error(Code::kInvalid, cat(label, ": the safetensors header ", fault),
                 "check that this is the right file, or download it again");
  }
  return reader.take();
}

}  // namespace fastvlm
