// SPDX-License-Identifier: Apache-2.0
#include "caption/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/sha256.h"
#include "base/stopwatch.h"
#include "base/strings.h"
#include "caption/caption_json.h"
#include "caption/draft_corpus.h"
#include "kernels/dot_matrix.h"
#include "kernels/table.h"
#include "language/adapter_file.h"
#include "vision/tower_plan.h"

namespace fastvlm {
namespace {

std::string folder_name(const std::filesystem::path& folder) {
  std::error_code ignored;
  const std::filesystem::path absolute = std::filesystem::weakly_canonical(folder, ignored);
  return (absolute.filename().empty() ? absolute.parent_path() : absolute).filename().string();
}

Status check_parts(const Checkpoint& checkpoint) {
  const std::string folder = checkpoint.folder().string();
  if (!checkpoint.has_language()) {
    return error(Code::kInvalid,
                 cat(folder, ": expected a language model (model.layers.*), found none"),
                 "give the folder of a FastVLM checkpoint");
  }
  if (!checkpoint.has_projector()) {
    return error(Code::kInvalid, cat(folder, ": expected a projector (mm_projector), found none"),
                 "this is a language model without eyes; give the folder of a FastVLM checkpoint");
  }
  if (!checkpoint.has_vision()) {
    return error(Code::kNotFound, cat(folder, ": expected a vision tower, found none"),
                 "an export without its tower needs --vision-tower FILE, or "
                 "vision_tower.safetensors beside it");
  }
  return {};
}

Status check_widths(const ImageEncoder& encoder, const ModelConfig& config) {
  const VisionTower& tower = encoder.tower;
  const Projector& projector = encoder.projector;
  if (projector.input_width() != tower.channels()) {
    return error(
        Code::kInvalid,
        cat("projector.0.weight: expected ", tower.channels(), " inputs as the tower gives (",
            tower.kind(), "), found ", projector.input_width()),
        "this projector belongs to another tower (3072 is FastViTHD's, 1024 MobileCLIP-S0's); give "
        "that one with --vision-tower");
  }
  if (projector.output_width() != config.language.hidden_size) {
    return error(Code::kInvalid,
                 cat("projector.2.weight: expected ", config.language.hidden_size,
                     " outputs as the language model reads, found ", projector.output_width()),
                 "projector and language model come from different checkpoints");
  }
  return {};
}

// Before the language model turns them into logits that are none either.
Status check_tokens(const Tokens& tokens, int64_t expected, const Checkpoint& checkpoint) {
  if (tokens.count != expected) {
    return error(Code::kInvalid,
                 cat(checkpoint.folder().string(), ": vision tower: expected ", expected,
                     " tokens of a picture, found ", tokens.count),
                 "this is no tower of the FastViT family");
  }
  const bool finite = std::all_of(tokens.values.begin(), tokens.values.end(),
                                  [](float value) { return std::isfinite(value); });
  if (finite) return {};
  return error(
      Code::kInvalid,
      cat(checkpoint.folder().string(),
          ": what the vision tower makes of the picture is not finite"),
      "look the checkpoint over with `fastvlm doctor`: it names weights that are not finite");
}

}  // namespace

Result<Preprocessing> preprocessing_of(const ModelConfig& config, int64_t stride,
                                       const EngineOptions& options) {
  Preprocessing result;
  const Aspect stated = config.image_aspect_ratio == "pad" ? Aspect::kPad : Aspect::kCrop;
  result.aspect = options.aspect.value_or(stated);
  // MobileCLIP-S0, whose stride is 32, is at home at 256, FastViTHD at 1024.
  const int64_t native = stride == 32 ? 256 : 1024;
  const int64_t size = options.image_size      ? *options.image_size
                       : config.image_size > 0 ? config.image_size
                                               : native;
  const int64_t grid = std::max<int64_t>(stride, 1);
  if (size <= 0 || size > kMostImageSide || size % grid != 0) {
    const bool asked = options.image_size.has_value();
    const int64_t nearest =
        std::clamp<int64_t>((size + grid / 2) / grid, 1, kMostImageSide / grid) * grid;
    return error(asked ? Code::kUsage : Code::kInvalid,
                 cat(asked ? "--image-size" : "config.json: image size",
                     ": expected a multiple of the tower's stride ", grid, " up to ",
                     kMostImageSide, ", found ", size),
                 cat("use --image-size ", nearest));
  }
  result.size = static_cast<int>(size);
  result.mean = config.image_mean;
  result.std = config.image_std;
  for (size_t c = 0; c < 3; ++c) {
    if (!(result.mean[c] >= 0 && result.mean[c] <= 1 && result.std[c] > 0)) {
      return error(Code::kInvalid,
                   cat("image processor: expected means from 0 to 1 and deviations above 0, found ",
                       bracketed(result.mean), " and ", bracketed(result.std)),
                   "mend image_mean and image_std in preprocessor_config.json");
    }
    result.background[c] = static_cast<uint8_t>(result.mean[c] * 255.0F);
  }
  return result;
}

Arithmetic vision_arithmetic(std::optional<Arithmetic> asked) {
  return asked ? *asked : fastest_arithmetic();
}

std::string weights_description(const Checkpoint& checkpoint) {
  const LanguageConfig& language = checkpoint.config().language;
  const auto matrix = checkpoint.matrix("model.layers.0.self_attn.q_proj.weight",
                                        language.heads * language.head_dim, language.hidden_size);
  if (!matrix.ok()) return "unknown";
  switch (matrix->type) {
    case WeightType::kF32:
      return "f32";
    case WeightType::kF16:
      return "f16";
    case WeightType::kBF16:
      return "bf16";
    case WeightType::kQ4:
    case WeightType::kQ8:
      break;
  }
  return cat("q", checkpoint.config().quantization->bits, " g", matrix->group);
}

Result<std::vector<float>> splice(const Qwen2& language, std::span<const TokenId> ids,
                                  const Tokens& image) {
  const auto hidden = static_cast<size_t>(language.config().hidden_size);
  const auto holes = std::count(ids.begin(), ids.end(), kImageToken);
  if (holes > 1 || (holes == 1 && image.width != language.config().hidden_size)) {
    return error(Code::kUsage,
                 cat("prompt: expected at most one image (", kImageToken, ") of tokens ", hidden,
                     " wide, found ", holes, " of width ", image.width));
  }
  const auto inserted = holes == 1 ? static_cast<size_t>(image.count) : 0;
  std::vector<float> rows((ids.size() - static_cast<size_t>(holes) + inserted) * hidden);
  const auto hole = std::find(ids.begin(), ids.end(), kImageToken);
  const auto before = static_cast<size_t>(hole - ids.begin());
  FASTVLM_RETURN_IF_ERROR(language.embed(ids.first(before), rows.data()));
  if (holes == 1) {
    std::copy(image.values.begin(), image.values.end(),
              rows.begin() + static_cast<std::ptrdiff_t>(before * hidden));
    FASTVLM_RETURN_IF_ERROR(
        language.embed(ids.subspan(before + 1), rows.data() + (before + inserted) * hidden));
  }
  return rows;
}

Engine::Engine(Checkpoint checkpoint, Tokenizer tokenizer, Precision precision)
    : checkpoint_(std::move(checkpoint)), tokenizer_(std::move(tokenizer)), precision_(precision) {}

// How pictures come in, what that takes, and whether tower and language model take turns.
Status Engine::plan(const EngineOptions& options) {
  const TowerPlan tower = plan_tower(checkpoint_, precision_.vision);
  FASTVLM_ASSIGN(preprocessing_, preprocessing_of(checkpoint_.config(), tower.stride, options));
  plan_ = plan_memory(checkpoint_, tower, preprocessing_.size, options.text_tokens);
  plan_.decoding *= options.sessions;
  if (options.adapter) FASTVLM_RETURN_IF_ERROR(take_adapter(*options.adapter));
  const int64_t tokens_a_side = tower.stride == 0 ? 0 : preprocessing_.size / tower.stride;
  image_tokens_ = tokens_a_side * tokens_a_side;
  const int64_t limit = options.memory_limit.value_or(INT64_MAX);
  keep_tower_ = options.keep_tower && plan_.peak() <= limit;
  if (keep_tower_) return {};
  const auto mb = [](int64_t bytes) { return megabytes(static_cast<double>(bytes)); };
  if (options.sessions > 1) {
    return error(Code::kLimit,
                 cat("memory: expected to do with ", mb(limit), ", needed are ", mb(plan_.peak()),
                     " (program ", mb(plan_.program), ", tower ", mb(plan_.encoder), " + ",
                     mb(plan_.encoding), ", language model ", mb(plan_.language), ", ",
                     options.sessions, " answers at once ", mb(plan_.decoding), ")"),
                 "allow more, or fewer answers at once, fewer tokens or a smaller --image-size");
  }
  waiting_adapter_.reset();  // the tower comes first, and alone
  if (plan_.peak_in_turns() <= limit) return {};
  return error(
      Code::kLimit,
      cat("memory: expected to do with ", mb(limit), ", needed are ", mb(plan_.peak_in_turns()),
          " (program ", mb(plan_.program), "; tower ", mb(plan_.encoder), " + ", mb(plan_.encoding),
          ", then language model ", mb(plan_.language), " + ", mb(plan_.decoding), ")"),
      "allow more, or take a model stored in 4 bits or a smaller --image-size");
}

// What is wrong with it is found before the weights are read.
Status Engine::take_adapter(const AdapterChoice& choice) {
  adapter_ = choice;
  FASTVLM_ASSIGN(waiting_adapter_, load_adapter(choice.folder, checkpoint_.config().language));
  const auto bytes = [](int64_t numbers) { return numbers * static_cast<int64_t>(sizeof(float)); };
  plan_.language += bytes(waiting_adapter_->projector_offset());
  if (!waiting_adapter_->projector()) return {};
  FASTVLM_ASSIGN(const ProjectorWeights own, read_projector(checkpoint_));
  FASTVLM_ASSIGN(tuned_projector_,
                 blend(own, waiting_adapter_->projector_weights(), choice.strength));
  plan_.encoder += bytes(own.shape.size());  // packed
  plan_.program += bytes(own.shape.size());
  return {};
}

// A table that is asked for must be good; one that merely lies there may be left alone.
Status Engine::load_drafts(const EngineOptions& options) {
  draft_ = options.draft;
  const std::filesystem::path beside = options.model / kDraftsFileName;
  std::error_code ignored;
  if (!draft_ || (!options.drafts && !std::filesystem::exists(beside, ignored))) return {};
  auto table = DraftTable::load(options.drafts.value_or(beside), vocabulary_digest(tokenizer_));
  if (table.ok()) {
    drafts_ = std::make_shared<const DraftTable>(std::move(*table));
    return {};
  }
  if (options.drafts) return table.status();
  warnings_.push_back(table.status().message);
  return {};
}

Status Engine::open_token_cache(const EngineOptions& options) {
  TokenCacheOptions cache = options.token_cache;
  if (options.memory_limit) cache.memory_bytes = 0;
  token_cache_ = std::make_unique<TokenCache>(std::move(cache));
  return token_cache_->prepare();
}

// All that the tokens depend on. In memory there is one model; on disk there may be many.
Result<std::string> Engine::token_key(const Image& pixels) const {
  std::string settings = cat("fastvlm ", program_version(), ", ", describe(preprocessing_), ", ",
                             arithmetic_name(precision_.vision), ", ", current_isa(), "\n");
  if (token_cache_->on_disk()) {
    FASTVLM_ASSIGN(const ModelIdentity model, identity());
    settings += cat("model ", model.sha256, "\n");
    if (tuned_projector_) {
      settings += cat("projector ", model.adapter->sha256, " ", model.adapter->strength, "\n");
    }
  }
  Sha256 digest;
  digest.update(settings);
  digest.update(std::as_bytes(std::span(preprocessing_.mean)));  // said above, but rounded
  digest.update(std::as_bytes(std::span(preprocessing_.std)));
  digest.update(std::as_bytes(std::span(pixels.rgb)));
  return digest.finish();
}

std::optional<Drafter> Engine::drafter() const {
  if (!draft_) return std::nullopt;
  return Drafter(drafts_);
}

std::vector<std::string> Engine::warnings() const {
  std::vector<std::string> all = checkpoint_.warnings();
  all.insert(all.end(), warnings_.begin(), warnings_.end());
  return all;
}

Result<std::shared_ptr<const Engine>> Engine::load(const EngineOptions& options, ThreadPool& pool) {
  FASTVLM_ASSIGN(Checkpoint checkpoint, Checkpoint::open(options.model, {options.vision_tower}));
  FASTVLM_RETURN_IF_ERROR(check_parts(checkpoint));
  FASTVLM_ASSIGN(Tokenizer tokenizer, Tokenizer::load(options.model));
  // A prompt that the tokenizer cannot write is found before the weights are read.
  FASTVLM_RETURN_IF_ERROR(conversation_ids(tokenizer, "", PromptOrder::kImageFirst).status());
  const Precision precision{vision_arithmetic(options.vision), options.language};
  const std::shared_ptr<Engine> engine(
      new Engine(std::move(checkpoint), std::move(tokenizer), precision));
  FASTVLM_RETURN_IF_ERROR(engine->plan(options));
  if (!is_fast(precision.vision)) {
    engine->warnings_.emplace_back(
        "the kernels in use have no instructions for the tower at this precision: it is slower "
        "than at the one that --precision auto takes");
  }
  FASTVLM_RETURN_IF_ERROR(engine->load_drafts(options));
  FASTVLM_RETURN_IF_ERROR(engine->open_token_cache(options));
  // Where tokens are on disk, the tower may never be needed.
  const bool later = engine->token_cache_->on_disk() && engine->image_tokens_ > 0;
  if (!later) {
    FASTVLM_ASSIGN(const auto encoder, engine->encoder(pool));
    const int64_t side = engine->preprocessing_.size;
    engine->image_tokens_ = encoder->tower.token_count(side, side);
  }
  if (engine->keep_tower_) FASTVLM_RETURN_IF_ERROR(engine->language(pool).status());
  return std::shared_ptr<const Engine>(engine);
}

Result<std::shared_ptr<const ImageEncoder>> Engine::encoder(ThreadPool& pool) const {
  const std::lock_guard<std::mutex> lock(loading_);
  if (encoder_) return encoder_;
  if (!keep_tower_) language_.reset();
  FASTVLM_ASSIGN(VisionTower tower, VisionTower::load(checkpoint_, pool, precision_.vision));
  Result<Projector> projector = tuned_projector_ ? Projector::pack(*tuned_projector_, pool)
                                                 : Projector::load(checkpoint_, pool);
  if (!projector.ok()) return projector.status();
  ImageEncoder encoder{std::move(tower), std::move(*projector)};
  FASTVLM_RETURN_IF_ERROR(check_widths(encoder, checkpoint_.config()));
  encoder_ = std::make_shared<const ImageEncoder>(std::move(encoder));
  return encoder_;
}

// From the pixels to the tower's tokens.
Result<Tokens> Engine::encode(const ImageEncoder& seeing, const Image& pixels, ThreadPool& pool,
                              Timings& timings) const {
  Stopwatch watch;
  const std::vector<float> values = to_floats(pixels, preprocessing_);
  timings.preprocess_seconds += watch.lap();
  FASTVLM_ASSIGN(Tokens tokens, seeing.tower.encode(values.data(), preprocessing_.size,
                                                    preprocessing_.size, pool));
  timings.vision_seconds += watch.lap();
  FASTVLM_RETURN_IF_ERROR(check_tokens(tokens, image_tokens_, checkpoint_));
  return tokens;
}

Result<Tokens> Engine::see(const Image& pixels, ThreadPool& pool, Timings& timings) const {
  Stopwatch watch;
  FASTVLM_ASSIGN(const auto seeing, encoder(pool));
  timings.load_seconds += watch.lap();
  FASTVLM_ASSIGN(const Tokens tokens, encode(*seeing, pixels, pool, timings));
  watch.lap();
  Tokens projected = seeing->projector.project(tokens, pool);
  timings.vision_seconds += watch.lap();
  FASTVLM_RETURN_IF_ERROR(check_tokens(projected, image_tokens_, checkpoint_));
  return projected;
}

Result<Tokens> Engine::see_unprojected(const Image& pixels, ThreadPool& pool,
                                       Timings& timings) const {
  Stopwatch watch;
  FASTVLM_ASSIGN(const auto seeing, encoder(pool));
  timings.load_seconds += watch.lap();
  return encode(*seeing, pixels, pool, timings);
}

Result<std::shared_ptr<const Qwen2>> Engine::language(ThreadPool& pool) const {
  const std::lock_guard<std::mutex> lock(loading_);
  if (language_) return language_;
  if (!keep_tower_) encoder_.reset();
  FASTVLM_ASSIGN(Qwen2 language, Qwen2::load(checkpoint_, pool, precision_.language));
  if (adapter_) {
    if (!waiting_adapter_) {
      FASTVLM_ASSIGN(waiting_adapter_, load_adapter(adapter_->folder, language.config()));
    }
    FASTVLM_RETURN_IF_ERROR(language.attach(*waiting_adapter_, adapter_->strength, pool));
    waiting_adapter_.reset();
  }
  language_ = std::make_shared<const Qwen2>(std::move(language));
  return language_;
}

std::vector<TokenId> Engine::stop_ids() const {
  std::vector<TokenId> ids;
  for (const int64_t id : checkpoint_.config().eos_token_ids)
    ids.push_back(static_cast<TokenId>(id));
  // The end of a turn in our template, whatever the config says.
  if (const auto end = tokenizer_.find("<|im_end|>")) ids.push_back(*end);
  return ids;
}

Result<ModelIdentity> Engine::identify() const {
  ModelIdentity identity{folder_name(checkpoint_.folder()), "", weights_description(checkpoint_)};
  FASTVLM_ASSIGN(identity.sha256, checkpoint_.content_hash());
  if (!adapter_) return identity;
  FASTVLM_ASSIGN(std::string digest, adapter_digest(adapter_->folder));
  identity.adapter = {folder_name(adapter_->folder), std::move(digest), adapter_->strength};
  return identity;
}

Result<ModelIdentity> Engine::identity() const {
  std::call_once(identified_, [this] { identity_ = identify(); });
  return *identity_;
}

}  // namespace fastvlm
