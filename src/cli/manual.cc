// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include "base/strings.h"
#include "caption/caption_json.h"

namespace fastvlm::cli {
namespace {

void collect(const std::string& above, const CLI::App& app, std::vector<ManualCommand>& all) {
  const std::string name = above.empty() ? app.get_name() : cat(above, " ", app.get_name());
  all.push_back({name, &app});
  for (const CLI::App* below : app.get_subcommands(nullptr)) collect(name, *below, all);
}

// Text as roff takes it: no line of it is a request, and signs stay what they are.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

// "--model TEXT [0.5]", as --help shows it.
std::string signature(const CLI::Option& option) {
  std::string text = option.get_name(option.get_positional(), true);
  if (!option.get_option_text().empty()) return cat(text, " ", option.get_option_text());
  if (option.get_type_size() == 0) return text;
  const std::string type = option.get_type_name();
  if (!type.empty()) text += cat(" ", type);
  if (!option.get_default_str().empty()) text += cat(" [", option.get_default_str(), "]");
  if (option.get_required()) text += " (required)";
  return text;
}

std::string option_entries(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : app.get_options()) {
    out += cat(".TP\n.B ", roff(signature(*option)), "\n", roff(option->get_description()), "\n");
  }
  return out;
}

}  // namespace

std::vector<ManualCommand> all_commands(const CLI::App& program) {
  std::vector<ManualCommand> all;
  collect("", program, all);
  return all;
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();  // "TEXT:{pad,crop}"
  const size_t begin = type.find(":{");
  const size_t end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  return split(type.substr(begin + 2, end - begin - 2), ',');
}

std::string manual_page(const CLI::App& program) {
  const std::vector<ManualCommand> all = all_commands(program);
  std::string out =
      cat(".TH FASTVLM 1 \"\" \"fastvlm ", program_version(), "\" \"User Commands\"\n",
          ".SH NAME\nfastvlm \\- describes pictures with FastVLM, on the CPU\n",
          ".SH SYNOPSIS\n.B fastvlm\n.I COMMAND\n[\\fIOPTION\\fR...]\n", ".SH OPTIONS\n",
          option_entries(program), ".SH COMMANDS\n");
  for (size_t i = 1; i < all.size(); ++i) {
    out += cat(".SS ", roff(all[i].name), "\n", roff(all[i].app->get_description()), ".\n",
               option_entries(*all[i].app));
  }
  out +=
      ".SH EXIT STATUS\n"
      "0: done. 1: wrong use. 2: input, model or output bad. 3: some of several pictures failed. "
      "4: a check missed its bound. 130: interrupted.\n"
      ".SH ENVIRONMENT\n.TP\n.B FASTVLM_MODEL\nThe model where \\-\\-model is not given.\n"
      ".TP\n.B XDG_CACHE_HOME\nHolds fastvlm/models, the models that were pulled.\n";
  return out;
}

}  // namespace fastvlm::cli
