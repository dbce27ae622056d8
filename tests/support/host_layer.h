// A masked convolution in f32 on the CPU: operands and results of its three passes, for kernels that are held against
// others on the same numbers.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <span>

#include "kernels/table.h"

namespace poise {

inline OwnedTensor uniform(const Shape& shape, std::mt19937& rng) {
  OwnedTensor t(shape, DType::f32, Device::cpu);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::generate_n(t.tensor().data<float>(), shape.elements(), [&] { return draw(rng); });
  return t;
}

// NaN everywhere that the kernels have to write.
inline OwnedTensor undefined(const Shape& shape, DType dtype = DType::f32) {
  OwnedTensor t(shape, dtype, Device::cpu);
  std::memset(t.tensor().bytes, 0xff, t.tensor().size_bytes());
  return t;
}

// The largest difference, relative to the largest element of b; NaN if there is one.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(error <= 1e30)) return std::nan("");
    worst = std::max(worst, error);
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst == 0 ? 0 : worst / largest;
}

struct HostResults {
  OwnedTensor y, dx, dw, db;
  explicit HostResults(const Conv2dGeometry& g)
      : y(undefined(g.y_shape())),
        dx(undefined(g.x_shape())),
        dw(undefined(g.weight_shape())),
        db(undefined({g.c_out})) {}

  // f(name, a's tensor, b's) for each of the four.
  template <class F>
  static void for_each(const HostResults& a, const HostResults& b, const F& f) {
    f("y", a.y.tensor(), b.y.tensor());
    f("dx", a.dx.tensor(), b.dx.tensor());
    f("dw", a.dw.tensor(), b.dw.tensor());
    f("db", a.db.tensor(), b.db.tensor());
  }
};

inline void expect_close(const HostResults& got, const HostResults& right, double limit) {
  const auto floats = [](const Tensor& t) {
    return std::span<const float>(t.data<float>(), static_cast<size_t>(t.elements()));
  };
  HostResults::for_each(got, right, [&](const char* name, const Tensor& a, const Tensor& b) {
    const double error = relative_error(floats(a), floats(b));
    EXPECT_FALSE(!(error <= limit)) << name << ' ' << error;
  });
}

inline void expect_same_bits(const HostResults& a, const HostResults& b) {
  HostResults::for_each(a, b, [](const char* name, const Tensor& s, const Tensor& t) {
    EXPECT_EQ(std::memcmp(s.bytes, t.bytes, s.size_bytes()), 0) << name;
  });
}

struct HostLayer {
  Conv2dGeometry g;
  OwnedTensor mask, x, weight, bias, dy;  // mask u8, all dead at first

  explicit HostLayer(const Conv2dGeometry& geometry) : g(geometry), mask(g.weight_shape(), DType::u8, Device::cpu) {}
  // Once the mask is made.
  void draw(std::mt19937& rng) {
    x = uniform(g.x_shape(), rng);
    weight = uniform(g.weight_shape(), rng);
    bias = uniform({g.c_out}, rng);
    dy = uniform(g.y_shape(), rng);
    apply_mask(weight);
  }
  void apply_mask(OwnedTensor& t) const {
    const uint8_t* m = mask.tensor().data<uint8_t>();
    float* v = t.tensor().data<float>();
    for (int64_t i = 0; i < t.tensor().elements(); ++i) v[i] = m[i] ? v[i] : 0;
  }

  // plan(pass), then the three kernels, given what follows context, geometry and index in the table's signatures.
  template <class Plan, class Forward, class BackwardInput, class BackwardWeight>
  HostResults run(const Plan& plan, const Forward& forward, const BackwardInput& backward_input,
                  const BackwardWeight& backward_weight) {
    HostResults r(g);
    const auto scratch = [&](Pass pass) {
      return undefined({std::max<int64_t>(1, static_cast<int64_t>(plan(pass).workspace_bytes))}, DType::u8);
    };
    OwnedTensor w1 = scratch(Pass::forward), w2 = scratch(Pass::backward_input), w3 = scratch(Pass::backward_weight);
    forward(x.tensor(), weight.tensor(), bias.tensor(), w1.tensor(), r.y.tensor());
    backward_input(dy.tensor(), weight.tensor(), w2.tensor(), r.dx.tensor());
    backward_weight(x.tensor(), dy.tensor(), w3.tensor(), r.dw.tensor(), r.db.tensor());
    return r;
  }

  // The table's dense kernels.
  HostResults run_dense(const KernelTable& k) {
    Context ctx;
    HostResults r = run([&](Pass pass) { return k.conv2d_plan(ctx, g, DType::f32, pass); },
                        [&](auto&... args) { k.conv2d_forward(ctx, g, args...); },
                        [&](auto&... args) { k.conv2d_backward_input(ctx, g, args...); },
                        [&](auto&... args) { k.conv2d_backward_weight(ctx, g, args...); });
    apply_mask(r.dw);
    return r;
  }
};

}  // namespace poise
