// SPDX-License-Identifier: Apache-2.0
#include "dataset/vision_teacher.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/base64.h"
#include "base/strings.h"
#include "caption/schema.h"
#include "dataset/coco_teacher.h"
#include "dataset/llava.h"
#include "image/decode.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr const char* kForm =
    "Write the answer as seven numbered sections with exactly these headings, each on a line of "
    "its "
    "own together with its text, and nothing before or after them:\n";
constexpr double kLongestRetryAfter = 600;  // seconds

std::string form_text() {
  std::array<std::string, kSectionCount> dots;
  dots.fill("…");
  return kForm + seven_sections_text(dots);
}

Json text_part(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

Result<std::string> data_uri(std::span<const std::byte> image, const std::string& name) {
  const char* type = nullptr;
  switch (sniff(image)) {
    case ImageFormat::kJpeg:
      type = "jpeg";
      break;
    case ImageFormat::kPng:
      type = "png";
      break;
    case ImageFormat::kWebp:
      type = "webp";
      break;
    case ImageFormat::kGif:
      type = "gif";
      break;
    default:
      return error(
          Code::kInvalid,
          cat(name, ": expected JPEG, PNG, WebP or GIF, found ", format_name(sniff(image))),
          "convert it to one of these");
  }
  return cat("data:image/", type, ";base64,", base64(image));
}

// A section's text on one line.
std::string on_one_line(const std::string& text) {
  std::string line;
  for (const std::string& part : split(text, '\n')) {
    const std::string_view words = trimmed(part);
    if (!words.empty()) line += cat(line.empty() ? "" : " ", words);
  }
  return line;
}

// The answer in the form that is learnt; only for one with all sections.
std::string in_usual_form(const std::string& answer) {
  const Sections sections = parse_sections(answer);
  std::array<std::string, kSectionCount> texts;
  for (size_t i = 0; i < kSectionCount; ++i) texts[i] = on_one_line(*sections[i]);
  return seven_sections_text(texts);
}

// What a server says of an error: {"error": {"message": …}}, or the beginning of its page.
std::string server_message(const std::string& body) {
  const Json answer = Json::parse(body, nullptr, false);
  if (answer.is_object()) {
    const auto problem = answer.find("error");
    if (problem != answer.end() && problem->is_string())
      return excerpt(problem->get<std::string>());
    if (problem != answer.end() && problem->is_object()) {
      const auto message = problem->find("message");
      if (message != problem->end() && message->is_string()) {
        return printable(message->get<std::string>().substr(0, 300));
      }
    }
  }
  return excerpt(body);
}

int64_t count_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// The text of a message: a string, or a list of parts.
std::string content_of(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end()) return {};
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  for (const Json& part : *content) {
    if (part.is_object() && part.contains("text") && part["text"].is_string()) {
      text += part["text"].get<std::string>();
    }
  }
  return text;
}

struct Completion {
  std::string text;
  int64_t prompt_tokens = 0;
  int64_t answer_tokens = 0;
};

std::optional<Completion> parse_completion(const std::string& body) {
  const Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object()) return std::nullopt;
  const auto choices = answer.find("choices");
  if (choices == answer.end() || !choices->is_array() || choices->empty()) return std::nullopt;
  const Json& first = choices->front();
  if (!first.is_object() || !first.contains("message") || !first["message"].is_object()) {
    return std::nullopt;
  }
  Completion completion{content_of(first["message"]), 0, 0};
  const auto usage = answer.find("usage");
  if (usage != answer.end() && usage->is_object()) {
    completion.prompt_tokens = count_at(*usage, "prompt_tokens");
    completion.answer_tokens = count_at(*usage, "completion_tokens");
  }
  return completion;
}

bool is_passing(long status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

// Seconds, where the server names them so; dates are left to the usual waiting.
std::optional<double> retry_after(const std::string& text) {
  double seconds = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, problem] = std::from_chars(text.data(), end, seconds);
  if (problem != std::errc() || stopped != end || !(seconds >= 0)) return std::nullopt;
  return std::min(seconds, kLongestRetryAfter);
}

Status refusal(const TeacherOptions& options, const HttpReply& reply) {
  const std::string what =
      cat(options.url, ": the teacher answered ", reply.status, ": ", server_message(reply.body));
  if (reply.status == 401 || reply.status == 403) {
    return error(Code::kUsage, what, "set FASTVLM_TEACHER_KEY to a key that this server accepts");
  }
  if (reply.status == 404 || reply.status / 100 == 3) {
    return error(Code::kUsage, what,
                 "check --teacher (such as https://host/v1) and --teacher-model");
  }
  if (is_passing(reply.status)) {
    return error(Code::kIo, what,
                 "run the same command again later: answers that were given are kept");
  }
  return error(Code::kInvalid, what, "this picture is left out");
}

}  // namespace

TeacherUsage& TeacherUsage::operator+=(const TeacherUsage& other) {
  prompt_tokens += other.prompt_tokens;
  answer_tokens += other.answer_tokens;
  requests += other.requests;
  repeated += other.repeated;
  asked_again += other.asked_again;
  return *this;
}

std::string completions_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url.ends_with("/chat/completions") ? url : url + "/chat/completions";
}

VisionTeacher::VisionTeacher(TeacherOptions options) : options_(std::move(options)) {
  options_.url = completions_url(std::move(options_.url));
}

std::string VisionTeacher::description() const {
  return cat(options_.model, ", at most ", options_.max_tokens, " tokens, temperature ",
             options_.temperature, options_.seven_sections ? ", seven sections" : "");
}

Status VisionTeacher::wait(double seconds) const {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (!options_.stop() && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (!options_.stop()) return {};
  return error(Code::kInterrupted, "interrupted",
               "run the same command again to go on: answers that were given are kept");
}

Status VisionTeacher::wait_for_turn() {
  if (options_.per_minute <= 0) return wait(0);
  Clock::time_point turn;
  {
    const std::lock_guard lock(mutex_);
    turn = std::max(next_turn_, Clock::now());
    next_turn_ = turn + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(60 / options_.per_minute));
  }
  return wait(std::chrono::duration<double>(turn - Clock::now()).count());
}

// The body of the answer to one request, once it is 200.
Result<std::string> VisionTeacher::request(const std::string& body, TeacherUsage& usage) {
  FetchRequest request;
  request.url = options_.url;
  request.bearer_token = options_.key;
  double pause = options_.first_wait;
  for (int tries = 1;; ++tries) {
    FASTVLM_RETURN_IF_ERROR(wait_for_turn());
    ++usage.requests;
    auto reply = client_.post_json(request, body);
    if (reply.ok() && reply->status == 200) return std::move(reply->body);
    const Status trouble = reply.ok() ? refusal(options_, *reply) : reply.status();
    if (trouble.code != Code::kIo || tries >= options_.tries) return trouble;
    ++usage.repeated;
    const auto asked = reply.ok() ? retry_after(reply->retry_after) : std::nullopt;
    FASTVLM_RETURN_IF_ERROR(wait(asked.value_or(pause)));
    pause = std::min(2 * pause, options_.longest_wait);
  }
}

Result<std::string> VisionTeacher::ask(const std::string& question,
                                       std::span<const std::byte> image, const std::string& name,
                                       TeacherUsage& usage) {
  FASTVLM_ASSIGN(const std::string picture, data_uri(image, name));
  const std::string asked = options_.seven_sections ? cat(question, "\n\n", form_text()) : question;
  Json messages = Json::array();
  messages.push_back(
      {{"role", "user"},
       {"content", Json::array({text_part(asked),
                                Json{{"type", "image_url"}, {"image_url", {{"url", picture}}}}})}});
  std::vector<std::string> lacks;
  for (int asks = 0; asks < std::max(1, options_.asks); ++asks) {
    const Json body = {{"model", options_.model},
                       {"messages", messages},
                       {"max_tokens", options_.max_tokens},
                       {"temperature", options_.temperature}};
    FASTVLM_ASSIGN(const std::string reply,
                   request(body.dump(-1, ' ', false, Json::error_handler_t::replace), usage));
    const auto completion = parse_completion(reply);
    if (!completion) {
      return error(Code::kIo,
                   cat(options_.url, ": expected a chat completion, found ", excerpt(reply)),
                   "check --teacher: an OpenAI-compatible address such as https://host/v1");
    }
    usage.prompt_tokens += completion->prompt_tokens;
    usage.answer_tokens += completion->answer_tokens;
    const std::string answer(trimmed(completion->text));
    lacks = options_.seven_sections ? section_problems(answer) : std::vector<std::string>();
    const bool whole =
        options_.seven_sections ? lacks.empty() && has_all_sections(answer) : !answer.empty();
    if (whole) {
      return options_.seven_sections ? in_usual_form(answer) : answer;
    }
    if (lacks.empty()) lacks.emplace_back(answer.empty() ? "nothing was said" : "no headings");
    ++usage.asked_again;
    if (messages.size() > 1) messages.erase(messages.begin() + 1, messages.end());
    messages.push_back({{"role", "assistant"}, {"content", answer}});
    messages.push_back({{"role", "user"},
                        {"content", cat("Your answer lacks something: ", joined(lacks, "; "),
                                        ". Give the whole answer again. ", form_text())}});
  }
  return error(Code::kInvalid,
               cat(name, ": the teacher's answer stays incomplete after ", options_.asks,
                   " times: ", joined(lacks, "; ")),
               "run the same command again, or choose another teacher");
}

}  // namespace fastvlm
