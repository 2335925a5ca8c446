// SPDX-License-Identifier: Apache-2.0
// The one face of a model for all front ends. Goals: everything that can be refused is refused
// before work starts (widths that do not fit, sizes off the tower's grid, a prompt too long), an
// Engine is a model and never changes, a Session is one timeline. Non-goals: reading picture files,
// printing, chat without an image.
//
// Threads: any number of sessions may use one engine, each called by one thread at a time, with its
// own ThreadPool or with a SharedPool.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "caption/caption.h"
#include "caption/memory_plan.h"
#include "caption/token_cache.h"
#include "formats/checkpoint.h"
#include "image/preprocess.h"
#include "kernels/precision.h"
#include "language/compute.h"
#include "language/drafter.h"
#include "language/qwen2.h"
#include "text/tokenizer.h"
#include "vision/projector.h"
#include "vision/tower.h"

namespace fastvlm {

// A LoRA adapter that is read beside the weights (language/adapter_file.h).
struct AdapterChoice {
  std::filesystem::path folder;
  float strength = 1;  // times its own scale
};

struct EngineOptions {
  std::filesystem::path model;  // the checkpoint folder
  std::optional<std::filesystem::path> vision_tower;
  std::optional<Aspect> aspect;   // else as the checkpoint says
  std::optional<int> image_size;  // side in pixels, else as the checkpoint says
  // Of the tower's products; none: the fastest of this machine whose tokens keep a cosine of 0.999
  // with those of f32 (docs/ACCURACY.md).
  std::optional<Arithmetic> vision = Arithmetic::kF32;
  Arithmetic language = Arithmetic::kInt8;  // of the decoder's products (docs/ACCURACY.md)
  // Else tower and language model take turns in memory, and whichever is wanted next is read again:
  // for a single picture, which loses nothing by it, or where memory is scarcer than time.
  bool keep_tower = true;
  // Bytes that must do: tower and language model take turns if both do not fit, and what fits
  // neither way is refused before anything is read.
  std::optional<int64_t> memory_limit = {};
  int64_t text_tokens = 556;  // of a prompt with its answer, for the plan
  // That answer at once, for the plan; with several there are no turns to take.
  int sessions = 1;
  // Guesses at what an answer will say save time and change nothing in it (language/drafter.h).
  // `drafts` is a table for them; none: the one beside the model, if there is one.
  bool draft = true;
  std::optional<std::filesystem::path> drafts = {};
  std::optional<AdapterChoice> adapter = {};
  // Where the tokens of pictures are kept; in memory only where no limit was set to it.
  TokenCacheOptions token_cache = {};
};

// Which model this is, for provenance.
struct ModelIdentity {
  std::string name;     // the folder's name, not its path
  std::string sha256;   // of the weight files and the config
  std::string weights;  // "q4 g64", "bf16", ...: how the language model is stored
  struct Adapter {
    std::string name;    // the folder's
    std::string sha256;  // of its two files
    float strength = 1;
  };
  std::optional<Adapter> adapter = {};
};

// The longest side of the tower's input that is accepted.
inline constexpr int64_t kMostImageSide = 4096;

// How pictures become the tower's input: as the options say, else as the config does, else the
// family's own size. The side must be a multiple of the tower's `stride`; 0 when the tower is not
// known.
Result<Preprocessing> preprocessing_of(const ModelConfig& config, int64_t stride,
                                       const EngineOptions& options);

// What EngineOptions::vision asks for, or the machine's best.
Arithmetic vision_arithmetic(std::optional<Arithmetic> asked);

// "q4 g64", "bf16", ...
std::string weights_description(const Checkpoint& checkpoint);

// The rows that the language model reads: embeddings of `ids`, and `image` (projected tokens) where
// kImageToken stands. [ids.size() - 1 + image.count, hidden_size]. At most one image; an id without
// an embedding is an error.
Result<std::vector<float>> splice(const Qwen2& language, std::span<const TokenId> ids,
                                  const Tokens& image);

// What sees: pixels become tokens as wide as the language model's embeddings.
struct ImageEncoder {
  VisionTower tower;
  Projector projector;
};

class Engine {
 public:
  // With keep_tower all weights are read here, else those of the tower.
  static Result<std::shared_ptr<const Engine>> load(const EngineOptions& options, ThreadPool& pool);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Preprocessing& preprocessing() const { return preprocessing_; }
  Precision precision() const { return precision_; }  // as asked, or as chosen
  const MemoryPlan& memory_plan() const { return plan_; }
  bool keeps_tower() const { return keep_tower_; }

  std::vector<TokenId> stop_ids() const;      // any of them ends an answer
  std::optional<Drafter> drafter() const;     // a new one for a session; none: switched off
  std::vector<std::string> warnings() const;  // what is odd about the model's files
  int64_t image_tokens() const { return image_tokens_; }

  // The two halves of the weights, shared by all who hold them. Without keep_tower asking for one
  // lets the other go and may read files: hold on to neither for longer than it is needed.
  Result<std::shared_ptr<const ImageEncoder>> encoder(ThreadPool& pool) const;
  Result<std::shared_ptr<const Qwen2>> language(ThreadPool& pool) const;

  // What tower and projector make of the pixels that the tower sees; the times it took are added to
  // `timings`. kInvalid for a model whose numbers are not finite.
  Result<Tokens> see(const Image& pixels, ThreadPool& pool, Timings& timings) const;
  // What the projector reads: the tower's tokens alone.
  Result<Tokens> see_unprojected(const Image& pixels, ThreadPool& pool, Timings& timings) const;

  // Tokens of pictures that were seen before, shared by all sessions, and what a picture is called
  // there: `pixels` are those that the tower sees.
  TokenCache& token_cache() const { return *token_cache_; }
  Result<std::string> token_key(const Image& pixels) const;

  // Reads all weight files once, on the first call; any thread may ask.
  Result<ModelIdentity> identity() const;

 private:
  Engine(Checkpoint checkpoint, Tokenizer tokenizer, Precision precision);

  Status plan(const EngineOptions& options);
  Status take_adapter(const AdapterChoice& choice);
  Result<Tokens> encode(const ImageEncoder& seeing, const Image& pixels, ThreadPool& pool,
                        Timings& timings) const;
  Result<ModelIdentity> identify() const;
  Status load_drafts(const EngineOptions& options);
  Status open_token_cache(const EngineOptions& options);

  Checkpoint checkpoint_;
  Tokenizer tokenizer_;
  Precision precision_;
  bool keep_tower_ = true;
  MemoryPlan plan_;
  Preprocessing preprocessing_;
  int64_t image_tokens_ = 0;
  std::optional<AdapterChoice> adapter_;
  bool draft_ = true;
  std::shared_ptr<const DraftTable> drafts_;
  std::unique_ptr<TokenCache> token_cache_;
  std::vector<std::string> warnings_;
  mutable std::mutex loading_;
  mutable std::shared_ptr<const ImageEncoder> encoder_;
  mutable std::shared_ptr<const Qwen2> language_;
  mutable std::optional<LoraAdapter> waiting_adapter_;  // read, not yet attached
  std::optional<ProjectorWeights> tuned_projector_;     // in place of the checkpoint's
  mutable std::once_flag identified_;
  mutable std::optional<Result<ModelIdentity>> identity_;
};

class Session {
 public:
  // A pool of its own, or one that it shares with other sessions (language/compute.h); either must
  // outlive the session.
  Session(std::shared_ptr<const Engine> engine, Compute compute);

  // What caption() would refuse whatever the image: to be asked once before many.
  Status check_request(const CaptionRequest& request) const;

  // `image` is upright. Errors: kUsage (options out of range, too few tokens for the sections of a
  // schema), kLimit (a prompt that does not fit),
  // kInvalid (a model whose numbers are not finite).
  Result<Caption> caption(const Image& image, const CaptionRequest& request);

 private:
  struct Prompt;

  Result<Prompt> prepare(const CaptionRequest& request) const;
  Status constrain(const CaptionRequest& request, Prompt& prompt) const;
  Result<Tokens> encode(const Image& image, Timings& timings) const;
  Result<Decoded> answer(const Qwen2& language, Prompt& prompt, std::vector<float> rows,
                         const CaptionRequest& request, Caption& caption);
  KvCache& cache_for(int64_t positions);
  int64_t forget_all_but(std::span<const float> rows, int64_t count);

  std::shared_ptr<const Engine> engine_;
  Compute compute_;
  std::optional<KvCache> cache_;
  std::vector<float> kept_rows_;  // of the prompt that cache_ begins with; empty: not known
  std::optional<Drafter> drafter_;
};

}  // namespace fastvlm
