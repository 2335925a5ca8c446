// SPDX-License-Identifier: Apache-2.0
#include "evaluate/evaluation_set.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <unordered_map>

#include "base/strings.h"
#include "evaluate/ptb_tokenizer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

constexpr size_t kMostListed = 20;

using Ids = std::vector<std::string>;

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

// "391895" of COCO_val2014_000000391895.jpg; empty when the name does not end with digits.
std::string trailing_number(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  size_t start = stem.size();
  while (start > 0 && std::isdigit(static_cast<unsigned char>(stem[start - 1])) != 0) --start;
  if (start == stem.size()) return {};
  const size_t first = stem.find_first_not_of('0', start);
  return first == std::string::npos ? "0" : stem.substr(first);
}

// Finds images by what another file calls them.
class ImageNames {
 public:
  // `images` have an id and a file.
  template <typename Image>
  explicit ImageNames(const std::vector<Image>& images) {
    for (size_t i = 0; i < images.size(); ++i) {
      by_name_.emplace(images[i].id, i);
      if (!images[i].file.empty()) by_name_.emplace(file_name(images[i].file), i);
    }
  }
  // The number of the image, or nothing.
  std::optional<size_t> find(const ImageCaptions& image) const {
    for (const std::string& name :
         {image.id, file_name(image.id), file_name(image.file), trailing_number(image.id)}) {
      const auto found = by_name_.find(name);
      if (!name.empty() && found != by_name_.end()) return found->second;
    }
    return std::nullopt;
  }

 private:
  std::unordered_map<std::string, size_t> by_name_;
};

Status problem(const CaptionFile& file, const Ids& ids, const std::string& what,
               const std::string& hint) {
  return error(Code::kInvalid,
               cat(file.name, ": ", ids.size(), ids.size() == 1 ? " image " : " images ", what,
                   ": ", listed(ids)),
               hint);
}

Status check_captions(const CaptionFile& file, const PairingOptions& options) {
  if (!file.without_utf8.empty()) {
    return problem(file, file.without_utf8, "whose caption is not UTF-8",
                   "write the file as UTF-8");
  }
  Ids with_line_ends;
  for (const ImageCaptions& image : file.images) {
    if (std::any_of(image.captions.begin(), image.captions.end(), has_line_end)) {
      with_line_ends.push_back(image.id);
    }
  }
  if (with_line_ends.empty() || options.join_lines) return {};
  return problem(file, with_line_ends, "whose caption holds a line end",
                 "--join-lines reads line ends as spaces; the reference tools would shift captions "
                 "against images");
}

Status check_references(const CaptionFile& references) {
  Ids without;
  for (const ImageCaptions& image : references.images) {
    if (image.captions.empty()) without.push_back(image.id);
  }
  if (without.empty()) return {};
  return problem(references, without, "without a reference",
                 "remove them from `images`, or add captions");
}

// Which prediction belongs to each image of the references.
Result<std::vector<const ImageCaptions*>> matched(const CaptionFile& references,
                                                  const CaptionFile& predictions) {
  const ImageNames names(references.images);
  std::vector<const ImageCaptions*> found(references.images.size(), nullptr);
  Ids unknown;
  Ids twice;
  for (const ImageCaptions& prediction : predictions.images) {
    const auto at = names.find(prediction);
    if (!at) {
      unknown.push_back(prediction.id);
    } else if (found[*at] != nullptr || prediction.captions.size() > 1) {
      twice.push_back(prediction.id);
    } else {
      found[*at] = &prediction;
    }
  }
  if (!twice.empty()) {
    return problem(predictions, twice, "with more than one caption", "keep one caption an image");
  }
  if (!unknown.empty()) {
    return problem(predictions, unknown, cat("that ", references.name, " does not have"),
                   "give the references of these images, or remove their predictions");
  }
  return found;
}

std::string joined_lines(const std::string& caption) {
  std::u32string points = code_points(caption);
  std::replace_if(points.begin(), points.end(), is_line_end, U' ');
  return to_utf8(points);
}

}  // namespace

std::string listed(const std::vector<std::string>& ids) {
  std::string text;
  const size_t count = std::min(ids.size(), kMostListed);
  for (size_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + ids[i];
  if (ids.size() > count) text += cat(" and ", ids.size() - count, " more");
  return text;
}

Result<EvaluationSet> reference_set(const CaptionFile& references, const PairingOptions& options) {
  FASTVLM_RETURN_IF_ERROR(check_captions(references, options));
  FASTVLM_RETURN_IF_ERROR(check_references(references));
  EvaluationSet set;
  for (const ImageCaptions& image : references.images) {
    set.images.push_back({image.id, image.file, image.captions, {}, {}, {}});
  }
  return set;
}

void warn_of_empty_captions(EvaluationSet& set) {
  Ids empty;
  for (const EvaluatedImage& image : set.images) {
    if (trimmed(image.candidate).empty()) empty.push_back(image.id);
  }
  if (empty.empty()) return;
  set.warnings.push_back(cat(empty.size(), empty.size() == 1 ? " caption is" : " captions are",
                             " empty and scored as such: ", listed(empty)));
}

Result<EvaluationSet> pair_captions(const CaptionFile& references, const CaptionFile& predictions,
                                    const PairingOptions& options) {
  FASTVLM_ASSIGN(EvaluationSet all, reference_set(references, options));
  FASTVLM_RETURN_IF_ERROR(check_captions(predictions, options));
  FASTVLM_ASSIGN(const std::vector<const ImageCaptions*> found, matched(references, predictions));
  EvaluationSet set;
  Ids missing;
  for (size_t i = 0; i < found.size(); ++i) {
    EvaluatedImage& image = all.images[i];
    if (found[i] == nullptr) {
      missing.push_back(image.id);
      continue;
    }
    if (image.file.empty()) image.file = found[i]->file;
    image.candidate = found[i]->captions[0];
    image.tags = found[i]->tags;
    image.finish_reason = found[i]->finish_reason;
    set.images.push_back(std::move(image));
  }
  if (!missing.empty() && !options.subset) {
    return problem(predictions, missing, cat("of ", references.name, " without a caption"),
                   "caption them too, or score the others alone with --subset");
  }
  if (!missing.empty()) {
    set.warnings.push_back(
        cat(missing.size(), " of ", found.size(),
            " images have no prediction and are left out (--subset): ", listed(missing)));
  }
  warn_of_empty_captions(set);
  return set;
}

Status attach_tags(const CaptionFile& tags, EvaluationSet& set, const PairingOptions& options) {
  const ImageNames names(set.images);
  Ids unknown;
  for (const ImageCaptions& image : tags.images) {
    const auto at = names.find(image);
    if (at) {
      set.images[*at].tags = image.tags;
    } else {
      unknown.push_back(image.id);
    }
  }
  if (unknown.empty() || options.subset) return {};
  return problem(tags, unknown, "that is not scored", "remove their tags");
}

std::vector<TokenizedImage> tokenize(const EvaluationSet& set, bool tokenized) {
  std::vector<std::string> references;
  std::vector<std::string> candidates;
  for (const EvaluatedImage& image : set.images) {
    for (const std::string& reference : image.references) {
      references.push_back(joined_lines(reference));
    }
    candidates.push_back(joined_lines(image.candidate));
  }
  if (!tokenized) {
    references = tokenize_captions(references);
    candidates = tokenize_captions(candidates);
  }
  std::vector<TokenizedImage> images;
  auto next = references.begin();
  for (size_t i = 0; i < set.images.size(); ++i) {
    const auto end = next + static_cast<long>(set.images[i].references.size());
    images.push_back(
        {{std::make_move_iterator(next), std::make_move_iterator(end)}, std::move(candidates[i])});
    next = end;
  }
  return images;
}

}  // namespace fastvlm
