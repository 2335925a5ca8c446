// SPDX-License-Identifier: Apache-2.0
#include "serve/service.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <random>
#include <span>

#include "base/cpu.h"
#include "base/strings.h"
#include "caption/caption_json.h"
#include "serve/answers.h"
#include "serve/caption_request.h"
#include "serve/page_files.h"
#include "serve/stop_texts.h"

namespace fastvlm {
namespace {

std::string new_id() {
  std::random_device random;
  std::ostringstream id;
  id << "chatcmpl-" << std::hex << random() << random();
  return id.str();
}

int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

HttpAnswer plain(int status, const std::string& text) {
  return {status, "text/plain; charset=utf-8", text + "\n"};
}

Status cut_off(const char* why) {
  return error(Code::kInterrupted, why, "");
}

}  // namespace

struct Service::Route {
  std::string_view path;
  std::string_view method;
  bool open = false;      // answered without a key
  bool pictures = false;  // waits for a worker
};

const Service::Route* Service::route_of(std::string_view path) {
  static constexpr Route kPage = {"page", "GET", true};
  for (const PageFile& file : page_files()) {
    if (path == file.path) return &kPage;
  }
  static constexpr std::array<Route, 8> kRoutes = {{{"/health", "GET", true},
                                                    {"/ready", "GET", true},
                                                    {"/metrics", "GET"},
                                                    {"/v1/models", "GET"},
                                                    {"/v1/models/", "GET"},
                                                    {"/v1/chat/completions", "POST", false, true},
                                                    {"/v1/captions", "POST", false, true},
                                                    {"/v1/detections", "POST", false, true}}};
  for (const Route& route : kRoutes) {
    const bool one_model = route.path == "/v1/models/" && path.starts_with(route.path);
    if (path == route.path || one_model) return &route;
  }
  return nullptr;
}

Service::Service(std::shared_ptr<const Engine> engine, ModelIdentity model, SharedPool& pool,
                 ServiceOptions options)
    : engine_(std::move(engine)),
      model_(std::move(model)),
      pool_(pool),
      options_(std::move(options)),
      keys_(options_.keys),
      started_(seconds_since_1970()),
      queue_(options_.waiting) {
  for (int i = 0; i < options_.parallel; ++i) workers_.emplace_back([this] { work(); });
}

Result<std::unique_ptr<Service>> Service::make(std::shared_ptr<const Engine> engine,
                                               SharedPool& pool, ServiceOptions options) {
  FASTVLM_ASSIGN(ModelIdentity model, engine->identity());
  return std::unique_ptr<Service>(
      new Service(std::move(engine), std::move(model), pool, std::move(options)));
}

Service::~Service() {
  drain(std::chrono::milliseconds(0));
  for (std::thread& worker : workers_) worker.join();
}

HttpService Service::http() {
  return {[this](const HttpRequest& head) {
            const Route* route = route_of(head.path);
            auto refused = refusal(head, route);
            if (refused) {
              metrics_.count_request(route == nullptr ? "other" : route->path, refused->status);
            }
            return refused;
          },
          [this](HttpRequest request, std::shared_ptr<Reply> reply) {
            const Route& route = *route_of(request.path);  // refused before if there is none
            if (route.pictures) return enqueue(std::move(request), std::move(reply), route);
            HttpAnswer answer = quick(request);
            metrics_.count_request(route.path, answer.status);
            reply->send(std::move(answer));
          }};
}

std::optional<HttpAnswer> Service::refusal(const HttpRequest& head, const Route* route) const {
  if (!keys_.any()) {
    if (options_.loopback_alone && !names_loopback(head.host)) {
      return error_answer(403,
                          "Host: expected a name of this machine; other names need "
                          "--api-key-file on the server");
    }
    if (!same_origin(head.origin, head.host)) {
      return error_answer(403, "Origin: pages from elsewhere may not use this server");
    }
  }
  if (route == nullptr) {
    return error_answer(404, "no such address; docs/SERVER.md lists those there are", "",
                        "unknown_url");
  }
  if (keys_.any() && !route->open && !keys_.accepts(head.authorization)) {
    HttpAnswer answer = error_answer(
        401, "expected a key of this server as Authorization: Bearer KEY", "", "invalid_api_key");
    answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    return answer;
  }
  const bool head_of_get = route->method == "GET" && head.method == "HEAD";
  if (head.method != route->method && !head_of_get) {
    HttpAnswer answer = error_answer(405, cat("expected ", route->method));
    answer.headers.emplace_back("Allow", std::string(route->method));
    return answer;
  }
  if (!route->pictures) return std::nullopt;
  const bool form = is_form(head.content_type) && route->path != "/v1/chat/completions";
  if (!form && !is_json(head.content_type)) {
    return error_answer(415, route->path == "/v1/chat/completions"
                                 ? "Content-Type: expected application/json"
                                 : "Content-Type: expected application/json or "
                                   "multipart/form-data");
  }
  if (route->path == "/v1/detections" && !options_.detect) {
    return error_answer(404, "this server has no detector; start it with --detector FILE");
  }
  if (draining_) return error_answer(503, "the server is being stopped");
  return std::nullopt;
}

HttpAnswer Service::quick(const HttpRequest& request) {
  for (const PageFile& file : page_files()) {
    if (request.path != file.path) continue;
    return {200, std::string(file.type), std::string(file.body)};
  }
  if (request.path == "/health") return plain(200, "alive");
  if (request.path == "/ready") return draining_ ? plain(503, "stopping") : plain(200, "ready");
  if (request.path == "/metrics") return metrics_page();
  if (request.path == "/v1/models") {
    return {200, "application/json", models_json(model_.name, started_)};
  }
  if (request.path == cat("/v1/models/", model_.name)) {
    return {200, "application/json", model_json(model_.name, started_)};
  }
  return error_answer(404, cat("the model of this server is ", model_.name), "model",
                      "model_not_found");
}

HttpAnswer Service::metrics_page() const {
  const SharedPool::Counts passes = pool_.counts();
  const HttpServer* server = server_;
  const auto number = [](auto value) { return static_cast<double>(value); };
  return {200, "text/plain; version=0.0.4; charset=utf-8",
          metrics_.text(
              {{"waiting_requests", "Requests that wait for a session.", number(queue_.size())},
               {"running_requests", "Requests that a session works on.", number(running_.load())},
               {"connections", "Open connections.",
                number(server == nullptr ? 0 : server->connections())},
               {"decode_passes_total", "Passes of the language model for answers.",
                number(passes.passes), true},
               {"decode_rows_total", "Tokens in these passes, of all answers and with drafts.",
                number(passes.rows), true},
               {"resident_bytes", "Memory of the process.", number(resident_bytes())},
               {"peak_resident_bytes", "The most so far.", number(peak_resident_bytes())}})};
}

void Service::enqueue(HttpRequest request, std::shared_ptr<Reply> reply, const Route& route) {
  const std::string client = request.client;
  auto job = std::make_unique<Job>(Job{std::move(request), std::move(reply), route});
  if (queue_.push(client, job)) return;
  if (draining_) return send(*job, error_answer(503, "the server is being stopped"));
  const double ahead = static_cast<double>(queue_.size()) / options_.parallel;
  const auto seconds = std::clamp(std::ceil(ahead * metrics_.mean_request_seconds()), 1.0, 600.0);
  HttpAnswer full = error_answer(
      429, cat("all places of the queue (", options_.waiting, ") are taken; try again later"), "",
      "queue_full");
  full.headers.emplace_back("Retry-After", cat(seconds));
  send(*job, std::move(full));
}

void Service::work() {
  Session session(engine_, pool_);
  while (const std::unique_ptr<Job> job = queue_.pop(running_)) {
    try {
      if (!job->unwanted()) answer(*job, session);
    } catch (const std::bad_alloc&) {
      send(*job, error_answer(503, "out of memory; send a smaller picture, or try again later"));
    } catch (const std::exception&) {
      send(*job, error_answer(500, "the request failed inside the server"));
    }
    --running_;
  }
}

void Service::answer(Job& job, Session& session) {
  if (const Status cut = still_wanted(job); !cut.ok()) return send_error(job, cut, "");
  if (job.route.path == "/v1/captions") return answer_caption(job, session);
  if (job.route.path == "/v1/detections") return answer_detections(job);
  answer_chat(job, session);
}

// The bytes are not needed once they are pixels, and many of them may wait elsewhere.
Result<Image> Service::picture_of(PictureSource& source) const {
  std::string file = std::exchange(source.bytes, {});
  if (file.empty()) {
    if (!options_.fetch) {
      return error(Code::kUnsupported, "this server fetches no pictures from other addresses",
                   "send the picture itself: data:image/jpeg;base64,…");
    }
    FASTVLM_ASSIGN(file, options_.fetch(source.address));
  }
  return decode_image(std::as_bytes(std::span(file)), "image", options_.decoding);
}

Status Service::add_tags(const Image& image, CaptionRequest& request) {
  if (!options_.tag) return {};
  return pool_.alone([&](ThreadPool& pool) { return options_.tag(image, pool, request); });
}

// Checks, asks the model, and says why an answer was cut off.
Result<Caption> Service::make_caption(Job& job, Session& session, const Image& image,
                                      CaptionRequest& request) {
  request.order = options_.order;
  request.go_on = [&] { return still_wanted(job).ok(); };
  const auto on_text = std::move(request.on_text);
  bool first = true;
  request.on_text = [&](std::string_view piece) {
    if (std::exchange(first, false)) metrics_.time_first_text(job.seconds());
    return !on_text || on_text(piece);
  };
  FASTVLM_RETURN_IF_ERROR(session.check_request(request));
  FASTVLM_RETURN_IF_ERROR(still_wanted(job));
  Result<Caption> caption = session.caption(image, request);
  // What the request can be blamed for was found above.
  if (!caption.ok()) return error(Code::kIo, caption.status().message, caption.status().hint);
  metrics_.count_tokens(caption->timings.prompt_tokens, caption->timings.answer_tokens);
  if (!options_.decoding.apply_exif) caption->provenance.preprocessing += ", as stored (--no-exif)";
  return caption;
}

void Service::answer_chat(Job& job, Session& session) {
  std::string param;
  auto parsed = parse_chat_request(job.request.body, options_.tokens, param);
  job.request.body = {};
  job.request.share.reset();
  if (!parsed.ok()) return send_error(job, parsed.status(), param);
  ChatRequest& asked = *parsed;
  const auto image = picture_of(asked.picture);
  if (!image.ok()) return send_error(job, image.status(), "messages");
  const bool seven_points = asked.caption.prompt == seven_point_prompt();
  if (seven_points) {
    if (const Status bad = add_tags(*image, asked.caption); !bad.ok()) {
      return send_error(job, bad, "");
    }
  }
  const Completion completion(new_id(), seconds_since_1970(), model_.name);
  StopTexts stops(asked.stop);
  std::string text;
  bool begun = false;
  const auto pass_on = [&](const std::string& piece) {
    if (piece.empty()) return;
    text += piece;
    if (!asked.stream) return;
    if (!std::exchange(begun, true)) {
      job.reply->begin(200, "text/event-stream; charset=utf-8");
      job.reply->write(completion.first_event(asked.include_usage));
    }
    job.reply->write(completion.text_event(piece, asked.include_usage));
  };
  asked.caption.on_text = [&](std::string_view piece) {
    pass_on(stops.push(piece));
    return !stops.found();
  };
  Result<Caption> made = make_caption(job, session, *image, asked.caption);
  Status failed = made.status();
  if (failed.ok() && made->finish == FinishReason::kInterrupted && !stops.found()) {
    failed = still_wanted(job);
  }
  if (!failed.ok()) {
    if (!begun) return send_error(job, failed, param);
    job.reply->write(Completion::error_event(error_json(500, sentence(failed))));
    finish(job, 500);
    return job.reply->end();
  }
  pass_on(stops.finish());
  const FinishReason reason = stops.found() ? FinishReason::kStop : made->finish;
  if (!asked.stream) {
    return send(job, {200, "application/json", completion.whole(text, reason, made->timings)});
  }
  if (!begun) {
    job.reply->begin(200, "text/event-stream; charset=utf-8");
    job.reply->write(completion.first_event(asked.include_usage));
  }
  job.reply->write(completion.finish_event(reason, asked.include_usage));
  if (asked.include_usage) job.reply->write(completion.usage_event(made->timings));
  job.reply->write(Completion::done_event());
  finish(job, 200);
  job.reply->end();
}

void Service::answer_caption(Job& job, Session& session) {
  std::string param;
  auto parsed =
      parse_caption_request(job.request.body, job.request.content_type, options_.tokens, param);
  job.request.body = {};
  job.request.share.reset();
  if (!parsed.ok()) return send_error(job, parsed.status(), param);
  CaptionTask& task = *parsed;
  const auto image = picture_of(task.picture);
  if (!image.ok()) return send_error(job, image.status(), "image");
  if (task.detect) {
    if (const Status bad = add_tags(*image, task.caption); !bad.ok()) {
      return send_error(job, bad, "");
    }
  }
  // Whoever lists tags is taken to know all kinds, as in `fastvlm caption`.
  if (task.tagged) task.caption.knowable = std::make_shared<const ObjectKinds>(all_object_kinds());
  const Result<Caption> made = make_caption(job, session, *image, task.caption);
  if (!made.ok()) return send_error(job, made.status(), param);
  if (made->finish == FinishReason::kInterrupted) return send_error(job, still_wanted(job), "");
  send(job,
       {200, "application/json",
        to_json(*made, model_, task.name, {.timings = true, .grounding = task.verify_objects})});
}

void Service::answer_detections(Job& job) {
  std::string param;
  auto parsed = parse_picture_request(job.request.body, job.request.content_type, param);
  job.request.body = {};
  job.request.share.reset();
  if (!parsed.ok()) return send_error(job, parsed.status(), param);
  const auto image = picture_of(parsed->picture);
  if (!image.ok()) return send_error(job, image.status(), "image");
  auto found =
      pool_.alone([&](ThreadPool& pool) { return options_.detect(*image, parsed->name, pool); });
  if (!found.ok()) {
    return send_error(job, error(Code::kIo, found.status().message, found.status().hint), "");
  }
  send(job, {200, "application/json", std::move(*found)});
}

// Why an answer need not be made any more.
Status Service::still_wanted(const Job& job) const {
  if (job.reply->gone()) return cut_off("the client has left");
  if (cancelled_) return cut_off("the server is being stopped");
  if (Clock::now() - job.arrived <= options_.request_time) return {};
  return cut_off("the time for a request is over; ask for fewer tokens, or try again later");
}

void Service::send(Job& job, HttpAnswer answer) {
  finish(job, answer.status);
  job.reply->send(std::move(answer));
}

void Service::send_error(Job& job, const Status& status, const std::string& param) {
  switch (status.code) {
    case Code::kInterrupted:
      return send(job, error_answer(503, sentence(status)));
    case Code::kIo:
      return send(job, error_answer(500, sentence(status)));
    default:
      return send(job, error_answer(400, sentence(status), param));
  }
}

// Comes before the end of the answer, so that whoever has it finds it counted.
void Service::finish(Job& job, int status) {
  metrics_.count_request(job.route.path, job.unwanted() ? 499 : status);
  if (status == 200) metrics_.time_request(job.seconds());
}

bool Service::drain(std::chrono::milliseconds most) {
  draining_ = true;
  for (const std::unique_ptr<Job>& job : queue_.close()) {
    send(*job, error_answer(503, "the server is being stopped"));
  }
  const auto end = Clock::now() + most;
  while (running_ > 0 && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const bool all_done = running_ == 0;
  cancelled_ = true;
  return all_done;
}

}  // namespace fastvlm
