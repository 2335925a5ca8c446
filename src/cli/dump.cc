// SPDX-License-Identifier: Apache-2.0
// fastvlm dump: the intermediate tensors of a run, for comparing stage by stage with another
// implementation.
#include <algorithm>
#include <charconv>
#include <deque>
#include <memory>

#include "caption/caption_json.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "cli/outputs.h"
#include "formats/safetensors.h"

namespace fastvlm::cli {
namespace {

struct DumpCommand {
  std::string out;
  std::string picture;
  std::string pixels;
  std::string pixels_key;
  std::string tokens;
  std::string tokens_key;
  std::string ids;
  std::string only;
  int64_t greedy = 0;
  ModelFlags model;
  ImageFlags image;
  PromptFlags prompt;

  bool wants(const char* part) const { return only.empty() || only == part; }
  Status run() const;
};

// The tensors of the file to come, in order.
class Tensors {
 public:
  template <typename T>
  void add(const std::string& name, DType dtype, std::vector<int64_t> shape,
           const std::vector<T>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    data_.emplace_back(bytes, bytes + values.size() * sizeof(T));
    tensors_.push_back({name, dtype, std::move(shape), {}});
  }
  Status write(const std::filesystem::path& path) {
    for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].bytes = data_[i];
    return write_safetensors(path, tensors_, {{"program", cat("fastvlm ", program_version())}});
  }

 private:
  std::deque<std::vector<std::byte>> data_;
  std::vector<TensorToWrite> tensors_;
};

// [H, W, C] to [C, H, W].
template <typename T>
std::vector<T> channels_first(const T* values, size_t height, size_t width, size_t channels) {
  std::vector<T> out(height * width * channels);
  for (size_t at = 0; at < height * width; ++at) {
    for (size_t c = 0; c < channels; ++c) out[c * height * width + at] = values[at * channels + c];
  }
  return out;
}

Result<TensorView> find_tensor(const SafetensorsFile& file, const std::string& key, DType dtype,
                               size_t rank) {
  const TensorView* tensor = file.find(key);
  if (tensor == nullptr) {
    return error(Code::kNotFound,
                 cat(file.path().string(), ": expected a tensor \"", key, "\", found none"),
                 "name one that the file's header lists");
  }
  if (tensor->dtype != dtype || tensor->shape.size() != rank) {
    return error(Code::kInvalid,
                 cat(file.path().string(), ": ", key, ": expected ", dtype_name(dtype), " of rank ",
                     rank, ", found ", dtype_name(tensor->dtype), " ", bracketed(tensor->shape)),
                 "name another tensor, or write this one as expected");
  }
  return *tensor;
}

// A picture [3, H, W] u8 from a file, as it is.
Result<Image> read_pixels(const std::string& path, const std::string& key) {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(path));
  FASTVLM_ASSIGN(const TensorView tensor, find_tensor(file, key, DType::kU8, 3));
  const bool fits = tensor.shape[0] == 3 && tensor.shape[1] >= 1 &&
                    tensor.shape[1] <= kMaxImageSide && tensor.shape[2] >= 1 &&
                    tensor.shape[2] <= kMaxImageSide;
  if (!fits) {
    return error(Code::kInvalid,
                 cat(path, ": ", key, ": expected [3, H, W], found ", bracketed(tensor.shape)),
                 "the three colours come first, as in pixels_u8 of a dump");
  }
  Image image = blank_image(static_cast<int>(tensor.shape[2]), static_cast<int>(tensor.shape[1]));
  const size_t area = image.rgb.size() / 3;
  for (size_t at = 0; at < area; ++at) {
    for (size_t c = 0; c < 3; ++c)
      image.rgb[at * 3 + c] = static_cast<uint8_t>(tensor.bytes[c * area + at]);
  }
  return image;
}

Result<Tokens> read_tokens(const std::string& path, const std::string& key) {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(path));
  FASTVLM_ASSIGN(const TensorView tensor, find_tensor(file, key, DType::kF32, 2));
  FASTVLM_ASSIGN(std::vector<float> values, to_floats(tensor, key));
  return Tokens{tensor.shape[0], tensor.shape[1], std::move(values)};
}

Result<std::vector<TokenId>> parse_ids(const std::string& text) {
  std::vector<TokenId> ids;
  for (const std::string& part : split(text, ',')) {
    const std::string_view number = trimmed(part);
    TokenId id = 0;
    const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), id);
    if (failed != std::errc{} || end != number.data() + number.size()) {
      return error(Code::kUsage, cat("--ids: expected a token id, found \"", part, "\""),
                   "write --ids \"151644,8948,-200\"; -200 is the image");
    }
    ids.push_back(id);
  }
  return ids;
}

void add_pixels(const Image& pixels, Tensors& tensors) {
  const auto height = static_cast<size_t>(pixels.height);
  const auto width = static_cast<size_t>(pixels.width);
  tensors.add("pixels_u8", DType::kU8, {3, pixels.height, pixels.width},
              channels_first(pixels.rgb.data(), height, width, 3));
}

// What the tower is given: the picture preprocessed, or pixels as they are.
Result<Image> read_input(const DumpCommand& command, const Preprocessing& preprocessing) {
  if (!command.pixels.empty()) return read_pixels(command.pixels, command.pixels_key);
  FASTVLM_ASSIGN(const Image picture, load_image(command.picture, command.image.decode_options()));
  return preprocess(picture, preprocessing);
}

// Pixels alone: no model is needed, but one that is given says size and aspect.
Status dump_pixels(const DumpCommand& command, Tensors& tensors) {
  ModelConfig config;
  config.image_aspect_ratio = "pad";
  if (!command.model.model.empty()) {
    FASTVLM_ASSIGN(const FoundModel found, find_model(command.model.model));
    FASTVLM_ASSIGN(config, read_config(found.folder));
  }
  FASTVLM_ASSIGN(const Preprocessing preprocessing,
                 preprocessing_of(config, 0, command.image.engine_options({}, command.model)));
  FASTVLM_ASSIGN(const Image pixels, read_input(command, preprocessing));
  add_pixels(pixels, tensors);
  return {};
}

// Picture or pixels to tokens, with every module's output on the way.
Result<Tokens> dump_tower(const DumpCommand& command, const Checkpoint& checkpoint,
                          ThreadPool& pool, Tensors& tensors) {
  if (!checkpoint.has_vision()) {
    return error(Code::kNotFound,
                 cat(checkpoint.folder().string(), ": expected a vision tower, found none"),
                 "name the tower with --vision-tower, or give its output with --tokens");
  }
  const EngineOptions options = command.image.engine_options(checkpoint.folder(), command.model);
  FASTVLM_ASSIGN(const VisionTower tower,
                 VisionTower::load(checkpoint, pool, vision_arithmetic(options.vision)));
  FASTVLM_ASSIGN(const Preprocessing preprocessing,
                 preprocessing_of(checkpoint.config(), tower.stride(), options));
  FASTVLM_ASSIGN(const Image pixels, read_input(command, preprocessing));
  if (command.wants("pixels")) add_pixels(pixels, tensors);
  StageSink sink;
  if (command.wants("vision")) {
    sink = [&](const std::string& name, int64_t height, int64_t width, int64_t channels,
               const float* values) {
      tensors.add(name, DType::kF32, {channels, height, width},
                  channels_first(values, static_cast<size_t>(height), static_cast<size_t>(width),
                                 static_cast<size_t>(channels)));
    };
  }
  return tower.encode(to_floats(pixels, preprocessing).data(), pixels.height, pixels.width, pool,
                      sink);
}

// The image as the language model reads it; no tokens when there is no image.
Result<Tokens> dump_vision(const DumpCommand& command, const Checkpoint& checkpoint,
                           ThreadPool& pool, Tensors& tensors) {
  Tokens tokens;
  if (!command.tokens.empty()) {
    FASTVLM_ASSIGN(tokens, read_tokens(command.tokens, command.tokens_key));
  } else if (!command.picture.empty() || !command.pixels.empty()) {
    FASTVLM_ASSIGN(tokens, dump_tower(command, checkpoint, pool, tensors));
  } else {
    return tokens;
  }
  FASTVLM_ASSIGN(const Projector projector, Projector::load(checkpoint, pool));
  if (tokens.width != projector.input_width()) {
    const std::string source =
        command.tokens.empty() ? "the tower" : cat(command.tokens, ": ", command.tokens_key);
    return error(Code::kInvalid,
                 cat(source, ": expected tokens ", projector.input_width(),
                     " wide, as the projector reads them, found ", tokens.width),
                 "these tokens belong to another tower");
  }
  Tokens projected = projector.project(tokens, pool);
  if (command.wants("vision")) {
    tensors.add("tokens", DType::kF32, {tokens.count, tokens.width}, tokens.values);
    tensors.add("projected", DType::kF32, {projected.count, projected.width}, projected.values);
  }
  return projected;
}

Result<std::vector<TokenId>> prompt_ids(const DumpCommand& command, const Checkpoint& checkpoint) {
  if (!command.ids.empty()) return parse_ids(command.ids);
  FASTVLM_ASSIGN(const std::string prompt, command.prompt.read(seven_point_prompt()));
  auto tokenizer = Tokenizer::load(checkpoint.folder());
  if (!tokenizer.ok()) {
    return error(tokenizer.status().code, tokenizer.status().message,
                 "or give the prompt as ids with --ids");
  }
  return conversation_ids(*tokenizer, prompt, command.prompt.prompt_order());
}

Status dump_language(const DumpCommand& command, const Checkpoint& checkpoint, const Tokens& image,
                     ThreadPool& pool, Tensors& tensors) {
  FASTVLM_ASSIGN(const std::vector<TokenId> ids, prompt_ids(command, checkpoint));
  if (image.count == 0 && std::find(ids.begin(), ids.end(), kImageToken) != ids.end()) {
    return error(Code::kUsage, "the prompt has an image, but none is given",
                 "add --image, --pixels or --tokens");
  }
  const EngineOptions engine = command.image.engine_options(checkpoint.folder(), command.model);
  FASTVLM_ASSIGN(const Qwen2 language, Qwen2::load(checkpoint, pool, engine.language));
  FASTVLM_ASSIGN(const std::vector<float> rows, splice(language, ids, image));
  const int64_t width = language.config().hidden_size;
  const int64_t count = static_cast<int64_t>(rows.size()) / width;
  FASTVLM_RETURN_IF_ERROR(language.check_context(count, std::max<int64_t>(command.greedy, 1)));
  tensors.add("inputs_embeds", DType::kF32, {count, width}, rows);
  std::vector<std::vector<float>> hidden(static_cast<size_t>(language.config().layers) + 1);
  std::vector<float> logits;
  KvCache cache(language.config(), count);
  FASTVLM_RETURN_IF_ERROR(language.forward(
      cache, rows.data(), count, Qwen2::Logits::kAll, logits, pool,
      {.hidden = [&hidden](int64_t layer, const float* values, int64_t n, int64_t w) {
        auto& all = hidden[static_cast<size_t>(layer)];
        all.insert(all.end(), values, values + n * w);
      }}));
  for (size_t layer = 0; layer < hidden.size(); ++layer) {
    tensors.add(cat("hidden_", layer), DType::kF32, {count, width}, hidden[layer]);
  }
  tensors.add("logits", DType::kF32, {count, language.config().vocab_size}, logits);
  if (command.greedy == 0) return {};
  KvCache fresh(language.config(), count + command.greedy);
  DecodingOptions decoding;
  decoding.max_tokens = command.greedy;
  FASTVLM_ASSIGN(const Decoded decoded,
                 decode(language, fresh, rows.data(), count, decoding, pool));
  const std::vector<int64_t> wide(decoded.ids.begin(), decoded.ids.end());
  tensors.add("greedy_ids", DType::kI64, {command.greedy}, wide);
  return {};
}

// An output that cannot be written, or would replace what is read, is refused before the work.
Status check_output(const DumpCommand& command) {
  const std::string& out = command.out;
  FASTVLM_RETURN_IF_ERROR(
      check_outputs({{"--out", out}}, {command.picture, command.pixels, command.tokens}));
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::absolute(out, ignored).parent_path();
  if (std::filesystem::exists(folder / "config.json", ignored)) {
    return error(Code::kUsage,
                 cat("--out ", out, ": its folder is a checkpoint, whose weights it would join"),
                 "write elsewhere");
  }
  return {};
}

Status DumpCommand::run() const {
  FASTVLM_RETURN_IF_ERROR(check_output(*this));
  const bool has_picture = !picture.empty() || !pixels.empty();
  if (!has_picture && (only == "pixels" || (tokens.empty() && (only == "vision" || ids.empty())))) {
    return error(Code::kUsage, "nothing to run: no picture is given",
                 "add --image, --pixels, --tokens or --ids");
  }
  Tensors tensors;
  if (only == "pixels") {
    FASTVLM_RETURN_IF_ERROR(dump_pixels(*this, tensors));
    return tensors.write(out);
  }
  FASTVLM_ASSIGN(const auto pool, model.prepare());
  FASTVLM_ASSIGN(const FoundModel found, find_model(model.model));
  FASTVLM_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(found.folder, {model.tower_path()}));
  FASTVLM_ASSIGN(const Tokens projected, dump_vision(*this, checkpoint, *pool, tensors));
  if (only != "vision") {
    FASTVLM_RETURN_IF_ERROR(dump_language(*this, checkpoint, projected, *pool, tensors));
  }
  return tensors.write(out);
}

}  // namespace

void add_dump(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<DumpCommand>();
  command->model.precision = "fp32";  // what other implementations are compared with
  CLI::App* app = program.add_subcommand(
      "dump", "Write the intermediate tensors of a run to a safetensors file");
  app->add_option("--out", command->out, "File to write")->required();
  auto* picture = app->add_option("--image", command->picture, "Picture file");
  auto* key =
      app->add_option("--pixels-key", command->pixels_key, "Name of the tensor in --pixels");
  auto* pixels = app->add_option("--pixels", command->pixels,
                                 "Safetensors file with u8 pixels [3, H, W], fed as they are");
  pixels->needs(key)->excludes(picture);
  auto* tokens_key =
      app->add_option("--tokens-key", command->tokens_key, "Name of the tensor in --tokens");
  app->add_option("--tokens", command->tokens,
                  "Safetensors file with the tower's output [N, C] f32")
      ->needs(tokens_key)
      ->excludes(picture)
      ->excludes(pixels);
  app->add_option("--ids", command->ids,
                  "Prompt as token ids, -200 for the image; needs no tokenizer")
      ->check(is_not_empty());
  app->add_option("--greedy", command->greedy, "Also decode N tokens, past the end token")
      ->check(CLI::Range(0, 4096));
  app->add_option("--only", command->only, "Write this part only")
      ->check(CLI::IsMember({"pixels", "vision", "language"}));
  command->model.add_to(*app);
  command->image.add_to(*app);
  command->prompt.add_prompt_to(*app);
  command->prompt.add_order_to(*app);
  app->callback([command, &chosen] {
    chosen = [command] {
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli
