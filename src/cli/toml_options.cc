// SPDX-License-Identifier: Apache-2.0
#include "cli/toml_options.h"

#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "base/mapped_file.h"
#include "base/strings.h"

namespace fastvlm::cli {
namespace {

constexpr size_t kLargestFile = size_t{1} << 20;

// A value as it would stand on the command line; none: it cannot.
std::optional<std::string> argument(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* whole = node.as_integer()) return cat(whole->get());
  if (const auto* number = node.as_floating_point()) {
    std::ostringstream out;
    out.precision(17);
    out << number->get();
    return std::move(out).str();
  }
  const auto* list = node.as_array();
  if (list == nullptr) return std::nullopt;
  std::string joined;
  for (const toml::node& element : *list) {
    const std::optional<std::string> part = argument(element);
    if (!part || element.is_array()) return std::nullopt;
    joined += joined.empty() ? *part : "," + *part;
  }
  return joined;
}

class Setter {
 public:
  Setter(const std::filesystem::path& path, CLI::App& command)
      : file_(path.string()), command_(command) {}

  Status set_table(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      std::string name = prefix + std::string(key.str());
      std::replace(name.begin(), name.end(), '_', '-');
      if (const toml::table* inner = node.as_table()) {
        FASTVLM_RETURN_IF_ERROR(set_table(*inner, name + "-"));
      } else {
        FASTVLM_RETURN_IF_ERROR(set(name, node));
      }
    }
    return {};
  }

 private:
  Status set(const std::string& name, const toml::node& node) {
    CLI::Option* const option = command_.get_option_no_throw("--" + name);
    if (option == nullptr || name == "config" || name == "help") {
      return wrong(name, node, "no such option",
                   cat("see fastvlm ", command_.get_name(), " --help"));
    }
    if (option->count() > 0) return {};
    const std::optional<std::string> value = argument(node);
    if (!value) return wrong(name, node, "expected a number, a text, true or false", "mend it");
    if (*value == "false" && option->get_items_expected_max() == 0) return {};
    try {
      option->add_result(*value);
      option->run_callback();
    } catch (const CLI::ParseError& problem) {
      return wrong(name, node, problem.what(), "mend it");
    }
    return {};
  }

  Status wrong(const std::string& name, const toml::node& node, const std::string& what,
               const std::string& hint) const {
    return error(Code::kUsage,
                 cat(file_, ":", node.source().begin.line, ": key `", printable(name),
                     "`: ", printable(what)),
                 hint);
  }

  std::string file_;
  CLI::App& command_;
};

}  // namespace

Status apply_toml(const std::filesystem::path& path, CLI::App& command) {
  FASTVLM_ASSIGN(const std::string text, read_text_file(path, kLargestFile));
  // Each dot of a name, also in an inline table, is a level of tables, which are gone through and
  // given back by recursion. A string may hold a sign of equality: whole lines are looked at.
  int64_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (trimmed(line).starts_with('#') || std::count(line.begin(), line.end(), '.') <= 32) continue;
    return error(Code::kUsage,
                 cat(path.string(), ":", number, ": expected at most 32 dots in a line"),
                 "mend the file");
  }
  try {
    const toml::table table = toml::parse(text);
    return Setter(path, command).set_table(table, "");
  } catch (const toml::parse_error& problem) {
    return error(Code::kUsage,
                 cat(path.string(), ":", problem.source().begin.line,
                     ": expected TOML: ", printable(problem.description())),
                 "mend the file");
  }
}

}  // namespace fastvlm::cli
