// SPDX-License-Identifier: Apache-2.0
// fastvlm pull, fastvlm models: getting checkpoints and data sets onto this machine, and seeing
// what is there.
#include "hub/pull.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "hub/data_set.h"

namespace fastvlm::cli {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// One line on a terminal that is drawn again as bytes arrive; elsewhere one line a finished file.
class ProgressLine {
 public:
  void show(const std::string& file, uint64_t done, std::optional<uint64_t> total) {
    const Clock::time_point now = Clock::now();
    const bool finished = total && done == *total;
    if (file != file_) {
      file_ = file;
      first_done_ = done;
      started_ = now;
    } else if (!finished && now - drawn_ < std::chrono::milliseconds(200)) {
      return;
    }
    drawn_ = now;
    std::string line = cat(printable(file), "  ", megabytes(static_cast<double>(done)));
    if (total && !finished) {
      line += cat(" of ", megabytes(static_cast<double>(*total)), "  ",
                  done * 100 / std::max<uint64_t>(*total, 1), " %");
    }
    const double seconds = std::chrono::duration<double>(now - started_).count();
    if (seconds > 0.5)
      line += cat(
          "  ", megabytes(static_cast<double>(done - std::min(done, first_done_)) / seconds), "/s");
    if (terminal_) {
      std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), finished ? "\n" : "");
    } else if (finished) {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::string file_;
  uint64_t first_done_ = 0;
  Clock::time_point started_;
  Clock::time_point drawn_;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// Shows the licence and asks, unless the user has agreed beforehand.
Status agree(const PullPlan& plan, bool accepted) {
  const std::string from =
      plan.source.repository.empty() ? plan.source.url : plan.source.repository;
  std::string size = plan.bytes > 0 ? cat(", ", megabytes(static_cast<double>(plan.bytes))) : "";
  note(cat(plan.source.name, " from ", from,
           plan.revision.empty() ? "" : cat(" at ", plan.revision), ": ", plan.files,
           plan.files == 1 ? " file" : " files", size));
  note(cat("licence: ", printable(plan.license)));
  if (accepted) return {};
  if (::isatty(STDIN_FILENO) != 1) {
    return error(Code::kUsage, "the licence has not been accepted",
                 "read it, then add --accept-license");
  }
  std::fputs("Do you accept it and want the download? [y/N] ", stderr);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return {};
  return error(Code::kInterrupted, "nothing was downloaded", "");
}

json to_json(const PulledModel& model) {
  json files = json::array();
  for (const PulledFile& file : model.files) {
    files.push_back({{"path", file.path},
                     {"bytes", file.bytes},
                     {"sha256", file.sha256},
                     {"verified", file.verified}});
  }
  return {{"name", model.name},       {"folder", model.folder.string()},
          {"source", model.source},   {"revision", model.revision},
          {"license", model.license}, {"complete", model.complete},
          {"files", std::move(files)}};
}

std::string dump(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

struct PullArguments {
  std::string what;
  std::string hub;
  std::string name;
  bool accept_license = false;
  bool as_json = false;
};

Result<PulledModel> run_pull(const PullArguments& arguments) {
  PullOptions options;
  const std::string mirror = environment("FASTVLM_HUB");
  if (!arguments.hub.empty())
    options.hub = arguments.hub;
  else if (!mirror.empty())
    options.hub = mirror;
  while (options.hub.ends_with('/')) options.hub.pop_back();
  FASTVLM_RETURN_IF_ERROR(check_url(options.hub));
  options.token = environment("HF_TOKEN");
  options.name = arguments.name;
  if (!options.name.empty()) FASTVLM_RETURN_IF_ERROR(check_model_name(options.name));
  FASTVLM_ASSIGN(options.models, models_folder());
  FASTVLM_ASSIGN(const ModelSource source, find_source(arguments.what, options.hub));
  ProgressLine progress;
  const HttpClient client;
  return pull(
      client, source, options,
      [&](const PullPlan& plan) { return agree(plan, arguments.accept_license); },
      [&](const std::string& file, uint64_t done, std::optional<uint64_t> total) {
        progress.show(file, done, total);
      });
}

Result<PulledModel> run_pull_data_set(const PullArguments& arguments, const DataSetSource& source) {
  FASTVLM_ASSIGN(const std::filesystem::path folder, data_sets_folder());
  ProgressLine progress;
  return pull_data_set(
      HttpClient(), source, folder,
      [&](const PullPlan& plan) { return agree(plan, arguments.accept_license); },
      [&](const std::string& file, uint64_t done, std::optional<uint64_t> total) {
        progress.show(file, done, total);
      });
}

Exit pull_data_set_command(const PullArguments& arguments, const DataSetSource& source) {
  if (!arguments.hub.empty() || !arguments.name.empty()) {
    return report(
        error(Code::kUsage, cat(source.name, ": --hub and --as are for models"), "leave them out"));
  }
  const auto data = run_pull_data_set(arguments, source);
  if (!data.ok()) return report(data.status());
  note("ready: see `fastvlm dataset build --help`");
  const Status written =
      print(arguments.as_json ? dump(to_json(*data)) : cat(printable(data->folder.string()), "\n"));
  return written.ok() ? kDone : report(written);
}

Exit pull_command(const PullArguments& arguments) {
  if (const DataSetSource* source = find_data_set(arguments.what)) {
    return pull_data_set_command(arguments, *source);
  }
  const auto model = run_pull(arguments);
  if (!model.ok()) return report(model.status());
  const bool checkpoint = std::filesystem::exists(model->folder / "config.json");
  if (checkpoint) note(cat("ready: fastvlm caption IMAGE --model ", model->name));
  const Status written = print(arguments.as_json ? dump(to_json(*model))
                                                 : cat(printable(model->folder.string()), "\n"));
  return written.ok() ? kDone : report(written);
}

Exit known_command() {
  std::string text;
  for (const ModelSource& model : model_catalog())
    text += cat(model.name, "\n    ", model.about, "\n    ", model.license, "\n");
  for (const DataSetSource& data : data_set_catalog())
    text += cat(data.name, "\n    ", data.about, "\n    ", data.license, "\n");
  const Status written = print(text);
  return written.ok() ? kDone : report(written);
}

Exit models_command(bool as_json) {
  const auto folder = models_folder();
  if (!folder.ok()) return report(folder.status());
  const auto models = list_models(*folder);
  if (!models.ok()) return report(models.status());
  std::string text;
  json all = json::array();
  for (const PulledModel& model : *models) {
    all.push_back(to_json(model));
    const std::string state = model.complete ? megabytes(static_cast<double>(model.bytes()))
                                             : "not complete: pull it again";
    text += cat(printable(model.name), "  ", state, "  ", printable(model.folder.string()), "\n");
    if (!model.license.empty()) text += cat("    licence: ", printable(model.license), "\n");
  }
  if (models->empty())
    note(cat("no models in ", folder->string(), "; `fastvlm pull --list` shows the known ones"));
  const Status written = print(as_json ? dump(all) : text);
  return written.ok() ? kDone : report(written);
}

}  // namespace

void add_pull(CLI::App& program, Command& chosen) {
  auto arguments = std::make_shared<PullArguments>();
  auto list = std::make_shared<bool>(false);
  CLI::App* pull = program.add_subcommand("pull", "Download a model or a data set over HTTPS");
  pull->add_option("NAME-OR-URL", arguments->what,
                   "A known name (--list), owner/repository of the hub, or the https:// address of "
                   "a .safetensors or .zip");
  pull->add_flag("--list", *list, "Show what is known by name, with its licences");
  pull->add_flag("--accept-license", arguments->accept_license,
                 "The licence has been read and accepted: do not ask");
  pull->add_option("--as", arguments->name, "The name to keep it under");
  pull->add_option("--hub", arguments->hub,
                   "Base address of the hub (default: $FASTVLM_HUB, else Hugging Face)");
  pull->add_flag("--json", arguments->as_json, "Print what was pulled as JSON");
  pull->footer(
      "A pull that was cut off goes on where it stopped. Gated models need an access token in "
      "$HF_TOKEN.");
  pull->callback([&chosen, arguments, list] {
    if (*list) {
      chosen = known_command;
    } else if (arguments->what.empty()) {
      throw CLI::RequiredError("NAME-OR-URL");
    } else {
      chosen = [arguments] { return pull_command(*arguments); };
    }
  });

  auto as_json = std::make_shared<bool>(false);
  CLI::App* models = program.add_subcommand("models", "List the models that have been pulled");
  models->add_flag("--json", *as_json, "Print JSON");
  models->callback([&chosen, as_json] { chosen = [as_json] { return models_command(*as_json); }; });
}

}  // namespace fastvlm::cli
