// SPDX-License-Identifier: Apache-2.0
#include "caption/checkup.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "caption/engine.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

class Checkup {
 public:
  Checkup(const fs::path& folder, const std::optional<fs::path>& tower, ThreadPool& pool)
      : folder_(folder), tower_(tower), pool_(pool) {}

  std::vector<Finding> run();

 private:
  void good(std::string check, std::string found) {
    findings_.push_back({Verdict::kGood, std::move(check), std::move(found), ""});
  }
  void note(std::string check, std::string found, std::string remedy) {
    findings_.push_back({Verdict::kNote, std::move(check), std::move(found), std::move(remedy)});
  }
  void bad(std::string check, std::string found, std::string remedy) {
    findings_.push_back({Verdict::kBad, std::move(check), std::move(found), std::move(remedy)});
  }
  void bad(std::string check, const Status& status) {
    bad(std::move(check), status.message, status.hint);
  }

  std::vector<fs::path> files() const;
  void check_pointers();
  void check_json_files();
  void check_weights();
  void check_generation_config();
  void check_head(const Checkpoint& checkpoint);
  void check_tower(const Checkpoint& checkpoint);
  void check_preprocessing(const Checkpoint& checkpoint, int64_t stride);
  void check_embedding_bits(const Checkpoint& checkpoint);
  void check_tokenizer(const Checkpoint& checkpoint);
  void check_image_id(const Tokenizer& tokenizer, const ModelConfig& config);
  void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config);
  void check_end_token(const Tokenizer& tokenizer, const ModelConfig& config);
  void try_run();

  const fs::path& folder_;
  const std::optional<fs::path>& tower_;
  ThreadPool& pool_;
  std::vector<Finding> findings_;
};

std::vector<fs::path> Checkup::files() const {
  std::vector<fs::path> paths;
  std::error_code failed;
  for (fs::directory_iterator entry(folder_, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code unreadable;
    if (entry->is_regular_file(unreadable)) paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

void Checkup::check_pointers() {
  constexpr std::string_view kPointer = "version https://git-lfs";
  const size_t before = findings_.size();
  for (const fs::path& path : files()) {
    std::string start(kPointer.size(), '\0');
    std::ifstream(path, std::ios::binary)
        .read(start.data(), static_cast<std::streamsize>(start.size()));
    if (start != kPointer) continue;
    bad("downloaded files",
        cat(path.filename().string(), ": is a Git LFS pointer, not the file itself"),
        "run `git lfs pull` in the folder, or download the file");
  }
  if (findings_.size() == before)
    good("downloaded files", cat(files().size(), " files, no Git LFS pointers"));
}

// Loaders skip a file that they do not need, such as tokenizer_config.json beside tokenizer.json;
// other programs do not.
void Checkup::check_json_files() {
  const size_t before = findings_.size();
  std::error_code failed;
  for (fs::directory_iterator entry(folder_, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->path().extension() != ".json") continue;
    const std::string name = entry->path().filename().string();
    const auto text = read_text_file(entry->path());
    if (!text.ok()) {
      bad("JSON files", text.status());
    } else if (!nlohmann::json::accept(*text)) {
      bad("JSON files", cat(name, ": expected JSON, found something else"),
          "download the file again");
    }
  }
  if (findings_.size() == before) good("JSON files", "all of them can be read");
}

void Checkup::check_weights() {
  std::vector<fs::path> paths = files();
  if (std::error_code ignored; tower_ && fs::is_regular_file(*tower_, ignored))
    paths.push_back(*tower_);
  for (const fs::path& path : paths) {
    if (path.extension() != ".safetensors") continue;
    for (Finding& finding : examine_weight_file(path)) findings_.push_back(std::move(finding));
  }
}

void Checkup::check_generation_config() {
  const fs::path path = folder_ / "generation_config.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  const auto text = read_text_file(path, size_t{1} << 20);
  if (!text.ok()) return bad("generation_config.json", text.status());
  const auto config = nlohmann::json::parse(*text, nullptr, false);
  if (!config.is_object()) {
    return bad("generation_config.json", "generation_config.json: expected a JSON object",
               "mend or remove the file");
  }
  const auto penalty = config.find("repetition_penalty");
  if (penalty != config.end() && penalty->is_number() && penalty->get<double>() != 1.0) {
    return note("generation_config.json", cat("repetition_penalty is ", penalty->get<double>()),
                "this program does not apply it, as predict.py does not; other programs may, and "
                "answer differently");
  }
  good("generation_config.json", "only its end tokens are used; sampling is set by options");
}

void Checkup::check_head(const Checkpoint& checkpoint) {
  const bool tied = checkpoint.config().language.tied;
  const bool stated = checkpoint.config().language.tied_stated;
  if (!stated) {
    return note("head",
                cat("config.json does not say tie_word_embeddings; by the weights it is ", tied),
                cat("add \"tie_word_embeddings\": ", tied ? "true" : "false",
                    " for programs that do not look"));
  }
  good("head", tied ? "tied to the embedding, as config.json says"
                    : "stored beside the embedding, as config.json says");
}

void Checkup::check_tower(const Checkpoint& checkpoint) {
  if (!checkpoint.has_vision()) {
    return bad(
        "vision tower", "no tower in the folder (an export of the language model alone)",
        "pass --vision-tower FILE, or put it beside the weights as vision_tower.safetensors");
  }
  const auto tower = VisionTower::load(checkpoint, pool_);
  if (!tower.ok()) return bad("vision tower", tower.status());
  good("vision tower", tower->kind());
  if (tower->stride() == 64) {
    note("half precision",
         "a FastViTHD tower reaches 6e4 in its late stages and overflows with fp16 activations",
         "nothing to do here, for this program never computes in fp16; elsewhere use bf16 or fp32");
  }
  if (checkpoint.has_projector()) {
    const auto shape = checkpoint.shape("projector.0.weight");
    if (shape && shape->size() == 2 && (*shape)[1] != tower->channels()) {
      bad("projector",
          cat("reads tokens ", (*shape)[1], " wide, the tower gives ", tower->channels()),
          "projector and tower come from different models (3072 is FastViTHD's width, 1024 "
          "MobileCLIP-S0's)");
    } else {
      good("projector", cat("reads tokens ", tower->channels(), " wide, as the tower gives them"));
    }
  } else {
    bad("projector", "none in the folder", "give a FastVLM checkpoint, not a plain language model");
  }
  check_preprocessing(checkpoint, tower->stride());
}

void Checkup::check_preprocessing(const Checkpoint& checkpoint, int64_t stride) {
  const ModelConfig& config = checkpoint.config();
  const auto preprocessing = preprocessing_of(config, stride, {});
  if (!preprocessing.ok()) return bad("image size", preprocessing.status());
  good("image size", cat(preprocessing->size, " pixels, a multiple of the stride ", stride));
  if (config.image_aspect_ratio == "pad") {
    good("aspect ratio", "pictures are padded, as FastVLM was trained");
  } else {
    note("aspect ratio",
         cat("image_aspect_ratio is ",
             config.image_aspect_ratio.empty() ? "not set" : config.image_aspect_ratio,
             ", so pictures are cropped to their middle square"),
         "FastVLM was trained with \"pad\"; set it in config.json or pass --aspect pad");
  }
  const auto plain = [](const auto& values, float wanted) {
    return std::all_of(values.begin(), values.end(),
                       [wanted](float value) { return value == wanted; });
  };
  if (plain(config.image_mean, 0.0F) && plain(config.image_std, 1.0F))
    return good("normalisation", "none (mean 0, deviation 1)");
  note("normalisation",
       cat("mean ", bracketed(config.image_mean), ", deviation ", bracketed(config.image_std)),
       "Apple's towers take pixels / 255 as they are; the image processor may be another model's");
}

void Checkup::check_embedding_bits(const Checkpoint& checkpoint) {
  const LanguageConfig& language = checkpoint.config().language;
  const auto embedding =
      checkpoint.matrix("model.embed_tokens.weight", language.vocab_size, language.hidden_size);
  if (!embedding.ok()) return bad("embedding", embedding.status());
  if (embedding->type == WeightType::kQ4) {
    return note(
        "embedding", "stored with 4 bits, as MLX exports do",
        "if answers are endless padding, quantise again with the embedding at 8 bits or more");
  }
  good("embedding", cat(language.vocab_size, " rows of ", language.hidden_size));
}

void Checkup::check_tokenizer(const Checkpoint& checkpoint) {
  const auto tokenizer = Tokenizer::load(folder_);
  if (!tokenizer.ok()) return bad("tokenizer", tokenizer.status());
  const auto ids = conversation_ids(*tokenizer, "Describe the image.", PromptOrder::kImageFirst);
  if (!ids.ok()) {
    return bad("chat template", ids.status().message,
               "this tokenizer is of another family than the model; use the one of the model's own "
               "checkpoint");
  }
  good("chat template",
       cat("the template's tokens are there; a plain question takes ", ids->size() - 1, " tokens"));
  check_vocabulary(*tokenizer, checkpoint.config());
  check_image_id(*tokenizer, checkpoint.config());
  check_end_token(*tokenizer, checkpoint.config());
}

void Checkup::check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config) {
  const auto known = static_cast<int64_t>(tokenizer.vocab_size());
  const int64_t rows = config.language.vocab_size;
  const std::string both = cat(known, " tokens, ", rows, " rows in the embedding");
  if (known > rows) {
    return bad("vocabulary", both,
               "the tokenizer is of another model; use the one of the model's own checkpoint");
  }
  // Exports pad the embedding to round sizes, by a few hundred rows of 152 thousand.
  if (rows - known > 1024 + rows / 50) {
    return bad("vocabulary", both,
               "the tokenizer lacks tokens of the model; use the one of its own checkpoint");
  }
  good("vocabulary", both);
}

void Checkup::check_image_id(const Tokenizer& tokenizer, const ModelConfig& config) {
  const int64_t id = config.image_token_index;
  if (id < 0) return good("image token", "a hole in the prompt, filled at run time");
  const std::string_view meaning = tokenizer.token_bytes(static_cast<TokenId>(id));
  if (meaning.empty() || meaning == "<image>") return good("image token", cat("id ", id));
  bad("image token", cat("image_token_index ", id, " is ", meaning, " in the tokenizer"),
      "added tokens of Qwen2.5 start at 151646, where FastVLM has <image>; use the tokenizer of "
      "the FastVLM checkpoint");
}

void Checkup::check_end_token(const Tokenizer& tokenizer, const ModelConfig& config) {
  const auto end = tokenizer.find("<|im_end|>");
  const auto& ids = config.eos_token_ids;
  if (!end || std::find(ids.begin(), ids.end(), int64_t{*end}) == ids.end()) {
    return note("end token", cat("eos_token_id is ", bracketed(ids), ", without <|im_end|>"),
                cat("this program stops at <|im_end|> all the same; add its id ", end.value_or(-1),
                    " for programs that do not"));
  }
  good("end token", cat("<|im_end|> is ", *end));
}

void Checkup::try_run() {
  constexpr int kSide = 64;
  constexpr int64_t kTokens = 16;
  const auto engine = Engine::load({folder_, tower_, {}, {}}, pool_);
  if (!engine.ok()) return bad("trial run", engine.status());
  Image grey = blank_image(kSide, kSide);
  std::fill(grey.rgb.begin(), grey.rgb.end(), uint8_t{128});
  CaptionRequest request;
  request.prompt = describe_prompt();
  request.max_tokens = kTokens;
  const auto caption = Session(*engine, pool_).caption(grey, request);
  if (!caption.ok()) return bad("trial run", caption.status());
  if (caption->text.empty() && caption->finish == FinishReason::kLength) {
    return bad("trial run", "the answer is nothing but control tokens",
               "the weights and the tokenizer do not belong together, or the embedding was "
               "quantised too far");
  }
  good("trial run",
       cat("a grey picture was answered in ", caption->timings.answer_tokens, " tokens"));
}

std::vector<Finding> Checkup::run() {
  std::error_code ignored;
  if (!fs::is_directory(folder_, ignored)) {
    bad("folder", cat(folder_.string(), ": no such folder"),
        "give the folder with config.json and the weights");
    return std::move(findings_);
  }
  check_pointers();
  check_json_files();
  check_generation_config();
  const auto checkpoint = Checkpoint::open(folder_, {tower_});
  if (!checkpoint.ok()) {
    bad("checkpoint", checkpoint.status());
  } else {
    good("checkpoint", cat("layout ", layout_name(checkpoint->layout()), ", weights ",
                           weights_description(*checkpoint)));
    for (const std::string& line : checkpoint->warnings()) note("checkpoint", line, "");
    check_head(*checkpoint);
    check_embedding_bits(*checkpoint);
    check_tower(*checkpoint);
    check_tokenizer(*checkpoint);
  }
  check_weights();
  if (!any_bad(findings_)) try_run();
  return std::move(findings_);
}

}  // namespace

std::vector<Finding> examine_model(const fs::path& folder,
                                   const std::optional<fs::path>& vision_tower, ThreadPool& pool) {
  return Checkup(folder, vision_tower, pool).run();
}

bool any_bad(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.verdict == Verdict::kBad; });
}

}  // namespace fastvlm
