// SPDX-License-Identifier: Apache-2.0
// The plain backward functions against complex steps through the plain forward ones.
#include "train/scalar_layers.h"

namespace fastvlm::test {
namespace {

using Complex = std::complex<double>;

// The sum of c y: what y's gradient c is the gradient of.
Complex weighed(const Values<double>& c, const Values<Complex>& y) {
  Complex sum = 0;
  for (size_t i = 0; i < y.size(); ++i) sum += c[i] * y[i];
  return sum;
}

TEST(ScalarLayers, RmsNorm) {
  Numbers numbers(1);
  const Values<double> x = numbers.normals(3 * 7);
  const Values<double> weight = numbers.normals(7);
  const Values<double> c = numbers.normals(x.size());
  expect_derivative(
      [&](const Values<Complex>& at) { return weighed(c, rms_norm_forward(at, weight, 1e-2)); }, x,
      rms_norm_backward(x, weight, 1e-2, c));
}

TEST(ScalarLayers, Gated) {
  Numbers numbers(2);
  const Values<double> gate = numbers.normals(20, 3);
  const Values<double> up = numbers.normals(20);
  const Values<double> c = numbers.normals(20);
  Values<double> dgate;
  Values<double> dup;
  gated_backward(gate, up, c, dgate, dup);
  expect_derivative(
      [&](const Values<Complex>& at) { return weighed(c, gated_forward(at, as<Complex>(up))); },
      gate, dgate);
  expect_derivative(
      [&](const Values<Complex>& at) { return weighed(c, gated_forward(as<Complex>(gate), at)); },
      up, dup);
}

TEST(ScalarLayers, LoraLinear) {
  Numbers numbers(3);
  const Sizes s{3, 5, 4, 2, 1.5};
  const Values<double> w = numbers.normals(s.out * s.in);
  const Values<double> mask = numbers.normals(s.rows * s.in);
  const Values<double> c = numbers.normals(s.rows * s.out);
  const LoraLayer<double> layer{numbers.normals(s.rows * s.in), numbers.normals(s.rank * s.in),
                                numbers.normals(s.out * s.rank)};
  const LoraLayer<double> d = lora_backward(s, w, mask, layer, c);
  const LoraLayer<Complex> start{as<Complex>(layer.x), as<Complex>(layer.a), as<Complex>(layer.b)};
  const auto check = [&](Values<Complex> LoraLayer<Complex>::*part, const Values<double>& x,
                         const Values<double>& gradient) {
    expect_derivative(
        [&](const Values<Complex>& at) {
          LoraLayer<Complex> moved = start;
          moved.*part = at;
          return weighed(c, lora_forward(s, w, mask, moved));
        },
        x, gradient);
  };
  check(&LoraLayer<Complex>::x, layer.x, d.x);
  check(&LoraLayer<Complex>::a, layer.a, d.a);
  check(&LoraLayer<Complex>::b, layer.b, d.b);
}

TEST(ScalarLayers, Rope) {
  Numbers numbers(4);
  const Values<double> x = numbers.normals(4 * 3 * 6);
  const Values<double> c = numbers.normals(x.size());
  expect_derivative(
      [&](const Values<Complex>& at) { return weighed(c, rope_forward(at, 4, 3, 6, 100)); }, x,
      rope_forward(c, 4, 3, 6, 100, -1));
}

TEST(ScalarLayers, Attention) {
  Numbers numbers(5);
  const HeadSizes s{5, 4, 2, 3};
  const AttentionValues<double> x{numbers.normals(s.rows * s.heads * s.dim),
                                  numbers.normals(s.rows * s.kv_heads * s.dim),
                                  numbers.normals(s.rows * s.kv_heads * s.dim)};
  const Values<double> c = numbers.normals(x.q.size());
  const AttentionValues<double> d = attention_backward(s, x, c);
  const AttentionValues<Complex> start{as<Complex>(x.q), as<Complex>(x.k), as<Complex>(x.v)};
  const auto check = [&](Values<Complex> AttentionValues<Complex>::*part,
                         const Values<double>& values, const Values<double>& gradient) {
    expect_derivative(
        [&](const Values<Complex>& at) {
          AttentionValues<Complex> moved = start;
          moved.*part = at;
          return weighed(c, attention_forward(s, moved));
        },
        values, gradient);
  };
  check(&AttentionValues<Complex>::q, x.q, d.q);
  check(&AttentionValues<Complex>::k, x.k, d.k);
  check(&AttentionValues<Complex>::v, x.v, d.v);
}

TEST(ScalarLayers, ErfOfTheSeriesIsTheLibrarys) {
  for (double x = -3; x <= 3; x += 0.125) EXPECT_NEAR(erf_series(x), std::erf(x), 1e-12);
}

TEST(ScalarLayers, Projector) {
  Numbers numbers(7);
  const Values<double> x = numbers.normals(3 * 5);
  const ProjectorLayer<double> layer{numbers.normals(4 * 5, 0.3), numbers.normals(4, 0.3),
                                     numbers.normals(4 * 4), numbers.normals(4)};
  const Values<double> c = numbers.normals(3 * 4);
  const ProjectorLayer<double> d = projector_backward(x, layer, c);
  const ProjectorLayer<Complex> start{as<Complex>(layer.w0), as<Complex>(layer.b0),
                                      as<Complex>(layer.w2), as<Complex>(layer.b2)};
  const auto check = [&](Values<Complex> ProjectorLayer<Complex>::*part,
                         const Values<double>& values, const Values<double>& gradient) {
    expect_derivative(
        [&](const Values<Complex>& at) {
          ProjectorLayer<Complex> moved = start;
          moved.*part = at;
          return weighed(c, projector_forward(as<Complex>(x), moved));
        },
        values, gradient);
  };
  check(&ProjectorLayer<Complex>::w0, layer.w0, d.w0);
  check(&ProjectorLayer<Complex>::b0, layer.b0, d.b0);
  check(&ProjectorLayer<Complex>::w2, layer.w2, d.w2);
  check(&ProjectorLayer<Complex>::b2, layer.b2, d.b2);
}

TEST(ScalarLayers, CrossEntropy) {
  Numbers numbers(6);
  const Values<double> h = numbers.normals(3 * 4);
  const Values<double> w = numbers.normals(9 * 4);
  const std::vector<int32_t> ids = {8, 0, 3};
  expect_derivative([&](const Values<Complex>& at) { return cross_entropy_forward(at, w, 4, ids); },
                    h, cross_entropy_backward(h, w, 4, ids));
}

}  // namespace
}  // namespace fastvlm::test
