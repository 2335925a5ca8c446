// SPDX-License-Identifier: Apache-2.0
#include "formats/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "support/detector_numbers.h"
#include "support/files.h"
#include "support/torch_file.h"

namespace fastvlm {
namespace {

using test::numbers;
using test::PickleWriter;
using test::TorchType;
using testing::ElementsAre;
using testing::HasSubstr;

DetectorWeights torch_detector() {
  DetectorWeights weights;
  weights.tensors["model.0.conv.weight"] = {{4, 3, 3, 3}, numbers(108, 0)};
  weights.tensors["model.0.bn.running_var"] = {{4}, numbers(4, 7)};
  weights.tensors["model.23.cv2.0.2.bias"] = {{2}, numbers(2, 9)};
  weights.class_names = {"person", "driver's mate"};
  return weights;
}

// The tensors of a pickle alone; every storage holds 0, 1, 2, … as halves.
Result<DetectorWeights> read_pickle(const std::string& pickle) {
  const StorageReader counting = [](const std::string&, uint64_t bytes) {
    std::vector<std::byte> storage(bytes);
    for (size_t i = 0; i + 1 < bytes; i += 2) {
      const uint16_t bits = f32_to_f16(static_cast<float>(i / 2));
      std::memcpy(storage.data() + i, &bits, sizeof bits);
    }
    return Result<std::vector<std::byte>>(std::move(storage));
  };
  return read_module_tree(std::as_bytes(std::span(pickle)), counting, "x.pt");
}

std::string pickle_fault(const std::string& pickle) {
  const auto weights = read_pickle(pickle);
  if (weights.ok()) return "no error";
  EXPECT_FALSE(weights.status().hint.empty()) << weights.status().message;
  EXPECT_EQ(weights.status().message.find('\n'), std::string::npos);
  return weights.status().message;
}

// A state dict of one tensor.
std::string one_tensor(int64_t numel, int64_t offset, const std::vector<int64_t>& shape,
                       const std::vector<int64_t>& strides, const char* type = "HalfStorage") {
  PickleWriter pickle;
  pickle.raw("}").mark().text("a").tensor(type, "0", numel, offset, shape, strides).raw("u");
  return pickle.finished();
}

TEST(TorchArchive, ReadsWhatTorchSaveWrote) {
  const auto weights = read_detector_weights(test::golden("detector") / "small.pt");
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  EXPECT_THAT(weights->class_names, ElementsAre("person", "traffic light"));
  EXPECT_EQ(weights->tensors.size(), 17U);
  const auto expect = [&](const char* name, std::vector<int64_t> shape, int start) {
    const auto found = weights->tensors.find(name);
    ASSERT_NE(found, weights->tensors.end()) << name;
    EXPECT_EQ(found->second.shape, shape) << name;
    EXPECT_EQ(found->second.values, numbers(found->second.values.size(), start)) << name;
  };
  expect("model.0.conv.weight", {4, 3, 3, 3}, 0);
  expect("model.0.bn.weight", {4}, 50);  // two tensors in one storage
  expect("model.0.bn.bias", {4}, 54);
  expect("model.0.bn.running_var", {4}, 4);
  expect("model.1.conv.weight", {4, 4, 3, 3}, 10);  // channels last
  expect("model.1.bn.running_mean", {4}, 13);
  expect("model.2.cv2.0.0.conv.weight", {4, 4, 1, 1}, 20);
  expect("model.2.cv2.0.1.weight", {2, 4, 1, 1}, 30);
  expect("model.2.cv2.0.1.bias", {2}, 31);
}

TEST(TorchArchive, ReadsEveryWidthUnderModelAndEma) {
  const test::TemporaryFolder folder;
  const DetectorWeights written = torch_detector();
  for (const TorchType type : {TorchType::kF32, TorchType::kF16, TorchType::kBF16}) {
    for (const bool ema : {false, true}) {
      const auto path = folder / "best.onnx";  // content counts, not the name
      test::TorchFileWriter(type, ema).write(written, path);
      const auto read = read_detector_weights(path);
      ASSERT_TRUE(read.ok()) << read.status().message;
      EXPECT_EQ(read->class_names, written.class_names);
      ASSERT_EQ(read->tensors.size(), written.tensors.size());
      for (const auto& [name, tensor] : written.tensors) {
        EXPECT_EQ(read->tensors.at(name).shape, tensor.shape);
        EXPECT_EQ(read->tensors.at(name).values, tensor.values) << name;
      }
    }
  }
}

TEST(TorchArchive, FollowsStridesAndOffsets) {
  const auto weights = read_pickle(one_tensor(20, 2, {2, 3}, {1, 4}));
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  EXPECT_THAT(weights->tensors.at("a").values, ElementsAre(2, 6, 10, 3, 7, 11));
  const auto scalar = read_pickle(one_tensor(4, 3, {}, {}));
  ASSERT_TRUE(scalar.ok());
  EXPECT_THAT(scalar->tensors.at("a").values, ElementsAre(3));
  const auto empty = read_pickle(one_tensor(4, 4, {0, 5}, {5, 1}));
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->tensors.at("a").values.empty());
  EXPECT_TRUE(read_pickle(one_tensor(4, 0, {4}, {1}, "LongStorage"))->tensors.empty());
}

TEST(TorchArchive, RefusesTensorsThatLeaveTheirStorage) {
  EXPECT_THAT(pickle_fault(one_tensor(20, 9, {2, 6}, {6, 1})),
              HasSubstr("x.pt: tensor `a`: size [2, 6], stride [6, 1], offset 9 reach beyond its "
                        "storage of 20 elements"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 0, {21}, {0})), HasSubstr("reach beyond"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 0, {2}, {INT64_MAX})), HasSubstr("reach beyond"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 0, {INT64_MAX, INT64_MAX}, {1, 1})),
              HasSubstr("reach beyond"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 21, {1}, {1})), HasSubstr("an offset outside"));
  EXPECT_THAT(pickle_fault(one_tensor(20, -1, {1}, {1})), HasSubstr("an offset outside"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 0, {-1}, {1})), HasSubstr("a size or stride"));
  EXPECT_THAT(pickle_fault(one_tensor(20, 0, {1}, {1, 1})), HasSubstr("a size or stride"));
  EXPECT_THAT(pickle_fault(one_tensor(-1, 0, {1}, {1})), HasSubstr("without key or size"));
  EXPECT_THAT(pickle_fault(one_tensor(4, 0, {1}, {1}, "QInt8Storage")),
              HasSubstr("found storage type `torch.QInt8Storage`"));
}

TEST(TorchArchive, RefusesCallsByName) {
  const auto calling = [](const std::string& module, const std::string& name) {
    PickleWriter pickle;
    pickle.raw("}").mark().text("model").global(module, name).mark().text("rm -rf /").raw("tRu");
    return pickle.finished();
  };
  EXPECT_THAT(pickle_fault(calling("posix", "system")),
              HasSubstr("x.pt: would call `posix.system`"));
  for (const char* name : {"eval", "exec", "getattr", "__import__", "open", "compile"}) {
    EXPECT_THAT(pickle_fault(calling("builtins", name)), HasSubstr("would call `builtins."));
    EXPECT_THAT(pickle_fault(calling("__builtin__", name)), HasSubstr("would call `__builtin__."));
  }
  EXPECT_THAT(pickle_fault(calling("subprocess", "Popen")), HasSubstr("`subprocess.Popen`"));
  EXPECT_THAT(pickle_fault(calling("torchevil", "load")), HasSubstr("`torchevil.load`"));
  EXPECT_THAT(pickle_fault(calling("\x1b[31mx", "y")), HasSubstr("`?[31mx.y`"));
  // Not protocol 2's REDUCE alone: NEWOBJ, NEWOBJ_EX, and a class by STACK_GLOBAL.
  EXPECT_THAT(pickle_fault("\x80\x02"
                           "cos\nsystem\n)\x81."),
              HasSubstr("`os.system`"));
  EXPECT_THAT(pickle_fault("\x80\x04"
                           "cos\nsystem\n)}\x92."),
              HasSubstr("`os.system`"));
  EXPECT_THAT(pickle_fault("\x80\x04\x8c\x02os\x8c\x06system\x93)R."), HasSubstr("`os.system`"));
  // INST and OBJ call too; PyTorch does not write them.
  EXPECT_THAT(pickle_fault("\x80\x02(ios\nsystem\n."), HasSubstr("opcode 0x69"));
  EXPECT_THAT(pickle_fault("\x80\x02(cos\nsystem\no."), HasSubstr("opcode 0x6f"));
  // getattr is how methods are named; of other things it is refused, and its result is not called.
  const auto method = [](const std::string& module, const std::string& owner, const char* name) {
    PickleWriter pickle;
    pickle.global("__builtin__", "getattr").mark().global(module, owner).text(name).raw("tR");
    return pickle;
  };
  EXPECT_THAT(pickle_fault(method("ultralytics.nn.modules.head", "Detect", "forward").finished()),
              HasSubstr("expected a model or a state dict"));
  EXPECT_THAT(pickle_fault(method("os", "path", "join").finished()), HasSubstr("getattr`"));
  EXPECT_THAT(pickle_fault(method("torch", "Tensor", "__class__").finished()),
              HasSubstr("getattr`"));
  EXPECT_THAT(pickle_fault(method("torch", "hub", "load").raw(")R").finished()),
              HasSubstr("a call of something that is no class"));
  // Inert: what is not called is only a name.
  EXPECT_THAT(pickle_fault("\x80\x02"
                           "cos\nsystem\n."),
              HasSubstr("expected a model or a state dict"));
}

TEST(TorchArchive, RefusesDamagedPickles) {
  EXPECT_THAT(pickle_fault(""), HasSubstr("no pickle of protocol 2 to 5"));
  EXPECT_THAT(pickle_fault("\x80\x09."), HasSubstr("no pickle of protocol 2 to 5"));
  EXPECT_THAT(pickle_fault("\x80\x02"), HasSubstr("ends too early"));
  EXPECT_THAT(pickle_fault("\x80\x02X\xff\xff\xff\xff"), HasSubstr("ends too early"));
  for (const char* ops :
       {"R.", "s.", "b.", "t.", "(s.", "\x85.", "0.", "1.", "2.", "q\x01.", "Q."}) {
    EXPECT_THAT(pickle_fault(std::string("\x80\x02") + ops), HasSubstr("too few values")) << ops;
  }
  EXPECT_THAT(pickle_fault("\x80\x02h\x07."), HasSubstr("recalls what it did not remember"));
  EXPECT_THAT(pickle_fault("\x80\x02(N."), HasSubstr("stops in the middle"));
  EXPECT_THAT(pickle_fault("\x80\x02}(Nu."), HasSubstr("a key has no value"));
  EXPECT_THAT(pickle_fault("\x80\x02)(NNu."), HasSubstr("something that holds none"));
  EXPECT_THAT(pickle_fault("\x80\x02" + std::string(2'000'000, 'N')),
              HasSubstr("more than a million"));
  const std::string whole = one_tensor(20, 2, {2, 3}, {1, 4});
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(read_pickle(whole.substr(0, length)).ok());
  }
}

TEST(TorchArchive, RefusesModulesThatHoldThemselves) {
  // A module whose only child is itself.
  PickleWriter pickle;
  pickle.global("torch.nn", "Module").raw(")\x81q\x09}").mark().text("_modules");
  pickle.raw("}").mark().text("again").raw("h\x09uub");
  EXPECT_THAT(pickle_fault(pickle.finished()), HasSubstr("contain each other"));
  PickleWriter wide;  // 2^60 visits through 60 shared levels
  wide.global("torch.nn", "Module").raw(")\x81}").mark().text("_modules").raw("}ubq\x09");
  wide.raw("0");
  for (int i = 0; i < 60; ++i) {
    wide.global("torch.nn", "Module").raw(")\x81}").mark().text("_modules").raw("}").mark();
    wide.text("a").raw("h\x09").text("b").raw("h\x09uubq\x09").raw("0");
  }
  EXPECT_THAT(pickle_fault(wide.raw("h\x09").finished()), HasSubstr("contain each other"));
}

class TorchArchiveFile : public testing::Test {
 protected:
  std::string fault_of_zip(const std::vector<test::ZipEntry>& entries) {
    test::write_zip(folder_ / "x.pt", entries);
    return fault_of_file();
  }
  std::string fault_of_file() {
    const auto weights = read_detector_weights(folder_ / "x.pt");
    if (weights.ok()) return "no error";
    EXPECT_FALSE(weights.status().hint.empty()) << weights.status().message;
    return weights.status().message;
  }

  test::TemporaryFolder folder_;
};

TEST_F(TorchArchiveFile, RefusesArchivesThatAreNoDetector) {
  EXPECT_THAT(fault_of_zip({{"word/document.xml", "<xml/>"}}), HasSubstr("with `data.pkl`"));
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", "."}, {"x/constants.pkl", "."}}),
              HasSubstr("TorchScript"));
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", one_tensor(4, 0, {4}, {1})}, {"x/byteorder", "big"}}),
              HasSubstr("byte order is `big`"));
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", one_tensor(4, 0, {4}, {1})}}),
              HasSubstr("entry `x/data/0` is missing"));
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", one_tensor(4, 0, {4}, {1})}, {"x/data/0", "1234567"}}),
              HasSubstr("storage `0` has 7 bytes, the pickle says 8"));
  EXPECT_THAT(
      fault_of_zip({{"x/data.pkl", one_tensor(4, 0, {4}, {1})}, {"x/data/0", "12345678"}}),
      HasSubstr("expected a tensor `model.0.conv.weight`, found 1 others, the first of them `a`"));
  std::ofstream(folder_ / "x.pt", std::ios::binary) << "PK\x03\x04 and nothing else";
  EXPECT_THAT(fault_of_file(), HasSubstr("not a readable zip archive"));
  std::ofstream(folder_ / "x.pt", std::ios::binary) << "\x80\x02\x8a\x0al\xfc\x9c"
                                                       "F\xf9 j\xa8P";
  EXPECT_THAT(fault_of_file(), HasSubstr("before version 1.6"));
}

TEST_F(TorchArchiveFile, RefusesBombs) {
  const int64_t numel = 50'000'000;
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", one_tensor(numel, 0, {numel}, {1})},
                            {"x/data/0", std::string(2 * numel, '\0'), true}}),
              HasSubstr("as no weights do"));
  EXPECT_THAT(fault_of_zip({{"x/data.pkl", std::string(size_t{70} << 20, '\0'), true}}),
              HasSubstr("declares 73400320 bytes, at most 67108864"));
  EXPECT_THAT(pickle_fault(one_tensor(int64_t{1} << 40, 0, {int64_t{1} << 40}, {1})),
              HasSubstr("more than"));
  EXPECT_THAT(
      fault_of_zip({{"x/data.pkl", one_tensor(int64_t{1} << 28, 0, {1 << 28}, {1}, "FloatStorage")},
                    {"x/data/0", ""}}),
      HasSubstr("storage `0` has 0 bytes"));
}

TEST_F(TorchArchiveFile, RefusesAnyDamage) {
  test::TorchFileWriter().write(torch_detector(), folder_ / "x.pt");
  std::ifstream in(folder_ / "x.pt", std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  const auto read = [](const std::string& file) {
    return parse_torch_archive(std::as_bytes(std::span(file)), "x.pt");
  };
  ASSERT_TRUE(read(whole).ok());
  for (size_t length = 0; length < whole.size(); length += 13) {
    EXPECT_FALSE(read(whole.substr(0, length)).ok()) << length;
  }
  for (size_t i = 0; i < whole.size(); i += 3) {  // must not crash; the checksum finds most
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    const auto weights = read(changed);
    EXPECT_EQ(weights.ok(), weights.status().message.empty());
  }
}

}  // namespace
}  // namespace fastvlm
