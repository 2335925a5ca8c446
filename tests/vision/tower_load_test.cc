// SPDX-License-Identifier: Apache-2.0
// Towers that are not what they should be: every refusal names the tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>

#include "support/files.h"
#include "vision/projector.h"
#include "vision/tower.h"

namespace fastvlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kTower = "model.vision_tower.vision_tower.model.";  // NOLINT

struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Tensor>;

Tensors read_all(const std::filesystem::path& path) {
  const auto file = SafetensorsFile::open(path);
  EXPECT_TRUE(file.ok()) << file.status().message;
  Tensors tensors;
  for (const auto& [name, view] : file->tensors()) {
    tensors[name] = {view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}};
  }
  return tensors;
}

Tensor filled(const std::vector<int64_t>& shape, float value) {
  size_t count = 1;
  for (const int64_t side : shape) count *= static_cast<size_t>(side);
  const std::vector<float> values(count, value);
  Tensor tensor{DType::kF32, shape, std::vector<std::byte>(count * sizeof(float))};
  if (count > 0) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

// The golden model hd_tied with its tensors changed by a test.
class TowerLoad : public testing::Test {
 protected:
  // What loading tower and projector says after `change`; fine is a Status without message.
  Status load_after(const std::function<void(Tensors&)>& change,
                    const char* tower_file = "model.safetensors") {
    const std::filesystem::path golden = test::golden("vlm/hd_tied");
    Tensors tensors = read_all(golden / "model.safetensors");
    if (tower_file != std::string("model.safetensors")) {
      std::erase_if(tensors, [](const auto& item) { return item.first.starts_with(kTower); });
      tensors.merge(read_all(golden / tower_file));
    }
    change(tensors);

    const test::TemporaryFolder folder;
    std::filesystem::copy_file(golden / "config.json", folder / "config.json");
    std::vector<TensorToWrite> list;
    for (const auto& [name, tensor] : tensors) {
      list.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
    }
    FASTVLM_RETURN_IF_ERROR(write_safetensors(folder / "model.safetensors", list));
    FASTVLM_ASSIGN(const auto checkpoint, Checkpoint::open(folder.path()));
    FASTVLM_ASSIGN(const auto tower, VisionTower::load(checkpoint, pool_));
    FASTVLM_ASSIGN(const auto projector, Projector::load(checkpoint, pool_));
    return {};
  }

  ThreadPool pool_{1};
};

TEST_F(TowerLoad, UnchangedIsFine) {
  EXPECT_EQ(load_after([](Tensors&) {}).message, "");
  EXPECT_EQ(load_after([](Tensors&) {}, "vision_train_form.safetensors").message, "");
}

TEST_F(TowerLoad, HeadMayBeAbsent) {
  EXPECT_EQ(load_after([](Tensors& t) { t.erase(kTower + "head.proj"); }).message, "");
}

TEST_F(TowerLoad, NamesAMissingTensor) {
  for (const std::string name :
       {"patch_embed.0.reparam_conv.weight", "patch_embed.2.reparam_conv.bias",
        "network.0.0.layer_scale", "network.2.1.token_mixer.reparam_conv.weight",
        "network.4.0.convffn.conv.bn.running_var", "network.2.1.convffn.fc2.bias",
        "network.3.proj.0.lkb_reparam.weight", "network.5.proj.1.reparam_conv.weight",
        "network.6.reparam_conv.bias", "network.7.0.norm.bias",
        "network.10.0.token_mixer.proj.weight", "network.10.0.layer_scale_2",
        "conv_exp.reparam_conv.weight", "conv_exp.se.expand.weight"}) {
    const Status status = load_after([&](Tensors& t) { ASSERT_EQ(t.erase(kTower + name), 1U); });
    EXPECT_EQ(status.code, Code::kNotFound) << name << ": " << status.message;
    EXPECT_THAT(status.message, HasSubstr(name));
    EXPECT_THAT(status.hint, Not(testing::IsEmpty())) << name;
  }
}

TEST_F(TowerLoad, NamesAMissingTensorOfTheTrainingForm) {
  for (const std::string name :
       {"patch_embed.1.rbr_conv.0.bn.weight", "patch_embed.2.rbr_skip.running_mean",
        "network.0.0.token_mixer.layer_scale", "network.2.0.token_mixer.norm.rbr_skip.bias",
        "network.2.0.token_mixer.mixer.rbr_scale.conv.weight",
        "network.1.proj.0.small_conv.conv.weight", "network.1.proj.0.lkb_origin.bn.running_var",
        "network.6.pe.bias", "conv_exp.rbr_scale.bn.bias"}) {
    const Status status = load_after([&](Tensors& t) { ASSERT_EQ(t.erase(kTower + name), 1U); },
                                     "vision_train_form.safetensors");
    EXPECT_EQ(status.code, Code::kNotFound) << name << ": " << status.message;
    EXPECT_THAT(status.message, HasSubstr(name));
  }
}

TEST_F(TowerLoad, NamesAWrongShape) {
  const Status transposed = load_after([](Tensors& t) {
    t[kTower + "network.2.0.convffn.fc2.weight"].shape = {64, 16, 1, 1};
  });
  EXPECT_EQ(transposed.code, Code::kInvalid);
  EXPECT_THAT(transposed.message, AllOf(HasSubstr("network.2.0.convffn.fc2.weight"),
                                        HasSubstr("[64, 16"), HasSubstr("[16, 64")));

  const Status narrow =
      load_after([](Tensors& t) { t[kTower + "network.7.0.norm.weight"] = filled({63}, 1.0F); });
  EXPECT_EQ(narrow.code, Code::kInvalid);
  EXPECT_THAT(narrow.message,
              AllOf(HasSubstr("network.7.0.norm.weight"), HasSubstr("[64]"), HasSubstr("[63]")));
}

TEST_F(TowerLoad, RefusesKernelsOfAnotherFamily) {
  for (const auto& shape : {std::vector<int64_t>{16, 1, 2, 2}, std::vector<int64_t>{16, 1, 9, 9},
                            std::vector<int64_t>{0, 1, 3, 3}, std::vector<int64_t>{16, 1, 3, 7},
                            std::vector<int64_t>{16, 3, 3}, std::vector<int64_t>{}}) {
    const Status status = load_after([&](Tensors& t) {
      t[kTower + "network.2.0.token_mixer.reparam_conv.weight"] = filled(shape, 0.1F);
    });
    EXPECT_EQ(status.code, Code::kInvalid) << bracketed(shape);
    EXPECT_THAT(status.message, AllOf(HasSubstr("network.2.0.token_mixer.reparam_conv.weight"),
                                      HasSubstr(bracketed(shape))));
  }
}

TEST_F(TowerLoad, RefusesWidthsThatDoNotFollow) {
  const Status empty = load_after([](Tensors& t) {
    t[kTower + "patch_embed.0.reparam_conv.weight"] = filled({0, 3, 3, 3}, 0.0F);
  });
  EXPECT_THAT(empty.message, HasSubstr("patch_embed.0.reparam_conv.weight"));

  const Status odd = load_after([](Tensors& t) {
    t[kTower + "network.1.proj.0.lkb_reparam.weight"] = filled({12, 1, 7, 7}, 0.1F);
    t[kTower + "network.1.proj.0.lkb_reparam.bias"] = filled({12}, 0.1F);
  });
  EXPECT_EQ(odd.code, Code::kInvalid);
  EXPECT_THAT(odd.message, AllOf(HasSubstr("network.1.proj.0"), HasSubstr("multiple of 8"),
                                 HasSubstr("found 12")));
}

TEST_F(TowerLoad, RefusesVariancesBelowZero) {
  for (const float variance : {-1.0F, std::nanf("")}) {
    const Status status = load_after([&](Tensors& t) {
      t[kTower + "network.4.1.convffn.conv.bn.running_var"] = filled({32}, variance);
    });
    EXPECT_EQ(status.code, Code::kInvalid);
    EXPECT_THAT(status.message, HasSubstr("network.4.1.convffn.conv.bn.running_var"));
  }
}

TEST_F(TowerLoad, RefusesTensorsThatItDoesNotKnow) {
  for (const std::string name : {"network.7.0.token_mixer.qkv.bias", "network.11.norm.weight",
                                 "network.0.0.token_mixer.mixer.rbr_conv.1.conv.weight"}) {
    const Status status = load_after([&](Tensors& t) { t[kTower + name] = filled({192}, 1.0F); });
    EXPECT_FALSE(status.ok()) << name;
    EXPECT_THAT(status.message, HasSubstr("network."));
  }
  // Both forms in one file: which one is meant?
  const Status both = load_after([](Tensors& t) {
    t.merge(read_all(test::golden("vlm/hd_tied") / "vision_train_form.safetensors"));
  });
  EXPECT_EQ(both.code, Code::kUnsupported);
  EXPECT_THAT(both.message, HasSubstr("reparam"));
}

TEST_F(TowerLoad, SaysWhenThereIsNone) {
  const Status tower = load_after([](Tensors& t) {
    std::erase_if(t, [](const auto& item) { return item.first.starts_with(kTower); });
  });
  EXPECT_EQ(tower.code, Code::kNotFound);
  EXPECT_THAT(tower.message, HasSubstr("no vision tower"));

  const Status projector = load_after([](Tensors& t) { t.erase("model.mm_projector.2.weight"); });
  EXPECT_EQ(projector.code, Code::kNotFound);
  EXPECT_THAT(projector.message, HasSubstr("projector"));
}

TEST_F(TowerLoad, RefusesAProjectorOfAnotherShape) {
  const Status status = load_after([](Tensors& t) {
    t["model.mm_projector.2.weight"] = filled({128, 64}, 0.1F);
  });
  EXPECT_EQ(status.code, Code::kInvalid);
  EXPECT_THAT(status.message, AllOf(HasSubstr("mm_projector.2.weight"), HasSubstr("[128, 128]"),
                                    HasSubstr("[128, 64]")));
}

}  // namespace
}  // namespace fastvlm
