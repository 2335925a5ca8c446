// SPDX-License-Identifier: Apache-2.0
// What the server answers: the routes of OpenAI's API and our own, over one engine. Goals: a
// request is refused before it costs anything, answers share passes over the weights, and a caption
// that nobody waits for ends. Non-goals: sockets (http_server.h), pages.
//
// Threads: admit() and handle() are called by the thread of the sockets; `parallel` threads of the
// service's own make answers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "caption/engine.h"
#include "image/decode.h"
#include "language/compute.h"
#include "serve/access.h"
#include "serve/chat_request.h"
#include "serve/http_server.h"
#include "serve/metrics.h"
#include "serve/request_queue.h"

namespace fastvlm {

struct ServiceOptions {
  int parallel = 4;  // answers that are made at once
  size_t waiting = 32;
  std::chrono::milliseconds request_time{120'000};  // from a request's arrival to its answer's end
  TokenLimits tokens;
  DecodeOptions decoding;
  PromptOrder order = PromptOrder::kImageFirst;
  std::vector<std::string> keys;  // empty: whoever reaches the server may ask
  bool loopback_alone = true;     // no keys: Host must be a name of this machine
  // Sets a request's tags; none: there is no detector.
  std::function<Status(const Image&, ThreadPool&, CaptionRequest&)> tag;
  // What /v1/detections answers; `name` is the picture's.
  std::function<Result<std::string>(const Image&, const std::string& name, ThreadPool&)> detect;
  // The bytes at an https address that a request names; none: such requests are refused.
  std::function<Result<std::string>(const std::string& address)> fetch;
};

class Service {
 public:
  // The pool must outlive the service. Reads all weight files once, for their names.
  static Result<std::unique_ptr<Service>> make(std::shared_ptr<const Engine> engine,
                                               SharedPool& pool, ServiceOptions options);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();  // cancels what runs

  // What HttpServer::start wants. The service must outlive the server.
  HttpService http();
  // Whose connections the metrics count; null: nobody's any more.
  void listens_on(const HttpServer* server) { server_ = server; }

  // Refuses what comes from now on and what waits, and lets what runs go on for that long; false:
  // something had to be cancelled.
  bool drain(std::chrono::milliseconds most);

 private:
  using Clock = std::chrono::steady_clock;
  struct Route;
  // A request with a picture.
  struct Job {
    HttpRequest request;
    std::shared_ptr<Reply> reply;
    const Route& route;
    Clock::time_point arrived = Clock::now();
    bool unwanted() const { return reply->gone(); }
    double seconds() const { return std::chrono::duration<double>(Clock::now() - arrived).count(); }
  };

  Service(std::shared_ptr<const Engine> engine, ModelIdentity model, SharedPool& pool,
          ServiceOptions options);

  static const Route* route_of(std::string_view path);
  std::optional<HttpAnswer> refusal(const HttpRequest& head, const Route* route) const;
  void enqueue(HttpRequest request, std::shared_ptr<Reply> reply, const Route& route);
  HttpAnswer quick(const HttpRequest& request);
  HttpAnswer metrics_page() const;
  void work();
  void answer(Job& job, Session& session);
  void answer_chat(Job& job, Session& session);
  void answer_caption(Job& job, Session& session);
  void answer_detections(Job& job);
  void send(Job& job, HttpAnswer answer);
  void send_error(Job& job, const Status& status, const std::string& param);
  Result<Image> picture_of(PictureSource& source) const;
  Status add_tags(const Image& image, CaptionRequest& request);
  Result<Caption> make_caption(Job& job, Session& session, const Image& image,
                               CaptionRequest& request);
  Status still_wanted(const Job& job) const;
  void finish(Job& job, int status);

  std::shared_ptr<const Engine> engine_;
  const ModelIdentity model_;
  SharedPool& pool_;
  const ServiceOptions options_;
  const Keys keys_;
  const int64_t started_;  // seconds since 1970
  RequestQueue<Job> queue_;
  Metrics metrics_;
  std::atomic<const HttpServer*> server_{nullptr};
  std::atomic<int> running_{0};
  std::atomic<bool> draining_{false};
  std::atomic<bool> cancelled_{false};
  std::vector<std::thread> workers_;
};

}  // namespace fastvlm
