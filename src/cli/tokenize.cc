// SPDX-License-Identifier: Apache-2.0
// fastvlm tokenize and detokenize: lines of stdin to lines of stdout, for comparing tokenizers.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "text/tokenizer.h"

namespace fastvlm::cli {
namespace {

using nlohmann::json;

struct TokenizeCommand {
  std::string tokenizer;
  bool jsonl = false;
  bool skip_special = false;
};

constexpr size_t kLongestText = size_t{64} << 20;

// The next line of stdin without its end; false at the end of the input.
Result<bool> read_line(std::string& line) {
  line.clear();
  int c = ::getc_unlocked(stdin);
  const bool any = c != EOF;
  for (; c != EOF && c != '\n'; c = ::getc_unlocked(stdin)) {
    if (line.size() == kLongestText) {
      return error(Code::kLimit, cat("stdin: a line is longer than ", kLongestText, " bytes"),
                   "split the text");
    }
    line.push_back(static_cast<char>(c));
  }
  if (std::ferror(stdin) != 0) {
    return error(Code::kIo, cat("stdin: cannot be read: ", std::strerror(errno)),
                 "give a file or a pipe with one text a line");
  }
  return any;
}

// Calls fn(line) -> Result<std::string> for each line of stdin and prints what it returns.
template <typename Function>
Status for_each_line(const Function& fn) {
  size_t number = 0;
  for (std::string line;; ++number) {
    FASTVLM_ASSIGN(const bool more, read_line(line));
    if (!more) break;
    const Result<std::string> out = fn(line);
    if (!out.ok()) {
      Status status = out.status();
      status.message = cat("stdin: line ", number + 1, ": ", status.message);
      return status;
    }
    FASTVLM_RETURN_IF_ERROR(print(*out + "\n"));
  }
  return {};
}

Result<std::string> ids_of_line(const Tokenizer& tokenizer, const std::string& line, bool jsonl) {
  std::string text = line;
  if (jsonl) {
    const json value = json::parse(line, nullptr, false);
    if (!value.is_string()) {
      return error(Code::kInvalid, "expected a JSON string", "quote each line, as in \"a dog\"");
    }
    text = value.get<std::string>();
  }
  FASTVLM_ASSIGN(const std::vector<TokenId> ids, tokenizer.encode(text, Trust::kTrusted));
  return json(ids).dump();
}

Result<std::string> text_of_line(const Tokenizer& tokenizer, const std::string& line,
                                 bool skip_special) {
  const json value = json::parse(line, nullptr, false);
  std::vector<TokenId> ids;
  bool good = value.is_array();
  for (size_t i = 0; good && i < value.size(); ++i) {
    good = value[i].is_number_unsigned() && value[i].get<uint64_t>() <= INT32_MAX;
    if (good) ids.push_back(value[i].get<TokenId>());
  }
  if (!good) {
    return error(Code::kInvalid, "expected a JSON array of token ids",
                 "write each line as in [9707, 11]; ids are not negative");
  }
  return json(tokenizer.decode(ids, skip_special))
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

CLI::App* add_command(CLI::App& program, const std::string& name, const std::string& about,
                      const std::shared_ptr<TokenizeCommand>& command) {
  CLI::App* app = program.add_subcommand(name, about);
  app->add_option("--tokenizer", command->tokenizer,
                  "Folder with tokenizer.json, or vocab.json and merges.txt")
      ->required();
  return app;
}

Exit exit_of(const Status& status) {
  return status.ok() ? kDone : report(status);
}

Status tokenize(const TokenizeCommand& command) {
  FASTVLM_ASSIGN(const Tokenizer tokenizer, Tokenizer::load(command.tokenizer));
  return for_each_line(
      [&](const std::string& line) { return ids_of_line(tokenizer, line, command.jsonl); });
}

Status detokenize(const TokenizeCommand& command) {
  FASTVLM_ASSIGN(const Tokenizer tokenizer, Tokenizer::load(command.tokenizer));
  return for_each_line(
      [&](const std::string& line) { return text_of_line(tokenizer, line, command.skip_special); });
}

}  // namespace

void add_tokenize(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<TokenizeCommand>();
  CLI::App* to_ids =
      add_command(program, "tokenize", "Texts on stdin, a line each, to token ids", command);
  to_ids->add_flag("--jsonl", command->jsonl, "Each line is a JSON string");
  to_ids->callback(
      [command, &chosen] { chosen = [command] { return exit_of(tokenize(*command)); }; });
  CLI::App* to_text = add_command(program, "detokenize",
                                  "JSON arrays of token ids on stdin to JSON strings", command);
  to_text->add_flag("--skip-special", command->skip_special, "Leave special tokens out");
  to_text->callback(
      [command, &chosen] { chosen = [command] { return exit_of(detokenize(*command)); }; });
}

}  // namespace fastvlm::cli
