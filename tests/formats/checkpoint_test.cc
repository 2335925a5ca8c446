// SPDX-License-Identifier: Apache-2.0
#include "formats/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/narrow.h"
#include "support/files.h"
#include "support/layouts.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<std::string> kModels = {"vlm/hd_tied", "vlm/s0_untied"};

std::string checkpoint_fault(const fs::path& folder, const CheckpointOptions& options = {}) {
  const auto checkpoint = Checkpoint::open(folder, options);
  if (checkpoint.ok()) return "no error";
  EXPECT_FALSE(checkpoint.status().hint.empty()) << checkpoint.status().message;
  return checkpoint.status().message;
}

// A copy of a golden whose tensors and configuration a test may spoil.
class Spoiled {
 public:
  explicit Spoiled(const std::string& model = "vlm/hd_tied", bool quantized = false)
      : tensors(test::read_tensors(test::golden(model) /
                                   (quantized ? "mlx_4bit.safetensors" : "model.safetensors"))),
        config(test::read_json(test::golden(model) /
                               (quantized ? "mlx_config.json" : "config.json"))) {}

  test::OwnedTensor& tensor(const std::string& name) {
    for (test::OwnedTensor& candidate : tensors) {
      if (candidate.name == name) return candidate;
    }
    ADD_FAILURE() << name;
    return tensors.front();
  }
  void drop(const std::string& prefix) {
    std::erase_if(tensors, [&](const auto& t) { return t.name.starts_with(prefix); });
  }
  const fs::path& written() {
    test::write_tensors(folder_ / "model.safetensors", tensors);
    test::write_json(folder_ / "config.json", config);
    return folder_.path();
  }

  std::vector<test::OwnedTensor> tensors;
  nlohmann::json config;

 private:
  test::TemporaryFolder folder_;
};

// Every tensor of `a` but head.proj, which some layouts drop.
void expect_same_tensors(const Checkpoint& a, const Checkpoint& b, const std::string& context) {
  size_t compared = 0;
  for (const std::string& name : a.names()) {
    if (name == "vision.head.proj") continue;
    ASSERT_EQ(b.shape(name), a.shape(name)) << context << " " << name;
    const auto left = a.floats(name);
    const auto right = b.floats(name);
    ASSERT_TRUE(left.ok() && right.ok()) << context << " " << name;
    ASSERT_EQ(*left, *right) << context << " " << name;
    ++compared;
  }
  const size_t dropped = b.contains("vision.head.proj") ? 1 : 0;
  EXPECT_EQ(b.names().size(), compared + dropped) << context;
}

TEST(Checkpoint, OpensTheGoldens) {
  for (const std::string& model : kModels) {
    const auto checkpoint = Checkpoint::open(test::golden(model));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    EXPECT_EQ(checkpoint->layout(), Layout::kLlava);
    EXPECT_TRUE(checkpoint->has_vision());
    EXPECT_TRUE(checkpoint->has_projector());
    EXPECT_TRUE(checkpoint->has_language());
    EXPECT_THAT(checkpoint->warnings(), IsEmpty());
    EXPECT_EQ(checkpoint->contains("lm_head.weight"), model == "vlm/s0_untied");
    EXPECT_FALSE(checkpoint->contains("vision.network.0.0.convffn.conv.bn.num_batches_tracked"));
  }
}

TEST(Checkpoint, EveryLayoutGivesTheSameTensors) {
  const std::map<std::string, Layout> layouts = {
      {"llava", Layout::kLlava},         {"sharded", Layout::kLlava},
      {"mlx_vlm", Layout::kMlxVlm},      {"hugging_face", Layout::kHuggingFace},
      {"mlx_vlm_4bit", Layout::kMlxVlm}, {"mlx_patch_4bit", Layout::kMlxPatch}};
  for (const std::string& model : kModels) {
    const test::TemporaryFolder folder;
    const auto original = Checkpoint::open(test::golden(model));
    ASSERT_TRUE(original.ok());
    for (const test::LayoutCase& layout : test::all_layouts()) {
      layout.write(test::golden(model), folder / layout.name);
      const auto checkpoint = Checkpoint::open(folder / layout.name);
      ASSERT_TRUE(checkpoint.ok()) << layout.name << ": " << checkpoint.status().message;
      EXPECT_EQ(checkpoint->layout(), layouts.at(layout.name));
      EXPECT_THAT(checkpoint->warnings(), IsEmpty()) << layout.name;
      EXPECT_EQ(checkpoint->config().mm_hidden_size, 256) << layout.name;
      EXPECT_EQ(checkpoint->config().image_size, 256) << layout.name;
      EXPECT_EQ(checkpoint->config().language.tied, original->config().language.tied);
      if (layout.exact) {
        expect_same_tensors(*original, *checkpoint, cat(model, " ", layout.name));
      }
    }
    // The 4-bit ones agree with each other, head.proj included.
    const auto patch = Checkpoint::open(folder / "mlx_patch_4bit");
    const auto mlx_vlm = Checkpoint::open(folder / "mlx_vlm_4bit");
    expect_same_tensors(*patch, *mlx_vlm, model + " 4 bits");
  }
}

TEST(Checkpoint, FourBitWeightsAreCloseToTheirOrigin) {
  const test::TemporaryFolder folder;
  test::write_mlx_patch(test::golden("vlm/hd_tied"), folder / "mlx");
  const auto original = Checkpoint::open(test::golden("vlm/hd_tied"));
  const auto quantized = Checkpoint::open(folder / "mlx");
  ASSERT_TRUE(original.ok() && quantized.ok());
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_THAT(*quantized->shape(name), ElementsAre(128, 192));
  const auto source = quantized->matrix(name, 128, 192);
  ASSERT_TRUE(source.ok()) << source.status().message;
  EXPECT_EQ(source->type, WeightType::kQ4);
  EXPECT_EQ(source->scale_type, WeightType::kF16);
  EXPECT_EQ(source->group, 64);
  const auto a = *original->floats(name, {128, 192});
  const auto b = *quantized->floats(name, {128, 192});
  float range = 0;
  for (const float value : a) range = std::max(range, std::abs(value));
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2 * range / 15);
  EXPECT_NE(a, b);
}

TEST(Checkpoint, MatricesAndTheirErrors) {
  const auto checkpoint = Checkpoint::open(test::golden("vlm/hd_tied"));
  ASSERT_TRUE(checkpoint.ok());
  const auto convolution = checkpoint->matrix("vision.network.0.0.convffn.fc1.weight", 32, 8);
  ASSERT_TRUE(convolution.ok()) << convolution.status().message;
  EXPECT_EQ(convolution->type, WeightType::kF32);
  const Status wrong = checkpoint->matrix("model.norm.weight", 128, 2).status();
  EXPECT_THAT(wrong.message, HasSubstr("model.safetensors: tensor `model.norm.weight`: expected "
                                       "shape [128, 2], found [128]"));
  EXPECT_EQ(checkpoint->matrix("vision.nothing", 1, 1).status().code, Code::kNotFound);
  EXPECT_THAT(checkpoint->floats("vision.nothing").status().message,
              HasSubstr("tensor `vision.nothing` is missing (layout: LLaVA-Qwen2)"));
  EXPECT_FALSE(checkpoint->floats("model.norm.weight", {64}).ok());
  EXPECT_EQ(checkpoint->origin("vision.head.proj"),
            "model.safetensors: model.vision_tower.vision_tower.model.head.proj");
  checkpoint->release("model.norm.weight");
  EXPECT_TRUE(checkpoint->floats("model.norm.weight", {128}).ok());
}

TEST(Checkpoint, TowerFromItsOwnFile) {
  const fs::path golden = test::golden("vlm/hd_tied");
  const auto training = Checkpoint::open(golden, {golden / "vision_train_form.safetensors"});
  ASSERT_TRUE(training.ok()) << training.status().message;
  EXPECT_TRUE(training->contains("vision.patch_embed.0.rbr_conv.0.conv.weight"));
  EXPECT_FALSE(training->contains("vision.patch_embed.0.reparam_conv.weight"));

  // The same tensors under MobileCLIP's prefix, beside its text half, and without any prefix.
  const auto original = Checkpoint::open(golden);
  for (const std::string prefix : {"image_encoder.model.", "", "vision_tower."}) {
    const test::TemporaryFolder folder;
    std::vector<test::OwnedTensor> tower;
    for (test::OwnedTensor& tensor : test::read_tensors(golden / "model.safetensors")) {
      if (!tensor.name.starts_with(test::kLlavaTower)) continue;
      tensor.name = prefix + tensor.name.substr(test::kLlavaTower.size());
      tower.push_back(std::move(tensor));
    }
    tower.push_back({"text_encoder.x.weight", DType::kU8, {1}, {std::byte{1}}});
    test::write_tensors(folder / "tower.safetensors", tower);
    const auto by_file = Checkpoint::open(golden, {folder / "tower.safetensors"});
    ASSERT_TRUE(by_file.ok()) << by_file.status().message;
    expect_same_tensors(*original, *by_file, "prefix " + prefix);
    const auto by_folder = Checkpoint::open(golden, {folder.path()});
    ASSERT_TRUE(by_folder.ok()) << by_folder.status().message;
  }
}

TEST(Checkpoint, TowersThatDoNotFit) {
  const test::TemporaryFolder folder;
  const fs::path golden = test::golden("vlm/hd_tied");
  EXPECT_THAT(checkpoint_fault(golden, {folder / "none.safetensors"}), HasSubstr("no such file"));
  EXPECT_THAT(checkpoint_fault(golden, {folder / "mobileclip_s0.pt"}), HasSubstr("container"));
  EXPECT_THAT(checkpoint_fault(golden, {test::golden("quant/golden_quant.safetensors")}),
              HasSubstr("holds no FastViT tower"));
  Spoiled narrow;
  narrow.drop("model.embed");
  narrow.drop("model.layers");
  test::OwnedTensor& last = narrow.tensor(test::kLlavaTower + "conv_exp.reparam_conv.weight");
  last.shape[0] /= 2;
  last.bytes.resize(last.bytes.size() / 2);
  EXPECT_THAT(checkpoint_fault(golden, {narrow.written() / "model.safetensors"}),
              HasSubstr("takes tokens of width 256, "));
}

TEST(Checkpoint, LanguageOnlyWithAnotherFileName) {
  const fs::path folder = test::shared("weights/stories260K");
  if (!fs::exists(folder)) GTEST_SKIP() << "needs weights/stories260K of the shared folder";
  const auto checkpoint = Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  EXPECT_FALSE(checkpoint->has_vision());
  EXPECT_FALSE(checkpoint->has_projector());
  EXPECT_TRUE(checkpoint->has_language());
  EXPECT_EQ(checkpoint->config().max_context, 512);
}

TEST(Checkpoint, HeadAndFlag) {
  const auto head_of = [](Spoiled& spoiled) {
    test::OwnedTensor head = spoiled.tensor("model.embed_tokens.weight");
    head.name = "lm_head.weight";
    return head;
  };
  Spoiled same;  // tied, and stored a second time
  same.tensors.push_back(head_of(same));
  auto checkpoint = Checkpoint::open(same.written());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(checkpoint->warnings(), IsEmpty());
  EXPECT_FALSE(checkpoint->contains("lm_head.weight"));

  Spoiled other;  // tied, and another head stored: the flag wins, with a warning
  other.tensors.push_back(head_of(other));
  other.tensors.back().bytes[0] ^= std::byte{1};
  checkpoint = Checkpoint::open(other.written());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(
      checkpoint->warnings(),
      ElementsAre(HasSubstr("`lm_head.weight`: differs from the embedding and is ignored")));

  Spoiled absent("vlm/s0_untied");
  absent.drop("lm_head");
  EXPECT_THAT(checkpoint_fault(absent.written()), HasSubstr("tie_word_embeddings is false"));
  absent.config.erase("tie_word_embeddings");  // without the flag, presence decides
  checkpoint = Checkpoint::open(absent.written());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  EXPECT_TRUE(checkpoint->config().language.tied);
  Spoiled present("vlm/s0_untied");
  present.config.erase("tie_word_embeddings");
  EXPECT_FALSE(Checkpoint::open(present.written())->config().language.tied);
}

TEST(Checkpoint, ConfigAndTensorsThatDisagree) {
  const auto with_config = [](const char* key, const nlohmann::json& value) {
    Spoiled spoiled;
    spoiled.config[key] = value;
    return checkpoint_fault(spoiled.written());
  };
  EXPECT_THAT(with_config("num_hidden_layers", 3),
              HasSubstr("`model.layers.2.self_attn.q_proj.weight` is missing; "));
  EXPECT_THAT(with_config("num_hidden_layers", 3),
              HasSubstr("config.json says num_hidden_layers is 3, the weights hold 2 layers"));
  EXPECT_THAT(with_config("num_hidden_layers", 1),
              HasSubstr("num_hidden_layers is 1, the weights hold 2 layers"));
  EXPECT_THAT(with_config("intermediate_size", 256),
              HasSubstr("`model.layers.0.mlp.gate_proj.weight`: expected shape [256, 128] by "
                        "intermediate_size, hidden_size of "));
  EXPECT_THAT(with_config("vocab_size", 513), HasSubstr("expected shape [513, 128] by vocab_size"));
  EXPECT_THAT(with_config("num_key_value_heads", 1), HasSubstr("by num_key_value_heads"));
  EXPECT_THAT(with_config("mm_hidden_size", 3072),
              HasSubstr("takes tokens of width 256, mm_hidden_size of "));
  EXPECT_THAT(with_config("hidden_act", "relu"), HasSubstr("config.json: key `hidden_act`"));

  Spoiled type;
  type.config["model_type"] = "mystery";
  EXPECT_THAT(Checkpoint::open(type.written())->warnings(), ElementsAre(HasSubstr("`mystery`")));
}

TEST(Checkpoint, EmbeddingsGrownPastTheVocabulary) {
  Spoiled grown;
  test::OwnedTensor& embedding = grown.tensor("model.embed_tokens.weight");
  embedding.shape[0] = 576;
  embedding.bytes.resize(576 * 128 * 4);
  auto checkpoint = Checkpoint::open(grown.written());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  EXPECT_THAT(checkpoint->warnings(), ElementsAre(HasSubstr("576 rows, of which vocab_size")));
  EXPECT_THAT(*checkpoint->shape("model.embed_tokens.weight"), ElementsAre(512, 128));
  EXPECT_TRUE(checkpoint->matrix("model.embed_tokens.weight", 512, 128).ok());
  EXPECT_EQ(checkpoint->floats("model.embed_tokens.weight")->size(), 512U * 128U);
  grown.config["vocab_size"] = 576;
  checkpoint = Checkpoint::open(grown.written());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(checkpoint->warnings(), IsEmpty());
}

TEST(Checkpoint, TensorsThatDoNotBelong) {
  Spoiled foreign;
  foreign.tensors.push_back(foreign.tensor("model.norm.weight"));
  foreign.tensors.back().name = "model.layers.0.self_attn.q_norm.weight";
  EXPECT_THAT(checkpoint_fault(foreign.written()), HasSubstr("is no part of a Qwen2 decoder"));

  Spoiled twice;
  twice.tensors.push_back(twice.tensor("model.norm.weight"));
  twice.tensors.back().name = "language_model.model.norm.weight";
  EXPECT_THAT(checkpoint_fault(twice.written()), HasSubstr("are both `model.norm.weight`"));

  Spoiled extra;
  extra.tensors.push_back(extra.tensor("model.norm.weight"));
  extra.tensors.back().name = "model.image_newline";
  EXPECT_THAT(Checkpoint::open(extra.written())->warnings(),
              ElementsAre(HasSubstr("1 tensors are no part of FastVLM and are ignored; the first "
                                    "is model.image_newline")));

  Spoiled tower;
  tower.drop("model.embed");
  tower.drop("model.layers");
  EXPECT_THAT(checkpoint_fault(tower.written()), HasSubstr("holds no decoder"));
}

TEST(Checkpoint, QuantizedTensorsThatDoNotFit) {
  const std::string base = "language_model.model.embed_tokens.";
  Spoiled no_key("vlm/hd_tied", true);
  no_key.config.erase("quantization");
  EXPECT_THAT(checkpoint_fault(no_key.written()), HasSubstr("has no key `quantization`"));
  Spoiled no_biases("vlm/hd_tied", true);
  no_biases.drop(base + "biases");
  EXPECT_THAT(checkpoint_fault(no_biases.written()), HasSubstr("also needs its .biases"));
  Spoiled other_bits("vlm/hd_tied", true);
  other_bits.config["quantization"]["bits"] = 8;
  EXPECT_THAT(checkpoint_fault(other_bits.written()),
              HasSubstr("do not fit bits 8 and group_size 64"));
  Spoiled other_group("vlm/hd_tied", true);
  other_group.config["quantization"]["group_size"] = 128;
  EXPECT_THAT(checkpoint_fault(other_group.written()),
              HasSubstr("do not fit bits 4 and group_size 128"));
  Spoiled scales("vlm/hd_tied", true);
  scales.tensor(base + "scales").shape = {256, 4};
  EXPECT_THAT(checkpoint_fault(scales.written()), HasSubstr("does not go with scales [256, 4]"));
  Spoiled type("vlm/hd_tied", true);
  type.tensor(base + "weight").dtype = DType::kI32;
  EXPECT_THAT(checkpoint_fault(type.written()), HasSubstr("expected U32 [rows, words]"));
  Spoiled lone("vlm/hd_tied", true);
  lone.drop(base + "scales");
  EXPECT_THAT(checkpoint_fault(lone.written()), HasSubstr("also needs its .scales"));
}

TEST(Checkpoint, FoldersWithoutUsableWeights) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(checkpoint_fault(folder / "none"), HasSubstr("no such folder"));
  EXPECT_THAT(checkpoint_fault(folder.path()), HasSubstr("no weights: expected model.safetensors"));
  std::ofstream(folder / "pytorch_model.bin") << "x";
  EXPECT_THAT(checkpoint_fault(folder.path()),
              HasSubstr("pytorch_model.bin: weights in this container"));
  EXPECT_THAT(checkpoint_fault(folder / "pytorch_model.bin"),
              HasSubstr("expected a checkpoint folder"));
  std::ofstream(folder / "adapter_model.safetensors") << "x";
  EXPECT_THAT(checkpoint_fault(folder.path()), HasSubstr("is an adapter"));
  fs::copy(test::golden("vlm/hd_tied/model.safetensors"), folder / "a.safetensors");
  EXPECT_THAT(checkpoint_fault(folder.path()), HasSubstr("config.json: no such file"));
  fs::copy(test::golden("vlm/hd_tied/config.json"), folder / "config.json");
  EXPECT_EQ(checkpoint_fault(folder.path()), "no error");
  fs::copy(folder / "a.safetensors", folder / "b.safetensors");
  EXPECT_THAT(checkpoint_fault(folder.path()),
              HasSubstr("2 safetensors files and no model.safetensors"));
  std::ofstream(folder / "model.safetensors") << "version https://git-lfs.github.com/spec/v1\n";
  EXPECT_THAT(checkpoint_fault(folder.path()),
              HasSubstr("model.safetensors: is a Git LFS pointer"));
}

TEST(Checkpoint, ShardsAndTheirIndex) {
  const test::TemporaryFolder folder;
  const fs::path all = folder / "sharded";
  test::write_sharded(test::golden("vlm/hd_tied"), all);
  nlohmann::json index = test::read_json(all / "model.safetensors.index.json");
  const auto with_shard = [&](const nlohmann::json& name) {
    nlohmann::json changed = index;
    changed["weight_map"]["model.norm.weight"] = name;
    test::write_json(all / "model.safetensors.index.json", changed);
    return checkpoint_fault(all);
  };
  for (const nlohmann::json& name : std::vector<nlohmann::json>{"../x.safetensors", "/etc/passwd",
                                                                "..", "", "a/b", 3, nullptr}) {
    EXPECT_THAT(with_shard(name), HasSubstr("`model.norm.weight`: expected the name of a file"))
        << name;
  }
  const std::string first = "model-00001-of-00002.safetensors";
  const std::string second = "model-00002-of-00002.safetensors";
  const std::string home = index["weight_map"]["model.norm.weight"];
  EXPECT_THAT(with_shard(home == first ? second : first),
              HasSubstr("`model.norm.weight` is missing; model.safetensors.index.json says"));
  test::write_json(all / "model.safetensors.index.json", {{"weight_map", {}}});
  EXPECT_THAT(checkpoint_fault(all), HasSubstr("key `weight_map` is missing"));

  fs::remove(all / "model.safetensors.index.json");
  EXPECT_EQ(checkpoint_fault(all), "no error");  // a series that is complete needs no index
  fs::remove(all / second);
  EXPECT_THAT(checkpoint_fault(all),
              HasSubstr(second + ": no such file; 1 of 2 weight files are there"));
  test::write_json(all / "model.safetensors.index.json", index);
  EXPECT_THAT(checkpoint_fault(all),
              HasSubstr(second + ": no such file; 1 of 2 weight files are there"));
}

TEST(Checkpoint, ContentHashFollowsTheContents) {
  Spoiled model;
  const std::string before = *Checkpoint::open(model.written())->content_hash();
  EXPECT_EQ(before.size(), 64U);
  EXPECT_EQ(*Checkpoint::open(model.written())->content_hash(), before);
  model.config["note"] = 1;
  const std::string with_note = *Checkpoint::open(model.written())->content_hash();
  EXPECT_NE(with_note, before);
  model.tensor("model.norm.weight").bytes[0] ^= std::byte{1};
  EXPECT_NE(*Checkpoint::open(model.written())->content_hash(), with_note);
}

}  // namespace
}  // namespace fastvlm
