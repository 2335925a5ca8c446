// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/python_names.h"
#include "support/detector_numbers.h"
#include "support/files.h"
#include "support/onnx_file.h"

namespace fastvlm {
namespace {

using test::numbers;
using test::OnnxOptions;
using test::ProtoWriter;
using testing::ElementsAre;
using testing::HasSubstr;

DetectorWeights onnx_detector() {
  DetectorWeights weights;
  weights.tensors["model.0.conv.weight"] = {{4, 3, 3, 3}, numbers(108, 0)};
  weights.tensors["model.0.conv.bias"] = {{4}, numbers(4, 7)};
  weights.tensors["model.10.m.0.ffn.0.conv.weight"] = {{1, 4, 1, 1}, numbers(4, 8)};
  weights.tensors["model.23.cv2.0.2.weight"] = {{2, 4, 1, 1}, numbers(8, 9)};
  weights.class_names = {"person", "driver's mate"};
  return weights;
}

Result<DetectorWeights> parse_onnx(const std::string& file) {
  return parse_onnx_weights(std::as_bytes(std::span(file)), "x.onnx");
}

std::string onnx_fault(const std::string& file) {
  const auto weights = parse_onnx(file);
  if (weights.ok()) return "no error";
  EXPECT_FALSE(weights.status().hint.empty()) << weights.status().message;
  EXPECT_EQ(weights.status().message.find('\n'), std::string::npos);
  return weights.status().message;
}

// A model of one tensor that the fields of `tensor` describe.
std::string with_tensor(const ProtoWriter& tensor) {
  return test::onnx_model(ProtoWriter().bytes(5, tensor.str()).str(), {});
}
ProtoWriter tensor(std::vector<uint64_t> shape, uint64_t type) {
  ProtoWriter proto;
  for (const uint64_t dimension : shape) proto.number(1, dimension);
  return proto.number(2, type).bytes(8, "model.0.conv.weight");
}

TEST(OnnxWeights, ReadsWhatTorchOnnxWrote) {
  const auto weights = read_detector_weights(test::golden("detector") / "small.onnx");
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  EXPECT_EQ(weights->tensors.size(), 12U);
  EXPECT_EQ(weights->tensors.at("model.0.conv.weight").values, numbers(108, 0));
  EXPECT_EQ(weights->tensors.at("model.1.m.0.1.conv.bias").values, numbers(4, 21));
  for (const char* twin : {"model.1.cv2.0.1.weight", "model.1.cv2.1.1.weight"}) {
    EXPECT_EQ(weights->tensors.at(twin).shape, (std::vector<int64_t>{4, 4, 1, 1}));
    EXPECT_EQ(weights->tensors.at(twin).values, numbers(16, 40));
  }
}

TEST(OnnxWeights, ReadsBothWidthsAndFindsRenamedTensors) {
  const test::TemporaryFolder folder;
  const DetectorWeights written = onnx_detector();
  for (const OnnxOptions& options : {OnnxOptions{}, OnnxOptions{true, false},
                                     OnnxOptions{false, true}, OnnxOptions{true, true}}) {
    test::write_onnx(written, folder / "best.pt", options);
    const auto read = read_detector_weights(folder / "best.pt");
    ASSERT_TRUE(read.ok()) << read.status().message;
    EXPECT_EQ(read->class_names, written.class_names);
    ASSERT_EQ(read->tensors.size(), written.tensors.size());
    for (const auto& [name, expected] : written.tensors) {
      EXPECT_EQ(read->tensors.at(name).shape, expected.shape) << name;
      EXPECT_EQ(read->tensors.at(name).values, expected.values) << name;
    }
  }
}

TEST(OnnxWeights, ReadsNumbersOutsideOfRawData) {
  const std::string two_floats("\0\0\x80\x3f\0\0\0\xc0", 8);
  const auto packed = parse_onnx(with_tensor(tensor({2}, 1).bytes(4, two_floats)));
  ASSERT_TRUE(packed.ok()) << packed.status().message;
  EXPECT_THAT(packed->tensors.at("model.0.conv.weight").values, ElementsAre(1, -2));
  const auto halves = parse_onnx(with_tensor(tensor({2}, 10).number(5, 0x3C00).number(5, 0xC000)));
  ASSERT_TRUE(halves.ok()) << halves.status().message;
  EXPECT_THAT(halves->tensors.at("model.0.conv.weight").values, ElementsAre(1, -2));
  const auto bfloats = parse_onnx(with_tensor(tensor({1}, 16).bytes(9, "\xC0\x3F")));
  ASSERT_TRUE(bfloats.ok());
  EXPECT_THAT(bfloats->tensors.at("model.0.conv.weight").values, ElementsAre(1.5F));
}

TEST(OnnxWeights, RefusesWhatDoesNotFit) {
  EXPECT_THAT(onnx_fault(with_tensor(tensor({2}, 1).bytes(9, "1234567"))),
              HasSubstr("x.onnx: tensor `model.0.conv.weight`: shape [2] takes 2 values, found 1"));
  EXPECT_THAT(onnx_fault(with_tensor(tensor({2}, 3).bytes(9, "12"))), HasSubstr("found type 3"));
  EXPECT_THAT(onnx_fault(with_tensor(tensor({UINT64_MAX}, 1).bytes(9, "1234"))),
              HasSubstr("impossible shape [-1]"));
  EXPECT_THAT(onnx_fault(with_tensor(tensor({1ULL << 62, 1ULL << 62}, 1).bytes(9, "1234"))),
              HasSubstr("impossible shape"));
  EXPECT_THAT(onnx_fault(with_tensor(tensor({1, 1, 1, 1, 1, 1, 1, 1, 1}, 1))),
              HasSubstr("damaged"));
  const std::string elsewhere = ProtoWriter().bytes(1, "location").bytes(2, "x.data").str();
  EXPECT_THAT(onnx_fault(with_tensor(tensor({1}, 1).bytes(13, elsewhere).number(14, 1))),
              HasSubstr("its data lie in another file"));
  EXPECT_THAT(onnx_fault(test::onnx_model("", {{"task", "segment"}})), HasSubstr("task `segment`"));
  EXPECT_THAT(onnx_fault(test::onnx_model("", {{"names", "[x for x in y]"}})),
              HasSubstr("x.onnx: metadata `names`: expected a name in quotes at byte 1"));
  EXPECT_THAT(onnx_fault(ProtoWriter().number(1, 9).str()), HasSubstr("found no graph"));
}

// Refused before the memory is asked for: as many weights as the file has bytes.
TEST(OnnxWeights, RefusesOneTensorUnderManyNames) {
  const std::vector<float> values(100'000, 1.0F);
  std::string graph =
      ProtoWriter().bytes(5, test::onnx_tensor("x", {{100'000}, values}, false)).str();
  const auto named = [&](int count) {
    std::string nodes = graph;
    for (int i = 0; i < count; ++i) {
      const std::string name = "model." + std::to_string(i) + ".conv.weight";
      const std::string node =
          ProtoWriter().bytes(1, "x").bytes(2, name).bytes(4, "Identity").str();
      nodes += ProtoWriter().bytes(1, node).str();
    }
    return test::onnx_model(nodes, {});
  };
  EXPECT_TRUE(parse_onnx(named(4)).ok());
  EXPECT_THAT(onnx_fault(named(5)), HasSubstr("the same ones again and again"));
  EXPECT_EQ(parse_onnx(named(2000)).status().code, Code::kLimit);
}

TEST(OnnxWeights, RefusesDamagedFiles) {
  const std::string whole = test::onnx_detector(onnx_detector());
  ASSERT_TRUE(parse_onnx(whole).ok());
  const size_t graph_end = whole.find("task") - 6;
  for (size_t length = 0; length < graph_end; ++length) {
    EXPECT_FALSE(parse_onnx(whole.substr(0, length)).ok()) << length;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x81);
    const auto weights = parse_onnx(changed);
    EXPECT_EQ(weights.ok(), weights.status().message.empty());
  }
}

TEST(PythonNames, ReadsDictsAndLists) {
  const auto names = [](std::string_view text) { return parse_python_names(text, "names"); };
  EXPECT_THAT(*names("{0: 'person', 1: \"driver's mate\", 2: 'caf\\xe9 \\u20ac\\\\'}"),
              ElementsAre("person", "driver's mate", "caf\xC3\xA9 \xE2\x82\xAC\\"));
  EXPECT_THAT(*names("{1: 'b', 0: 'a',}"), ElementsAre("a", "b"));
  EXPECT_THAT(*names("['a', 'b']"), ElementsAre("a", "b"));
  EXPECT_TRUE(names("{}")->empty());
  for (const char* wrong :
       {"", "{", "{0}", "{0: a}", "{0: 'a'", "{0: 'a' 1: 'b'}", "{1: 'a'}", "x", "{0: 'a', 0: 'b'}",
        "{0: 'a'} + 1", "{0: 'a\\q'}", "{0: '\\ud800'}", "{0: __import__('os')}", "{'a': 0}",
        "{-1: 'a'}", "{99999999999999999999: 'a'}"}) {
    EXPECT_FALSE(names(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace fastvlm
