// SPDX-License-Identifier: Apache-2.0
// fastvlm_describe_*
#include <algorithm>
#include <filesystem>
#include <functional>
#include <span>

#include "base/strings.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "caption/prompt.h"
#include "caption/tags.h"
#include "image/decode.h"

namespace fastvlm::capi {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 20;

// Tells the caller how far the work is, and knows whether it is still wanted.
class Watch {
 public:
  explicit Watch(const fastvlm_request& request) : request_(request) {}

  bool wanted() {
    const bool cancelled = request_.cancel != nullptr && request_.cancel->cancelled.load();
    stopped_ = stopped_ || cancelled;
    return !stopped_;
  }

  bool reached(fastvlm_stage stage, int64_t tokens = 0) {
    if (wanted() && request_.on_progress != nullptr) {
      stopped_ = request_.on_progress(stage, tokens, request_.user_data) != 0;
    }
    return wanted();
  }

  // Asked before each token is computed: the first time none is.
  bool before_token() {
    const int64_t computed = tokens_++;
    return computed == 0 ? reached(FASTVLM_STAGE_PROMPT_READ)
                         : reached(FASTVLM_STAGE_TOKEN, computed);
  }

  bool text(std::string_view piece) {
    if (wanted() && request_.on_text != nullptr) {
      const std::string ended(piece);
      stopped_ = request_.on_text(ended.c_str(), ended.size(), request_.user_data) != 0;
    }
    return wanted();
  }

  bool stopped() const { return stopped_; }

 private:
  const fastvlm_request& request_;
  int64_t tokens_ = 0;
  bool stopped_ = false;
};

Status interrupted() {
  return error(Code::kInterrupted, "the caller asked to stop");
}

// One call of a session at a time.
class Turn {
 public:
  explicit Turn(fastvlm_session& session)
      : session_(session), mine_(!session.busy.exchange(true)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (mine_) session_.busy.store(false);
  }

  Status status() const {
    if (mine_) return {};
    return error(Code::kUsage, "the session is at work in another call",
                 "give each thread a session of its own; those of one model share its weights");
  }

 private:
  fastvlm_session& session_;
  bool mine_;
};

Result<CaptionRequest> caption_request(const fastvlm_request& given) {
  CaptionRequest request;
  if (given.prompt != nullptr) request.prompt = named_prompt(given.prompt).value_or(given.prompt);
  if (trimmed(request.prompt).empty()) {
    return error(Code::kUsage, "request.prompt: expected a question, found nothing",
                 "ask something, or leave it null");
  }
  if (given.tags != nullptr && *given.tags != '\0') {
    FASTVLM_ASSIGN(request.tags, parse_tag_list(given.tags));
  }
  if (given.max_tokens < 0 || given.max_tokens > kMostTokens) {
    return error(
        Code::kUsage,
        cat("request.max_tokens: expected 0 to ", kMostTokens, ", found ", given.max_tokens),
        "0 means 256");
  }
  if (given.max_tokens > 0) request.max_tokens = given.max_tokens;
  request.free = given.free != 0;
  request.sampling.temperature = given.temperature;
  request.sampling.top_p = given.top_p == 0 ? 1 : given.top_p;
  request.sampling.top_k = given.top_k;
  request.sampling.seed = given.seed;
  return request;
}

// Of an absolute path the last part, as docs/caption.schema.json wants it.
std::string shown_name(const std::filesystem::path& path) {
  return path.is_absolute() ? path.filename().string() : path.string();
}

using ReadPicture = std::function<Result<Image>(const std::string& name)>;

Status describe(fastvlm_session* session, const fastvlm_request* given, const std::string& name,
                fastvlm_result** out, const ReadPicture& read) {
  FASTVLM_RETURN_IF_ERROR(no_null(session, "session"));
  const Turn turn(*session);
  FASTVLM_RETURN_IF_ERROR(turn.status());
  FASTVLM_ASSIGN(const fastvlm_request known, fields_of(given, "request"));
  FASTVLM_ASSIGN(CaptionRequest request, caption_request(known));
  FASTVLM_RETURN_IF_ERROR(session->session.check_request(request));
  Watch watch(known);
  if (!watch.wanted()) return interrupted();
  const std::string shown = known.image_name == nullptr ? name : known.image_name;
  FASTVLM_ASSIGN(const Image picture, read(shown));
  if (!watch.reached(FASTVLM_STAGE_PICTURE_READ)) return interrupted();
  request.on_seen = [&watch] { return watch.reached(FASTVLM_STAGE_PICTURE_SEEN); };
  request.go_on = [&watch] { return watch.before_token(); };
  request.on_text = [&watch](std::string_view piece) { return watch.text(piece); };
  Result<Caption> caption = session->session.caption(picture, request);
  if (watch.stopped()) return interrupted();
  if (!caption.ok()) return caption.status();
  *out = new fastvlm_result{std::move(*caption), shown, session->loaded};
  return {};
}

Result<Image> copied_pixels(const uint8_t* pixels, int32_t width, int32_t height, size_t stride) {
  FASTVLM_RETURN_IF_ERROR(no_null(pixels, "pixels"));
  if (width < 1 || height < 1 || width > kMaxImageSide || height > kMaxImageSide) {
    return error(
        Code::kUsage,
        cat("width, height: expected 1 to ", kMaxImageSide, ", found ", width, " x ", height), "");
  }
  const int64_t most = DecodeOptions().max_pixels;
  if (int64_t{width} * height > most) {
    return error(Code::kLimit,
                 cat("pixels: expected at most ", most, ", found ", int64_t{width} * height),
                 "scale the picture down; the model sees less than that anyway");
  }
  const size_t row = static_cast<size_t>(width) * 3;
  if (stride == 0) stride = row;
  if (stride < row) {
    return error(Code::kUsage, cat("stride: expected at least ", row, " bytes, found ", stride),
                 "0 means rows without gaps");
  }
  Image image = blank_image(width, height);
  for (int y = 0; y < height; ++y) {
    std::copy_n(pixels + static_cast<size_t>(y) * stride, row, image.row(y));
  }
  return image;
}

}  // namespace
}  // namespace fastvlm::capi

using fastvlm::Image;
using fastvlm::Result;
using fastvlm::Status;
using fastvlm::capi::describe;
using fastvlm::capi::guarded;
using fastvlm::capi::no_null;

extern "C" {

fastvlm_status fastvlm_describe_file(fastvlm_session* session, const char* path,
                                     const fastvlm_request* request, fastvlm_result** result) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(result, "result"));
    *result = nullptr;
    FASTVLM_RETURN_IF_ERROR(no_null(path, "path"));
    return describe(session, request, fastvlm::capi::shown_name(path), result,
                    [&](const std::string&) { return fastvlm::load_image(path); });
  });
}

fastvlm_status fastvlm_describe_bytes(fastvlm_session* session, const void* bytes, size_t size,
                                      const fastvlm_request* request, fastvlm_result** result) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(result, "result"));
    *result = nullptr;
    FASTVLM_RETURN_IF_ERROR(no_null(bytes, "bytes"));
    return describe(session, request, "picture", result, [&](const std::string& name) {
      return fastvlm::decode_image({static_cast<const std::byte*>(bytes), size}, name);
    });
  });
}

fastvlm_status fastvlm_describe_rgb(fastvlm_session* session, const uint8_t* pixels, int32_t width,
                                    int32_t height, size_t stride, const fastvlm_request* request,
                                    fastvlm_result** result) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(result, "result"));
    *result = nullptr;
    return describe(session, request, "picture", result, [&](const std::string&) {
      return fastvlm::capi::copied_pixels(pixels, width, height, stride);
    });
  });
}

}  // extern "C"
