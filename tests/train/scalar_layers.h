// SPDX-License-Identifier: Apache-2.0
// Every layer of a training pass written down plainly, as a forward and a backward function of the
// number's type. Forward runs in complex numbers, too: the imaginary part that a step of i * 1e-30
// leaves in the output is the derivative, without any cancellation. That proves backward, and
// backward in double proves the fast code.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <functional>
#include <numbers>
#include <random>
#include <vector>

namespace fastvlm::test {

using std::exp;
using std::log;
using std::sqrt;

template <typename T>
using Values = std::vector<T>;

inline double real(double x) {
  return x;
}
inline double real(const std::complex<double>& x) {
  return x.real();
}

// x [rows, width] -> [rows, width]
template <typename T>
Values<T> rms_norm_forward(const Values<T>& x, const Values<double>& weight, double eps) {
  const size_t width = weight.size();
  Values<T> y(x.size());
  for (size_t row = 0; row < x.size(); row += width) {
    T squares = 0;
    for (size_t i = 0; i < width; ++i) squares += x[row + i] * x[row + i];
    const T inverse = 1.0 / sqrt(squares / static_cast<double>(width) + eps);
    for (size_t i = 0; i < width; ++i) y[row + i] = x[row + i] * inverse * weight[i];
  }
  return y;
}
template <typename T>
Values<T> rms_norm_backward(const Values<T>& x, const Values<double>& weight, double eps,
                            const Values<T>& dy) {
  const size_t width = weight.size();
  Values<T> dx(x.size());
  for (size_t row = 0; row < x.size(); row += width) {
    T squares = 0;
    T product = 0;
    for (size_t i = 0; i < width; ++i) {
      squares += x[row + i] * x[row + i];
      product += x[row + i] * weight[i] * dy[row + i];
    }
    const T inverse = 1.0 / sqrt(squares / static_cast<double>(width) + eps);
    const T along = inverse * inverse * inverse * product / static_cast<double>(width);
    for (size_t i = 0; i < width; ++i) {
      dx[row + i] = inverse * weight[i] * dy[row + i] - along * x[row + i];
    }
  }
  return dx;
}

// y = silu(gate) * up
template <typename T>
Values<T> gated_forward(const Values<T>& gate, const Values<T>& up) {
  Values<T> y(gate.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
  return y;
}
template <typename T>
void gated_backward(const Values<T>& gate, const Values<T>& up, const Values<T>& dy,
                    Values<T>& dgate, Values<T>& dup) {
  dgate.resize(gate.size());
  dup.resize(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const T sigmoid = 1.0 / (1.0 + exp(-gate[i]));
    dgate[i] = dy[i] * up[i] * (sigmoid + gate[i] * sigmoid * (1.0 - sigmoid));
    dup[i] = dy[i] * gate[i] * sigmoid;
  }
}

struct Sizes {
  size_t rows = 0, in = 0, out = 0, rank = 0;
  double scale = 1;
};

// y [rows, out] = x W^T + scale * (mask x) A^T B^T with W [out, in], A [rank, in], B [out, rank].
template <typename T>
struct LoraLayer {
  Values<T> x, a, b;
};
template <typename T>
Values<T> lora_inner(const Sizes& s, const Values<double>& mask, const LoraLayer<T>& layer) {
  Values<T> inner(s.rows * s.rank);
  for (size_t r = 0; r < s.rows; ++r) {
    for (size_t k = 0; k < s.rank; ++k) {
      for (size_t i = 0; i < s.in; ++i) {
        inner[r * s.rank + k] += mask[r * s.in + i] * layer.x[r * s.in + i] * layer.a[k * s.in + i];
      }
    }
  }
  return inner;
}
template <typename T>
Values<T> lora_forward(const Sizes& s, const Values<double>& w, const Values<double>& mask,
                       const LoraLayer<T>& layer) {
  const Values<T> inner = lora_inner(s, mask, layer);
  Values<T> y(s.rows * s.out);
  for (size_t r = 0; r < s.rows; ++r) {
    for (size_t o = 0; o < s.out; ++o) {
      T& sum = y[r * s.out + o];
      for (size_t i = 0; i < s.in; ++i) sum += layer.x[r * s.in + i] * w[o * s.in + i];
      for (size_t k = 0; k < s.rank; ++k) {
        sum += s.scale * inner[r * s.rank + k] * layer.b[o * s.rank + k];
      }
    }
  }
  return y;
}
template <typename T>
LoraLayer<T> lora_backward(const Sizes& s, const Values<double>& w, const Values<double>& mask,
                           const LoraLayer<T>& layer, const Values<T>& dy) {
  const Values<T> inner = lora_inner(s, mask, layer);
  LoraLayer<T> d{Values<T>(layer.x.size()), Values<T>(layer.a.size()), Values<T>(layer.b.size())};
  for (size_t r = 0; r < s.rows; ++r) {
    for (size_t o = 0; o < s.out; ++o) {
      const T g = dy[r * s.out + o];
      for (size_t i = 0; i < s.in; ++i) d.x[r * s.in + i] += g * w[o * s.in + i];
      for (size_t k = 0; k < s.rank; ++k) {
        d.b[o * s.rank + k] += s.scale * g * inner[r * s.rank + k];
        const T dinner = s.scale * g * layer.b[o * s.rank + k];
        for (size_t i = 0; i < s.in; ++i) {
          const double kept = mask[r * s.in + i];
          d.a[k * s.in + i] += dinner * kept * layer.x[r * s.in + i];
          d.x[r * s.in + i] += dinner * kept * layer.a[k * s.in + i];
        }
      }
    }
  }
  return d;
}

// Half-split rotary embedding of [rows, heads, dim], row r at position r; sign -1 is the way back.
template <typename T>
Values<T> rope_forward(const Values<T>& x, size_t rows, size_t heads, size_t dim, double theta,
                       double sign = 1) {
  Values<T> y(x.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t h = 0; h < heads; ++h) {
      const size_t at = (r * heads + h) * dim;
      for (size_t i = 0; i < dim / 2; ++i) {
        const double angle =
            sign * static_cast<double>(r) *
            std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
        const T first = x[at + i];
        const T second = x[at + dim / 2 + i];
        y[at + i] = first * std::cos(angle) - second * std::sin(angle);
        y[at + dim / 2 + i] = second * std::cos(angle) + first * std::sin(angle);
      }
    }
  }
  return y;
}

struct HeadSizes {
  size_t rows = 0, heads = 0, kv_heads = 0, dim = 0;
  size_t q_at(size_t r, size_t h) const { return (r * heads + h) * dim; }
  size_t kv_at(size_t r, size_t h) const { return (r * kv_heads + h / (heads / kv_heads)) * dim; }
};
template <typename T>
struct AttentionValues {
  Values<T> q, k, v;
};
// Weights of row r of head h for keys 0 .. r.
template <typename T>
Values<T> attention_weights(const HeadSizes& s, const AttentionValues<T>& x, size_t r, size_t h) {
  Values<T> p(r + 1);
  double largest = -1e300;
  for (size_t j = 0; j <= r; ++j) {
    for (size_t d = 0; d < s.dim; ++d) p[j] += x.q[s.q_at(r, h) + d] * x.k[s.kv_at(j, h) + d];
    p[j] /= std::sqrt(static_cast<double>(s.dim));
    largest = std::max(largest, real(p[j]));
  }
  T total = 0;
  for (T& value : p) total += value = exp(value - largest);
  for (T& value : p) value /= total;
  return p;
}
// Causal, out [rows, heads, dim].
template <typename T>
Values<T> attention_forward(const HeadSizes& s, const AttentionValues<T>& x) {
  Values<T> out(x.q.size());
  for (size_t h = 0; h < s.heads; ++h) {
    for (size_t r = 0; r < s.rows; ++r) {
      const Values<T> p = attention_weights(s, x, r, h);
      for (size_t j = 0; j <= r; ++j) {
        for (size_t d = 0; d < s.dim; ++d) out[s.q_at(r, h) + d] += p[j] * x.v[s.kv_at(j, h) + d];
      }
    }
  }
  return out;
}
template <typename T>
AttentionValues<T> attention_backward(const HeadSizes& s, const AttentionValues<T>& x,
                                      const Values<T>& dout) {
  AttentionValues<T> g{Values<T>(x.q.size()), Values<T>(x.k.size()), Values<T>(x.v.size())};
  const double scale = 1 / std::sqrt(static_cast<double>(s.dim));
  for (size_t h = 0; h < s.heads; ++h) {
    for (size_t r = 0; r < s.rows; ++r) {
      const Values<T> p = attention_weights(s, x, r, h);
      Values<T> dp(p.size());
      T mean = 0;
      for (size_t j = 0; j <= r; ++j) {
        for (size_t d = 0; d < s.dim; ++d) {
          dp[j] += dout[s.q_at(r, h) + d] * x.v[s.kv_at(j, h) + d];
          g.v[s.kv_at(j, h) + d] += p[j] * dout[s.q_at(r, h) + d];
        }
        mean += p[j] * dp[j];
      }
      for (size_t j = 0; j <= r; ++j) {
        const T ds = p[j] * (dp[j] - mean) * scale;
        for (size_t d = 0; d < s.dim; ++d) {
          g.q[s.q_at(r, h) + d] += ds * x.k[s.kv_at(j, h) + d];
          g.k[s.kv_at(j, h) + d] += ds * x.q[s.q_at(r, h) + d];
        }
      }
    }
  }
  return g;
}

// The sum over rows of -log softmax(h W^T)[id], h [rows, hidden], W [vocabulary, hidden].
template <typename T>
Values<T> softmax_of(const Values<T>& h, size_t row, const Values<double>& w, size_t hidden) {
  Values<T> p(w.size() / hidden);
  double largest = -1e300;
  for (size_t j = 0; j < p.size(); ++j) {
    for (size_t i = 0; i < hidden; ++i) p[j] += h[row * hidden + i] * w[j * hidden + i];
    largest = std::max(largest, real(p[j]));
  }
  T total = 0;
  for (T& value : p) total += value = exp(value - largest);
  for (T& value : p) value /= total;
  return p;
}
template <typename T>
T cross_entropy_forward(const Values<T>& h, const Values<double>& w, size_t hidden,
                        const std::vector<int32_t>& ids) {
  T loss = 0;
  for (size_t r = 0; r < ids.size(); ++r) {
    loss -= log(softmax_of(h, r, w, hidden)[static_cast<size_t>(ids[r])]);
  }
  return loss;
}
template <typename T>
Values<T> cross_entropy_backward(const Values<T>& h, const Values<double>& w, size_t hidden,
                                 const std::vector<int32_t>& ids) {
  Values<T> dh(h.size());
  for (size_t r = 0; r < ids.size(); ++r) {
    Values<T> d = softmax_of(h, r, w, hidden);
    d[static_cast<size_t>(ids[r])] -= 1.0;
    for (size_t j = 0; j < d.size(); ++j) {
      for (size_t i = 0; i < hidden; ++i) dh[r * hidden + i] += d[j] * w[j * hidden + i];
    }
  }
  return dh;
}

// erf by its series at 0, which complex numbers can go through; good to 1e-13 for |z| < 3.
template <typename T>
T erf_series(const T& z) {
  T power = z;
  T sum = z;
  for (int n = 1; n < 80; ++n) {
    power *= -z * z / static_cast<double>(n);
    sum += power / static_cast<double>(2 * n + 1);
  }
  return sum * (2 * std::numbers::inv_sqrtpi);
}
template <typename T>
Values<T> gelu_forward(const Values<T>& x) {
  Values<T> y(x.size());
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = 0.5 * x[i] * (1.0 + erf_series(x[i] / std::numbers::sqrt2));
  }
  return y;
}
template <typename T>
Values<T> gelu_backward(const Values<T>& x, const Values<T>& dy) {
  Values<T> dx(x.size());
  for (size_t i = 0; i < dx.size(); ++i) {
    const T below = 0.5 * (1.0 + erf_series(x[i] / std::numbers::sqrt2));
    const T density = exp(-0.5 * x[i] * x[i]) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    dx[i] = dy[i] * (below + x[i] * density);
  }
  return dx;
}

// y [rows, hidden] = gelu(x W0^T + b0) W2^T + b2 with W0 [hidden, inputs], W2 [hidden, hidden].
template <typename T>
struct ProjectorLayer {
  Values<T> w0, b0, w2, b2;
};
// y [rows, b.size()] = x W^T + b
template <typename T>
Values<T> affine_forward(const Values<T>& x, const Values<T>& w, const Values<T>& b) {
  const size_t out = b.size();
  const size_t in = w.size() / out;
  Values<T> y(x.size() / in * out);
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = b[i % out];
    for (size_t k = 0; k < in; ++k) y[i] += x[i / out * in + k] * w[i % out * in + k];
  }
  return y;
}
// The gradients by w and b are added to dw and db; that by x is returned.
template <typename T>
Values<T> affine_backward(const Values<T>& x, const Values<T>& w, const Values<T>& dy,
                          Values<T>& dw, Values<T>& db) {
  const size_t out = db.size();
  const size_t in = w.size() / out;
  Values<T> dx(x.size());
  for (size_t i = 0; i < dy.size(); ++i) {
    db[i % out] += dy[i];
    for (size_t k = 0; k < in; ++k) {
      dw[i % out * in + k] += dy[i] * x[i / out * in + k];
      dx[i / out * in + k] += dy[i] * w[i % out * in + k];
    }
  }
  return dx;
}
template <typename T>
Values<T> projector_forward(const Values<T>& x, const ProjectorLayer<T>& layer) {
  return affine_forward(gelu_forward(affine_forward(x, layer.w0, layer.b0)), layer.w2, layer.b2);
}
template <typename T>
ProjectorLayer<T> projector_backward(const Values<T>& x, const ProjectorLayer<T>& layer,
                                     const Values<T>& dy) {
  ProjectorLayer<T> d{Values<T>(layer.w0.size()), Values<T>(layer.b0.size()),
                      Values<T>(layer.w2.size()), Values<T>(layer.b2.size())};
  const Values<T> inner = affine_forward(x, layer.w0, layer.b0);
  const Values<T> dactive = affine_backward(gelu_forward(inner), layer.w2, dy, d.w2, d.b2);
  affine_backward(x, layer.w0, gelu_backward(inner, dactive), d.w0, d.b0);
  return d;
}

// Random numbers, and the same in other types.
class Numbers {
 public:
  explicit Numbers(uint32_t seed) : engine_(seed) {}
  Values<double> normals(size_t count, double scale = 1) {
    Values<double> values(count);
    // Representable in f32, so that fast code gets the very same.
    for (double& v : values) {
      v = static_cast<double>(static_cast<float>(scale * std::normal_distribution<>()(engine_)));
    }
    return values;
  }

 private:
  std::mt19937 engine_;
};
template <typename T>
Values<T> as(const Values<double>& values) {
  Values<T> converted;
  for (const double value : values) converted.push_back(static_cast<T>(value));
  return converted;
}

inline double dot(const Values<double>& a, const Values<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// `loss` of complex inputs must have the derivative `gradient` at x.
inline void expect_derivative(
    const std::function<std::complex<double>(const Values<std::complex<double>>&)>& loss,
    const Values<double>& x, const Values<double>& gradient) {
  constexpr double kStep = 1e-30;
  ASSERT_EQ(x.size(), gradient.size());
  double largest = 0;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  Values<std::complex<double>> at = as<std::complex<double>>(x);
  for (size_t i = 0; i < x.size(); ++i) {
    at[i] = {x[i], kStep};
    ASSERT_NEAR(loss(at).imag() / kStep, gradient[i], 1e-12 * largest) << "element " << i;
    at[i] = x[i];
  }
}

// `found` within `tolerance` of the largest of `expected`.
inline void expect_close(const std::vector<float>& found, const Values<double>& expected,
                         double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(found[i]), expected[i], tolerance * largest) << "element " << i;
  }
}

}  // namespace fastvlm::test
