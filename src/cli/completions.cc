// SPDX-License-Identifier: Apache-2.0
// Completions for three shells. Each finds the command from the words before the cursor, then
// offers its sub-commands and options, the values of an option that takes one of a few, else files.
#include "base/strings.h"
#include "cli/manual.h"

namespace fastvlm::cli {
namespace {

// "--model" and "-r", as they are typed.
std::vector<std::string> spellings(const CLI::Option& option) {
  std::vector<std::string> all;
  for (const std::string& name : option.get_snames()) all.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) all.push_back("--" + name);
  return all;
}

// In single quotes, which bash and zsh read alike.
std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The same for fish, where a backslash escapes inside quotes.
std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// 'fastvlm caption'|'fastvlm info'; separated as the shell wants it.
std::string command_names(const CLI::App& program, const std::string& separator) {
  std::string out;
  for (const ManualCommand& command : all_commands(program)) {
    if (command.app == &program) continue;
    out += cat(out.empty() ? "" : separator, single_quoted(command.name));
  }
  return out;
}

// Cases of `"command option"`, each with the values of the option.
std::string choice_cases(const CLI::App& program, const std::string& before,
                         const std::string& after) {
  std::string out;
  for (const ManualCommand& command : all_commands(program)) {
    for (const CLI::Option* option : command.app->get_options()) {
      const std::vector<std::string> choices = choices_of(*option);
      if (choices.empty()) continue;
      for (const std::string& spelling : spellings(*option)) {
        out += cat("    ", single_quoted(cat(command.name, " ", spelling)), ") ", before,
                   joined(choices, " "), after, "\n");
      }
    }
  }
  return out;
}

}  // namespace

std::string bash_completions(const CLI::App& program) {
  std::string words;
  for (const ManualCommand& command : all_commands(program)) {
    std::string options;
    std::string below;
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& spelling : spellings(*option)) options += cat(" ", spelling);
    }
    for (const CLI::App* app : command.app->get_subcommands(nullptr)) {
      below += cat(" ", app->get_name());
    }
    words += cat("    ", single_quoted(command.name), ") options=", single_quoted(trimmed(options)),
                 " commands=", single_quoted(trimmed(below)), " ;;\n");
  }
  return cat(
      "# fastvlm's completions for bash, made by `fastvlm dev completions bash`.\n"
      "_fastvlm() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local at=fastvlm word options= commands= choices=\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$at $word\" in\n    ",
      command_names(program, "|"), ") at+=\" $word\" ;;\n    esac\n  done\n",
      "  case \"$at $before\" in\n", choice_cases(program, "choices='", "' ;;"),
      "  esac\n  case \"$at\" in\n", words,
      "  esac\n"
      "  if [ -n \"$choices\" ]; then\n"
      "    COMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
      "  elif [[ $current == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"$commands\" -- \"$current\") $(compgen -f -- \"$current\"))\n"
      "  fi\n"
      "}\n"
      "complete -o filenames -F _fastvlm fastvlm\n");
}

std::string zsh_completions(const CLI::App& program) {
  const auto entry = [](std::string name, const std::string& description) {
    for (size_t at = 0; (at = name.find(':', at)) != std::string::npos; at += 2) {
      name.insert(at, "\\");
    }
    return cat(" ", single_quoted(cat(name, ":", description)));
  };
  std::string words;
  for (const ManualCommand& command : all_commands(program)) {
    words += cat("    ", single_quoted(command.name), ")\n      options=(");
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& spelling : spellings(*option)) {
        words += entry(spelling, option->get_description());
      }
    }
    words += ")\n      commands=(";
    for (const CLI::App* app : command.app->get_subcommands(nullptr)) {
      words += entry(app->get_name(), app->get_description());
    }
    words += ") ;;\n";
  }
  return cat(
      "#compdef fastvlm\n"
      "# fastvlm's completions for zsh, made by `fastvlm dev completions zsh`.\n"
      "_fastvlm() {\n"
      "  local at=fastvlm word\n"
      "  local -a options commands choices\n"
      "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
      "    case \"$at $word\" in\n    ",
      command_names(program, "|"), ") at+=\" $word\" ;;\n    esac\n  done\n",
      "  case \"$at ${words[CURRENT-1]}\" in\n", choice_cases(program, "choices=(", ") ;;"),
      "  esac\n  case \"$at\" in\n", words,
      "  esac\n"
      "  if (( $#choices )); then\n"
      "    compadd -a choices\n"
      "  elif [[ $PREFIX == -* ]]; then\n"
      "    _describe -o option options\n"
      "  else\n"
      "    (( $#commands )) && _describe command commands\n"
      "    _files\n"
      "  fi\n"
      "}\n"
      "_fastvlm \"$@\"\n");
}

std::string fish_completions(const CLI::App& program) {
  std::string out =
      cat("# fastvlm's completions for fish, made by `fastvlm dev completions fish`.\n"
          "function __fastvlm_command\n"
          "    set -l at fastvlm\n"
          "    set -l before (commandline -opc)\n"
          "    for word in $before[2..-1]\n"
          "        switch \"$at $word\"\n            case ",
          command_names(program, " "),
          "\n                set at \"$at $word\"\n        end\n    end\n"
          "    echo $at\nend\n");
  for (const ManualCommand& command : all_commands(program)) {
    const std::string start =
        cat("complete -c fastvlm -n ",
            fish_quoted(cat("test (__fastvlm_command) = \"", command.name, "\"")));
    for (const CLI::App* app : command.app->get_subcommands(nullptr)) {
      out += cat(start, " -a ", app->get_name(), " -d ", fish_quoted(app->get_description()), "\n");
    }
    for (const CLI::Option* option : command.app->get_options()) {
      if (option->get_positional()) continue;
      std::string line = start;
      for (const std::string& name : option->get_snames()) line += cat(" -s ", name);
      for (const std::string& name : option->get_lnames()) line += cat(" -l ", name);
      const std::vector<std::string> choices = choices_of(*option);
      if (!choices.empty()) line += cat(" -x -a ", fish_quoted(joined(choices, " ")));
      if (choices.empty() && option->get_items_expected_max() > 0) line += " -r";
      out += cat(line, " -d ", fish_quoted(option->get_description()), "\n");
    }
  }
  return out;
}

}  // namespace fastvlm::cli
