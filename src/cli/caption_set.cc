// SPDX-License-Identifier: Apache-2.0
#include "cli/caption_set.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/stopwatch.h"
#include "base/strings.h"
#include "caption/caption_json.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "dataset/picture_file.h"
#include "formats/kept_lines.h"

namespace fastvlm::cli {
namespace {

using nlohmann::json;

constexpr double kSecondsBetweenNotes = 10;
constexpr std::string_view kLineStart = "{\"image\":";  // of what `caption --json` writes

// The captions that are there already, by the picture's name, and the file that new ones go to.
class KeptCaptions {
 public:
  static Result<KeptCaptions> open(const std::filesystem::path& path);

  const ImageCaptions* find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
  }
  size_t size() const { return by_name_.size(); }
  // How the caption in the file's first line was made; null in a new file.
  const json& first() const { return first_; }
  // Keeps a line of `caption --json`.
  Status add(const std::string& line);

 private:
  Status read();
  void remember(CaptionFile file) {
    for (ImageCaptions& image : file.images) by_name_.insert_or_assign(image.id, std::move(image));
  }

  KeptLines file_;
  std::unordered_map<std::string, ImageCaptions> by_name_;
  json first_;
};

Status KeptCaptions::read() {
  std::string text;
  const auto add = [&](std::string_view line, LinePlace) -> Status {
    if (text.empty()) first_ = json::parse(line, nullptr, false);
    text.append(line).append("\n");
    return {};
  };
  FASTVLM_ASSIGN(const std::string torn, visit_lines(file_.path(), add));
  const std::string path = file_.path().string();
  const bool ours = torn.starts_with(kLineStart) || kLineStart.starts_with(torn);
  if (!ours || (!text.empty() && (!first_.is_object() || !first_.contains("provenance")))) {
    return error(Code::kInvalid, cat(path, ": expected captions of an earlier run"),
                 "give the name of a new file");
  }
  if (!text.empty()) {
    FASTVLM_ASSIGN(CaptionFile file, parse_captions(text, path));
    for (const ImageCaptions& image : file.images) {
      if (image.captions.size() == 1) continue;
      return error(Code::kInvalid,
                   cat(path, ": expected one caption a picture, found ", image.captions.size(),
                       " of ", image.id),
                   "take the others out, or give the name of a new file");
    }
    remember(std::move(file));
  }
  return file_.drop(torn);
}

Result<KeptCaptions> KeptCaptions::open(const std::filesystem::path& path) {
  KeptCaptions kept;
  if (path.empty()) return kept;
  FASTVLM_ASSIGN(kept.file_, KeptLines::open(path));
  FASTVLM_RETURN_IF_ERROR(kept.read());
  return kept;
}

Status KeptCaptions::add(const std::string& line) {
  FASTVLM_ASSIGN(CaptionFile file, parse_captions(line, "caption"));
  remember(std::move(file));
  return file_.is_open() ? file_.append(line).status() : Status{};
}

class Captioner {
 public:
  Captioner(const std::shared_ptr<const Engine>& engine, ThreadPool& pool,
            const CaptionSetOptions& options)
      : engine_(engine.get()), session_(engine, pool), options_(options) {}

  Status check() const { return session_.check_request(options_.request); }

  // The line of `caption --json` for an image.
  Result<std::string> line(const EvaluatedImage& image) {
    const std::filesystem::path path = picture_file(options_.pictures, image.name());
    if (path.empty()) {
      return error(Code::kNotFound,
                   cat((options_.pictures / image.name()).string(), ": no such file"),
                   "--pictures names the folder of the pictures");
    }
    FASTVLM_ASSIGN(const Image picture, load_image(path, options_.decode));
    CaptionRequest request = options_.request;
    request.tags = image.tags;
    FASTVLM_ASSIGN(Caption caption, session_.caption(picture, request));
    record_decoding(options_.decode, caption.provenance);
    FASTVLM_ASSIGN(const ModelIdentity identity, engine_->identity());
    return to_json(caption, identity, image.name());
  }

 private:
  const Engine* engine_;
  Session session_;
  const CaptionSetOptions& options_;
};

Status made_otherwise(const CaptionSetOptions& options, const std::string& image) {
  return error(Code::kInvalid,
               cat(options.keep.string(), ": the caption of ", image,
                   " was made with another model, prompt, precision or tags"),
               "give a new file, or the options of the earlier run");
}

// The caption of the file's first line is made once more: it tells whether the others fit.
Status check_kept(const KeptCaptions& kept, const CaptionSetOptions& options,
                  const EvaluationSet& set, Captioner& captioner) {
  const auto same_tags = [](const Tag& a, const Tag& b) { return tag_text(a) == tag_text(b); };
  for (const EvaluatedImage& image : set.images) {
    const ImageCaptions* known = kept.find(image.name());
    if (known == nullptr) continue;
    if (!std::equal(known->tags.begin(), known->tags.end(), image.tags.begin(), image.tags.end(),
                    same_tags)) {
      return made_otherwise(options, image.name());
    }
    if (kept.first().value("image", json()) != image.name()) continue;
    FASTVLM_ASSIGN(const std::string line, captioner.line(image));
    if (json::parse(line)["provenance"] != kept.first()["provenance"]) {
      return made_otherwise(options, image.name());
    }
  }
  return {};
}

// Now and then, how far a run has come.
class SetProgress {
 public:
  explicit SetProgress(size_t total) : total_(total) {}
  void step(size_t done, size_t made, size_t failed) {
    if (watch_.seconds() < shown_ + kSecondsBetweenNotes) return;
    shown_ = watch_.seconds();
    const auto a_minute = static_cast<int>(60 * static_cast<double>(made) / shown_);
    note(cat(done, " of ", total_, " pictures, ", a_minute, " a minute",
             failed > 0 ? cat(", ", failed, " failed") : ""));
  }

 private:
  size_t total_;
  Stopwatch watch_;
  double shown_ = 0;
};

}  // namespace

Result<size_t> caption_set(const std::shared_ptr<const Engine>& engine, ThreadPool& pool,
                           const CaptionSetOptions& options, EvaluationSet& set) {
  FASTVLM_ASSIGN(KeptCaptions kept, KeptCaptions::open(options.keep));
  Captioner captioner(engine, pool, options);
  FASTVLM_RETURN_IF_ERROR(captioner.check());
  FASTVLM_RETURN_IF_ERROR(check_kept(kept, options, set, captioner));
  if (kept.size() > 0) {
    note(cat(kept.size(), kept.size() == 1 ? " caption is" : " captions are",
             " there from an earlier run"));
  }
  SetProgress progress(set.images.size());
  std::vector<EvaluatedImage> captioned;
  std::vector<std::string> failed;
  size_t made = 0;
  for (EvaluatedImage& image : set.images) {
    if (kept.find(image.name()) == nullptr) {
      const Result<std::string> line = captioner.line(image);
      if (!line.ok()) {
        report(line.status());
        failed.push_back(image.id);
        continue;
      }
      FASTVLM_RETURN_IF_ERROR(kept.add(*line));
      ++made;
    }
    const ImageCaptions& caption = *kept.find(image.name());
    image.candidate = caption.captions[0];
    image.finish_reason = caption.finish_reason;
    captioned.push_back(std::move(image));
    progress.step(captioned.size() + failed.size(), made, failed.size());
  }
  if (captioned.empty()) {
    return error(Code::kInvalid, cat("none of ", set.images.size(), " pictures was captioned"),
                 "the lines above say why");
  }
  if (!failed.empty()) {
    set.warnings.push_back(
        cat(failed.size(), " of ", set.images.size(),
            " pictures could not be captioned and are left out: ", listed(failed)));
  }
  set.images = std::move(captioned);
  warn_of_empty_captions(set);
  return failed.size();
}

}  // namespace fastvlm::cli
