// SPDX-License-Identifier: Apache-2.0
// fastvlm rate DIR: a page on this machine on which people rate captions, and what they said.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/page_server.h"
#include "evaluate/rating.h"
#include "evaluate/text_files.h"
#include "image/decode.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct RateCommand {
  std::string folder;
  int port = 0;
  bool summary = false;
  bool json = false;

  Status run() const;
};

std::string dumped(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

PageAnswer refused_as_json(int status, const std::string& why) {
  return {status, "application/json", dumped({{"error", why}})};
}

// The items in the rater's order; nothing tells which model an item is from.
PageAnswer items_answer(const RatingStudy& study, const std::string& rater) {
  Json list = Json::array();
  for (const size_t item : study.order_for(rater)) {
    const RatingItem& shown = study.items()[item];
    const Rating* rating = study.find(rater, item);
    list.push_back(
        {{"item", item},
         {"caption", shown.caption},
         {"picture", !shown.picture.empty()},
         {"answers", rating != nullptr ? rating->answers : decltype(rating->answers){}}});
  }
  return {200, "application/json", dumped({{"items", list}})};
}

PageAnswer picture_answer(const RatingStudy& study, const std::string& number) {
  const Json item = Json::parse(number, nullptr, false);
  if (!item.is_number_unsigned() || item >= study.items().size() ||
      study.items()[item.get<size_t>()].picture.empty()) {
    return refused_as_json(404, "no such picture");
  }
  const Result<MappedFile> file = MappedFile::open(study.items()[item.get<size_t>()].picture);
  if (!file.ok()) return refused_as_json(404, file.status().message);
  const std::span<const std::byte> bytes = file->bytes();
  return {200, "image/" + lower_case(format_name(sniff(bytes))), std::string(text_of(bytes))};
}

// {"rater": "Ann", "item": 3, "question": 0, "value": 5}
PageAnswer rate_answer(RatingStudy& study, const std::string& body) {
  const Json request = Json::parse(body, nullptr, false);
  const auto number = [&request](const char* key) {
    const Json value = request.is_object() ? request.value(key, Json()) : Json();
    return value.is_number_integer() && value >= 0 && value < 1000000000 ? value.get<int>() : -1;
  };
  const Json rater = request.is_object() ? request.value("rater", Json()) : Json();
  const int question = number("question");
  const int item = number("item");
  if (!rater.is_string() || item < 0 || question < 0 ||
      question >= static_cast<int>(kQuestionCount)) {
    return refused_as_json(400, "expected rater, item, question and value");
  }
  const Status status = study.answer(rater.get<std::string>(), static_cast<size_t>(item),
                                     static_cast<Question>(question), number("value"));
  if (!status.ok()) return refused_as_json(status.code == Code::kUsage ? 400 : 500, status.message);
  return {200, "application/json", dumped({{"saved", true}})};
}

PageAnswer answer(RatingStudy& study, const PageRequest& request) {
  if (request.method == "POST") {
    return request.path == "/api/rate" ? rate_answer(study, request.body)
                                       : refused_as_json(404, "no such page");
  }
  if (request.path == "/") {
    return {200, "text/html; charset=utf-8", std::string(rating_page_text())};
  }
  if (request.path == "/api/items") {
    return items_answer(study, query_value(request.query, "rater"));
  }
  constexpr std::string_view kPicture = "/picture/";
  if (request.path.starts_with(kPicture)) {
    return picture_answer(study, request.path.substr(kPicture.size()));
  }
  return refused_as_json(404, "no such page");
}

Status RateCommand::run() const {
  FASTVLM_ASSIGN(RatingStudy study, RatingStudy::open(folder));
  if (summary) {
    const RatingSummary found = summarize(study);
    return print(json ? to_json(found) : to_table(found));
  }
  FASTVLM_ASSIGN(const PageServer server, PageServer::listen(port));
  note(cat(study.items().size(), " captions to rate; open the page, and end with Ctrl-C"));
  FASTVLM_RETURN_IF_ERROR(print(server.address() + "\n"));
  return server.serve([&study](const PageRequest& request) { return answer(study, request); });
}

}  // namespace

void add_rate(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<RateCommand>();
  CLI::App* app = program.add_subcommand("rate", "Let people rate captions on a local page");
  app->add_option("folder", command->folder,
                  "Folder with a file of captions for each model, and the pictures")
      ->required()
      ->option_text("DIR");
  app->add_option("--port", command->port, "Port on 127.0.0.1; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app->add_flag("--summary", command->summary, "Means, intervals and agreement of the ratings");
  app->add_flag("--json", command->json, "The summary as one JSON object");
  app->callback([command, &chosen] {
    chosen = [command] {
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli
