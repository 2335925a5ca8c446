// SPDX-License-Identifier: Apache-2.0
// fastvlm serve
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/mapped_file.h"
#include "cli/commands.h"
#include "cli/detection_json.h"
#include "cli/flags.h"
#include "cli/tag_source.h"
#include "hub/cache.h"
#include "serve/access.h"
#include "serve/addresses.h"
#include "serve/http_server.h"
#include "serve/picture_fetch.h"
#include "serve/qr_code.h"
#include "serve/service.h"

namespace fastvlm::cli {
namespace {

using std::chrono::milliseconds;

struct ServeCommand {
  std::string host = "127.0.0.1";
  int port = 8080;
  std::string key_file;
  bool insecure = false;
  std::vector<std::string> picture_hosts;
  std::string certificate_file;
  std::string certificate_key_file;
  bool self_signed = false;
  double request_seconds = 120;
  double drain_seconds = 30;
  HttpLimits limits;
  ServiceOptions service;
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;  // --order alone
  TagSource tags;

  Exit run();
  Status check_access();
  Result<std::optional<Certificate>> certificate() const;
  void use_detector();
  Status say_where(const HttpServer& server) const;
  Exit serve(Service& answers) const;
};

milliseconds in_milliseconds(double seconds) {
  return milliseconds(static_cast<int64_t>(seconds * 1000));
}

// Whoever reaches the server may use this machine's time, and see what it is shown.
Status ServeCommand::check_access() {
  service.loopback_alone = is_loopback(host);
  if (!key_file.empty()) {
    constexpr size_t kLimit = size_t{64} * 1024;
    FASTVLM_ASSIGN(const std::string text, read_text_file(key_file, kLimit));
    FASTVLM_ASSIGN(service.keys, parse_keys(text, key_file));
  }
  if (service.loopback_alone || !service.keys.empty()) return {};
  if (!insecure) {
    return error(Code::kUsage,
                 cat("--host ", host, ": other machines reach it, and there is no --api-key-file"),
                 "give a file with a key (`openssl rand -hex 24`), or --insecure if everyone there "
                 "may use it");
  }
  warn(cat("--insecure: whoever reaches ", host, " may use this server"));
  return {};
}

Result<std::optional<Certificate>> ServeCommand::certificate() const {
  if (!certificate_file.empty()) {
    FASTVLM_ASSIGN(auto given, read_certificate(certificate_file, certificate_key_file));
    return std::optional(std::move(given));
  }
  if (!self_signed) return std::optional<Certificate>();
  FASTVLM_ASSIGN(const auto models, models_folder());
  FASTVLM_ASSIGN(auto kept,
                 kept_certificate(models.parent_path() / "tls", certificate_names(host)));
  note(cat(
      "--tls-self-signed: browsers ask about this certificate once; its SHA-256 fingerprint is ",
      kept.fingerprint()));
  return std::optional(std::move(kept));
}

void ServeCommand::use_detector() {
  if (!tags.detector()) return;
  service.tag = [this](const Image& picture, ThreadPool& pool, CaptionRequest& request) {
    return tags.tag(picture, pool, request);
  };
  service.detect = [this](const Image& picture, const std::string& name,
                          ThreadPool& pool) -> Result<std::string> {
    const DetectOptions options;  // those of `fastvlm detect`
    FASTVLM_ASSIGN(const DetectorInput input, detector_input(picture, options));
    const LoadedDetector& loaded = *tags.detector();
    FASTVLM_ASSIGN(const auto found, loaded.detector.detect(input, options, pool));
    using Json = nlohmann::ordered_json;
    return detections_json(found, input, loaded, options, name)
        .dump(-1, ' ', false, Json::error_handler_t::replace);
  };
}

// The address on stdout. To a person at a terminal also the page's with the key, which goes into no
// log: as text, and for a phone as a QR code.
Status ServeCommand::say_where(const HttpServer& server) const {
  const std::string url = server.url(reachable_addresses(host).front());
  FASTVLM_RETURN_IF_ERROR(print(url + "\n"));
  if (::isatty(STDOUT_FILENO) == 0) return {};
  const std::string page = service.keys.empty() ? url : cat(url, "#key=", service.keys.front());
  if (page != url) FASTVLM_RETURN_IF_ERROR(print(page + "\n"));
  return service.loopback_alone ? Status() : print(qr_code(page));
}

Exit ServeCommand::serve(Service& answers) const {
  const auto shown = certificate();
  if (!shown.ok()) return report(shown.status());
  const auto server = HttpServer::start(host, port, answers.http(), limits, *shown);
  if (!server.ok()) return report(server.status());
  answers.listens_on(server->get());
  stop_politely();
  if (const Status bad = say_where(**server); !bad.ok()) return report(bad);
  while (!stop_asked()) std::this_thread::sleep_for(milliseconds(50));
  const bool all_done = answers.drain(in_milliseconds(drain_seconds));
  (*server)->close_idle();
  (*server)->wait_until_quiet(milliseconds(2'000));
  answers.listens_on(nullptr);
  if (!all_done) warn(cat("answers that took longer than ", drain_seconds, " s more were cut off"));
  return kDone;
}

Exit ServeCommand::run() {
  if (const Status bad = check_access(); !bad.ok()) return report(bad);
  service.order = prompt.prompt_order();
  service.request_time = in_milliseconds(request_seconds);
  service.tokens.usual = std::min(service.tokens.usual, service.tokens.most);
  model.sessions = service.parallel;
  model.text_tokens += service.tokens.most - CaptionRequest().max_tokens;
  service.decoding.apply_exif = image.decode_options().apply_exif;
  if (!picture_hosts.empty()) {
    std::set<std::string> hosts;
    for (const std::string& each : picture_hosts) hosts.insert(lower_case(each));
    service.fetch = PictureFetch(std::move(hosts), limits.body_bytes);
  }
  // On loopback it may be a proxy, whose clients all have its address.
  if (service.loopback_alone) limits.client_connections = limits.connections;
  limits.all_bodies_bytes = std::max(limits.all_bodies_bytes, 4 * limits.body_bytes);
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto engine = load_engine(model, image, **pool);
  if (!engine.ok()) return report(engine.status());
  if (const Status bad = tags.prepare(model, **pool); !bad.ok()) return report(bad);
  use_detector();
  SharedPool shared(**pool);
  const auto answers = Service::make(*engine, shared, service);
  if (!answers.ok()) return report(answers.status());
  const Exit exit = serve(**answers);
  if (const Status bad = (*engine)->token_cache().trouble(); !bad.ok()) {
    warn(cat("--token-cache: ", bad.message));
  }
  return exit;
}

void add_limits(CLI::App& app, ServeCommand& command) {
  app.add_option("--parallel", command.service.parallel, "Answers that are made at once")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--queue", command.service.waiting, "Requests that may wait; more are told 429")
      ->check(CLI::Range(size_t{1}, size_t{10'000}))
      ->capture_default_str();
  app.add_option("--connections", command.limits.connections, "Open connections at once")
      ->check(CLI::Range(size_t{1}, size_t{10'000}))
      ->capture_default_str();
  app.add_option("--max-tokens", command.service.tokens.most, "The most a request may ask for")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--max-pixels", command.service.decoding.max_pixels, "Of a picture")
      ->check(CLI::Range(int64_t{1}, DecodeOptions().max_pixels))
      ->capture_default_str();
  app.add_option("--max-body", command.limits.body_bytes, "Of a request, as in 32M")
      ->transform(CLI::AsSizeValue(true))
      ->transform(is_amount())
      ->check(CLI::Range(size_t{1}, size_t{1} << 30))
      ->option_text("SIZE [32M]");
  app.add_option("--request-seconds", command.request_seconds,
                 "From a request's arrival to the end of its answer")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  app.add_option("--drain-seconds", command.drain_seconds,
                 "That answers go on for after SIGTERM or Ctrl-C")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
}

}  // namespace

void add_serve(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<ServeCommand>();
  command->service.decoding.max_pixels = 50'000'000;
  CLI::App* app =
      program.add_subcommand("serve", "Describe pictures over HTTP, also for OpenAI's clients");
  app->add_option("--host", command->host,
                  "Address to listen on; other than this machine needs a key")
      ->capture_default_str();
  app->add_option("--port", command->port, "0: any that is free")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str();
  CLI::Option* keys = app->add_option("--api-key-file", command->key_file,
                                      "File with the keys that clients may use, one a line")
                          ->check(is_not_empty());
  app->add_flag("--insecure", command->insecure, "Other machines may use it without a key")
      ->excludes(keys);
  app->add_option("--allow-image-hosts", command->picture_hosts,
                  "Hosts whose pictures requests may name by an https address [none]")
      ->delimiter(',')
      ->check(is_not_empty())
      ->option_text("HOST,…");
  CLI::Option* own = app->add_option("--tls-cert", command->certificate_file,
                                     "Certificates in PEM form, the server's own first: HTTPS")
                         ->check(is_not_empty());
  CLI::Option* own_key = app->add_option("--tls-key", command->certificate_key_file,
                                         "The private key of it, in PEM form")
                             ->check(is_not_empty())
                             ->needs(own);
  own->needs(own_key);
  app->add_flag("--tls-self-signed", command->self_signed,
                "HTTPS with a certificate of its own making, kept for the next start")
      ->excludes(own);
  add_limits(*app, *command);
  command->model.add_to(*app);
  command->model.add_memory_to(*app);
  command->model.add_drafts_to(*app);
  command->model.add_token_cache_to(*app);
  command->image.add_to(*app);
  command->prompt.add_order_to(*app);
  command->tags.add_detector_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli
