// SPDX-License-Identifier: Apache-2.0
// The fast layers against the plain ones, whose derivatives scalar_layers_test.cc proves; and the
// same bits whatever the number of threads.
#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "kernels/half.h"
#include "train/attention_gradients.h"
#include "train/cross_entropy.h"
#include "train/elementwise_gradients.h"
#include "train/lora_linear.h"
#include "train/projector_gradient.h"
#include "train/scalar_layers.h"

namespace fastvlm {
namespace {

using test::as;
using test::Numbers;
using test::Values;

constexpr double kTolerance = 3e-6;  // a few roundings of f32, relative to the largest element

// compute(pool) gives numbers that must be `expected`, and the same bits with 1 and 3 threads.
void check(const Values<double>& expected,
           const std::function<std::vector<float>(ThreadPool&)>& compute) {
  ThreadPool one(1);
  ThreadPool three(3);
  const std::vector<float> found = compute(one);
  test::expect_close(found, expected, kTolerance);
  EXPECT_EQ(found, compute(three)) << "depends on the number of threads";
}

Matrix packed(const std::vector<float>& weights, int64_t rows, int64_t cols, ThreadPool& pool) {
  MatrixSource source;
  source.rows = rows;
  source.cols = cols;
  source.data = weights.data();
  return Matrix::pack(source, pool);
}

Values<double> plus(Values<double> a, const Values<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

TEST(FastLayers, RmsNormBackward) {
  Numbers numbers(1);
  const Values<double> x = numbers.normals(300 * 50);
  const Values<double> weight = numbers.normals(50);
  const Values<double> dy = numbers.normals(x.size());
  const Values<double> before = numbers.normals(x.size());
  check(plus(before, test::rms_norm_backward(x, weight, 1e-6, dy)), [&](ThreadPool& pool) {
    std::vector<float> dx = as<float>(before);
    rms_norm_backward(pool, as<float>(x).data(), as<float>(dy).data(), 300, 50,
                      as<float>(weight).data(), 1e-6F, dx.data());
    return dx;
  });
}

TEST(FastLayers, GatedBackward) {
  Numbers numbers(2);
  const size_t count = 20'000;
  const Values<double> gate = numbers.normals(count, 4);
  const Values<double> up = numbers.normals(count);
  const Values<double> dy = numbers.normals(count);
  Values<double> dgate;
  Values<double> dup;
  test::gated_backward(gate, up, dy, dgate, dup);
  dgate.insert(dgate.end(), dup.begin(), dup.end());
  check(dgate, [&](ThreadPool& pool) {
    std::vector<float> both = as<float>(gate);
    both.resize(2 * count);
    std::copy(up.begin(), up.end(), both.begin() + count);
    gated_backward(pool, as<float>(dy).data(), count, both.data(), both.data() + count);
    return both;
  });
}

TEST(FastLayers, RopeBackward) {
  Numbers numbers(3);
  const size_t rows = 40;
  const Values<double> dy = numbers.normals(rows * 3 * 16);
  check(test::rope_forward(dy, rows, 3, 16, 1e4, -1), [&](ThreadPool& pool) {
    std::vector<float> dx = as<float>(dy);
    rope_backward(pool, dx.data(), rows, 3 * 16, 3, 16, 0, 1e4);
    return dx;
  });
}

TEST(FastLayers, AttentionBackward) {
  Numbers numbers(4);
  for (const size_t rows : {1U, 63U, 64U, 150U}) {
    SCOPED_TRACE(rows);
    const test::HeadSizes s{rows, 6, 2, 20};
    const test::AttentionValues<double> x{numbers.normals(rows * s.heads * s.dim),
                                          numbers.normals(rows * s.kv_heads * s.dim),
                                          numbers.normals(rows * s.kv_heads * s.dim)};
    const Values<double> dout = numbers.normals(x.q.size());
    const test::AttentionValues<double> d = test::attention_backward(s, x, dout);
    Values<double> all = d.q;
    all.insert(all.end(), d.k.begin(), d.k.end());
    all.insert(all.end(), d.v.begin(), d.v.end());
    check(all, [&](ThreadPool& pool) {
      const std::vector<float> q = as<float>(x.q);
      const std::vector<float> k = as<float>(x.k);
      const std::vector<float> v = as<float>(x.v);
      std::vector<float> found(all.size());
      Scratch scratch;
      const auto n = static_cast<int64_t>(rows);
      const AttentionShape shape{n, n, 6, 2, 20, 1 / std::sqrt(20.0F), true};
      attention_backward(
          pool, shape, {q.data(), k.data(), v.data()}, as<float>(dout).data(),
          {found.data(), found.data() + q.size(), found.data() + q.size() + k.size()}, scratch);
      return found;
    });
  }
}

TEST(FastLayers, CrossEntropyAndItsGradient) {
  Numbers numbers(5);
  const size_t hidden = 8;
  const size_t vocabulary = 17'003;  // more than two slices
  const Values<double> w = numbers.normals(vocabulary * hidden);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 30; ++i) ids.push_back(i * 583 % 17'003);
  const Values<double> h = numbers.normals(ids.size() * hidden);
  Values<double> gradient = test::cross_entropy_backward(h, w, hidden, ids);
  for (double& g : gradient) g *= 0.125;
  const double loss = test::cross_entropy_forward(h, w, hidden, ids);
  check(gradient, [&](ThreadPool& pool) {
    const Matrix head = packed(as<float>(w), 17'003, 8, pool);
    const std::vector<float> rows = as<float>(h);
    std::vector<float> dh(h.size());
    Scratch scratch;
    for (float* const d : {dh.data(), static_cast<float*>(nullptr)}) {
      const double found =
          cross_entropy(pool, head, rows.data(), ids, 0.125F, Arithmetic::kF32, d, scratch);
      EXPECT_NEAR(found / loss, 1, 1e-6);
    }
    return dh;
  });
}

TEST(FastLayers, Projector) {
  Numbers numbers(8);
  const ProjectorShape shape{50, 24};
  const int64_t rows = 70;
  const Values<double> x = numbers.normals(static_cast<size_t>(rows * shape.inputs));
  const Values<double> dy = numbers.normals(static_cast<size_t>(rows * shape.hidden));
  const test::ProjectorLayer<double> layer{numbers.normals(24 * 50, 0.1), numbers.normals(24, 0.3),
                                           numbers.normals(24 * 24), numbers.normals(24)};
  const test::ProjectorLayer<double> d = test::projector_backward(x, layer, dy);
  Values<double> expected = test::projector_forward(x, layer);
  // As the parameters lie: weights before biases.
  for (const Values<double>* part : {&d.w0, &d.w2, &d.b0, &d.b2}) {
    expected.insert(expected.end(), part->begin(), part->end());
  }
  std::vector<float> weights;
  for (const Values<double>* part : {&layer.w0, &layer.w2, &layer.b0, &layer.b2}) {
    weights.insert(weights.end(), part->begin(), part->end());
  }
  check(expected, [&](ThreadPool& pool) {
    ProjectorGradient fast(shape);
    std::vector<float> found(dy.size());
    std::vector<float> gradient(weights.size());
    const std::vector<float> inputs = as<float>(x);
    fast.forward(pool, weights, inputs.data(), rows, found.data());
    fast.backward(pool, weights, inputs.data(), as<float>(dy).data(), rows, gradient);
    found.insert(found.end(), gradient.begin(), gradient.end());
    return found;
  });
}

// One adapted layer of a model with a hidden width of 96.
struct Layer {
  static constexpr int64_t kRows = 70;
  LanguageConfig config;
  Values<double> w, a, b, x, dy, mask;
  LoraAdapter adapter;

  explicit Layer(double dropout) : adapter(make_adapter(dropout)) {
    Numbers numbers(6);
    const LoraModule& module = *adapter.find(0, LoraTarget::kGate);
    w = numbers.normals(static_cast<size_t>(module.out * module.in));
    a = numbers.normals(static_cast<size_t>(module.a_size()));
    b = numbers.normals(static_cast<size_t>(module.b_size()));
    x = numbers.normals(static_cast<size_t>(kRows * module.in));
    dy = numbers.normals(static_cast<size_t>(kRows * module.out));
    std::copy(a.begin(), a.end(), adapter.parameters().begin() + module.a);
    std::copy(b.begin(), b.end(), adapter.parameters().begin() + module.b);
    ThreadPool pool(1);
    std::vector<float> ones(x.size(), 1.0F);
    Dropout(dropout, RandomStream(9).part(0))
        .apply(pool, ones.data(), static_cast<int64_t>(ones.size()), ones.data());
    mask.assign(ones.begin(), ones.end());
  }

  LoraAdapter make_adapter(double dropout) {
    config.hidden_size = 96;
    config.layers = 1;
    config.heads = config.kv_heads = 4;
    config.head_dim = 24;
    config.intermediate_size = 50;
    LoraSettings settings;
    settings.rank = 6;
    settings.alpha = 9;
    settings.dropout = dropout;
    settings.targets = {"gate_proj"};
    auto made = LoraAdapter::create(config, settings);
    EXPECT_TRUE(made.ok());
    return std::move(*made);
  }
};

void check_lora_linear(double dropout) {
  Layer layer(dropout);
  const LoraModule& module = *layer.adapter.find(0, LoraTarget::kGate);
  const test::Sizes s{static_cast<size_t>(Layer::kRows), 96, 50, 6, 1.5};
  const test::LoraLayer<double> plain{layer.x, layer.a, layer.b};
  Values<double> all = test::lora_forward(s, layer.w, layer.mask, plain);
  const test::LoraLayer<double> d = test::lora_backward(s, layer.w, layer.mask, plain, layer.dy);
  for (const Values<double>* part : {&d.x, &d.a, &d.b}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  const std::vector<float> w = as<float>(layer.w);
  const std::vector<float> x = as<float>(layer.x);
  check(all, [&](ThreadPool& pool) {
    const Qwen2::Linear linear{packed(w, 50, 96, pool), {}};
    const LoraLinear fast(linear, &module);
    Scratch scratch;
    const PassContext context{pool,   layer.adapter, dropout, RandomStream(9), Arithmetic::kF32,
                              scratch};
    std::vector<float> found(layer.dy.size() + x.size());
    std::vector<float> inner(s.rows * s.rank);
    std::vector<float> gradient(layer.a.size() + layer.b.size());
    fast.forward(context, x.data(), Layer::kRows, inner.data(), found.data());
    fast.backward(context, x.data(), inner.data(), as<float>(layer.dy).data(), Layer::kRows,
                  found.data() + layer.dy.size(), false, gradient);
    found.insert(found.end(), gradient.begin(), gradient.end());
    return found;
  });
}

TEST(FastLayers, LoraLinear) {
  check_lora_linear(0);
}

TEST(FastLayers, LoraLinearWithDropout) {
  check_lora_linear(0.25);
}

TEST(Dropout, DropsAsManyAsItSaysAndKeepsTheMean) {
  ThreadPool pool(2);
  const std::vector<float> ones(100'000, 1.0F);
  std::vector<float> y(ones.size());
  const auto count = static_cast<int64_t>(ones.size());
  Dropout(0.1, RandomStream(1)).apply(pool, ones.data(), count, y.data());
  const auto dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0F));
  EXPECT_NEAR(dropped / static_cast<double>(count), 0.1, 0.005);
  EXPECT_NEAR(static_cast<double>(*std::max_element(y.begin(), y.end())), 1 / 0.9, 1e-4);
  std::vector<float> again(ones.size());
  Dropout(0.1, RandomStream(1)).apply(pool, ones.data(), count, again.data());
  EXPECT_EQ(y, again);
  Dropout(0.1, RandomStream(2)).apply(pool, ones.data(), count, again.data());
  EXPECT_NE(y, again);
  EXPECT_FALSE(Dropout(0, RandomStream(1)).active());
}

}  // namespace
}  // namespace fastvlm
