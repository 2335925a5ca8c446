// SPDX-License-Identifier: Apache-2.0
// fastvlm doctor MODEL: what is wrong with a checkpoint folder, and what to do about it.
#include <memory>
#include <nlohmann/json.hpp>

#include "caption/checkup.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"

namespace fastvlm::cli {
namespace {

struct DoctorCommand {
  ModelFlags model;
  bool json = false;

  Exit run() const;
};

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kNote:
      return "note";
    case Verdict::kBad:
      break;
  }
  return "bad";
}

std::string as_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += cat(verdict_name(finding.verdict), finding.verdict == Verdict::kBad ? "   " : "  ",
                finding.check, ": ", finding.found, "\n");
    if (!finding.remedy.empty()) text += cat("      -> ", finding.remedy, "\n");
  }
  return text;
}

std::string as_json(const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"verdict", verdict_name(finding.verdict)},
                    {"check", finding.check},
                    {"found", finding.found},
                    {"remedy", finding.remedy}});
  }
  const nlohmann::ordered_json object = {{"healthy", !any_bad(findings)}, {"findings", list}};
  return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Exit DoctorCommand::run() const {
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto found = find_model(model.model);
  if (!found.ok()) return report(found.status());
  const std::vector<Finding> findings = examine_model(found->folder, model.tower_path(), **pool);
  if (const Status written = print(json ? as_json(findings) : as_text(findings)); !written.ok()) {
    return report(written);
  }
  return any_bad(findings) ? kBadInput : kDone;
}

}  // namespace

void add_doctor(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<DoctorCommand>();
  CLI::App* app =
      program.add_subcommand("doctor", "Look a checkpoint folder over for known mistakes");
  app->add_option("model", command->model.model,
                  "Checkpoint folder or pulled model [FASTVLM_MODEL, or the demo]")
      ->option_text("MODEL");
  app->add_flag("--json", command->json, "One JSON object");
  app->add_option("--vision-tower", command->model.vision_tower,
                  "Vision tower: file or folder, if not in the model");
  command->model.add_machine_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
