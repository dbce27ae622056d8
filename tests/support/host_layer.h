// A masked f32 convolution on the CPU: the operands and results of its three passes, for comparing kernels on the same
// numbers.
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

// A tensor filled with NaN, for results that the kernels have to write completely.
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

  // Calls f(name, tensor of a, tensor of b) for each of the four results.
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

// A batch normalisation of x's channels, drawn at random.
struct HostNormalisation {
  OwnedTensor gamma, beta, mean, inv_std;
  HostNormalisation(int64_t channels, std::mt19937& rng)
      : gamma(uniform({channels}, rng)),
        beta(uniform({channels}, rng)),
        mean(uniform({channels}, rng)),
        inv_std(uniform({channels}, rng)) {}
  Normalisation of(bool relu) const {
    return {.gamma = gamma.tensor(),
            .beta = beta.tensor(),
            .mean = mean.tensor(),
            .inv_std = inv_std.tensor(),
            .relu = relu};
  }
};

struct HostLayer {
  Conv2dGeometry g;
  OwnedTensor mask, x, weight, bias, dy;  // mask u8, all dead at first
  OwnedTensor y_before, dx_before;        // contents of the results before the kernels run, if drawn
  Normalisation normalisation;            // of x, or none
  OwnedTensor written;                    // the normalised x, if the kernel writes it

  explicit HostLayer(const Conv2dGeometry& geometry) : g(geometry), mask(g.weight_shape(), DType::u8, Device::cpu) {}
  // Call after the mask has been filled in.
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

  // Calls plan(pass), then the kernels with the arguments after context, geometry and index in the table's signatures.
  template <class Plan, class Forward, class BackwardInput, class BackwardWeight>
  HostResults run(const Plan& plan, const Forward& forward, const BackwardInput& backward_input,
                  const BackwardWeight& backward_weight) {
    HostResults r(g);
    if (y_before.tensor()) copy_from_host(r.y.tensor(), y_before.tensor().bytes);
    if (dx_before.tensor()) copy_from_host(r.dx.tensor(), dx_before.tensor().bytes);
    const auto scratch = [&](Pass pass) {
      return undefined({std::max<int64_t>(1, static_cast<int64_t>(plan(pass).workspace_bytes))}, DType::u8);
    };
    OwnedTensor w1 = scratch(Pass::forward), w2 = scratch(Pass::backward_input), w3 = scratch(Pass::backward_weight);
    const LayerInput in(x.tensor(), normalisation, written.tensor());
    forward(in, weight.tensor(), bias.tensor(), w1.tensor(), r.y.tensor());
    backward_input(dy.tensor(), weight.tensor(), w2.tensor(), r.dx.tensor());
    backward_weight(in, dy.tensor(), w3.tensor(), r.dw.tensor(), r.db.tensor());
    return r;
  }

  static const Tensor& written_input(const LayerInput& in) { return in.written ? in.written : in.x; }

  // Runs the table's dense kernels.
  HostResults run_dense(const KernelTable& k) {
    Context ctx;
    HostResults r = run([&](Pass pass) { return k.conv2d_plan(ctx, g, DType::f32, pass); },
                        [&](auto& in, auto& w, auto& b, auto&... to) { k.conv2d_forward(ctx, g, in, w, b, {}, to...); },
                        [&](auto& in, auto& w, auto&... to) { k.conv2d_backward_input(ctx, g, in, w, {}, to...); },
                        [&](auto& in, auto&... to) { k.conv2d_backward_weight(ctx, g, written_input(in), to...); });
    apply_mask(r.dw);
    return r;
  }

  // Runs the dense convolution without pooling, then pools its output.
  HostResults run_dense_and_pool(const KernelTable& k) {
    Context ctx;
    HostLayer plain(g);
    plain.g.pool = 1;
    const auto exchange_operands = [&] {
      std::swap(plain.mask, mask), std::swap(plain.x, x), std::swap(plain.weight, weight), std::swap(plain.bias, bias);
    };
    exchange_operands();
    plain.dy = undefined(plain.g.y_shape());
    k.avg_pool_2x2_backward(ctx, dy.tensor(), plain.dy.tensor());
    HostResults results = plain.run_dense(k);
    OwnedTensor pooled = undefined(g.y_shape());
    k.avg_pool_2x2_forward(ctx, results.y.tensor(), pooled.tensor());
    std::swap(results.y, pooled);
    exchange_operands();
    return results;
  }
};

// Kernels that normalise x as they read it give the same bits as on the normalised tensor. `run(layer)` runs them.
template <class Layer, class Run>
void expect_normalises(Layer& layer, const Run& run, bool writes = false) {
  std::mt19937 rng(12);
  const HostNormalisation drawn(layer.g.c_in, rng);
  Context ctx;
  for (const bool relu : {false, true}) {
    SCOPED_TRACE(relu ? "with ReLU" : "without ReLU");
    layer.normalisation = drawn.of(relu);
    if (writes) layer.written = undefined(layer.g.x_shape());
    const HostResults got = run(layer);
    OwnedTensor normal = undefined(layer.g.x_shape());
    cpu_kernels().batch_norm_normalise(ctx, layer.normalisation, layer.x.tensor(), normal.tensor());
    if (writes) {
      EXPECT_EQ(std::memcmp(normal.tensor().bytes, layer.written.tensor().bytes, normal.tensor().size_bytes()), 0);
    }
    layer.normalisation = {}, layer.written = {};
    std::swap(layer.x, normal);
    expect_same_bits(got, run(layer));
    std::swap(layer.x, normal);
  }
}

// `relu`, `adds` and `masks` give the same bits as a separate pass over the kernels' plain results. `Layer` is a
// HostLayer with its own run().
template <class Layer>
void expect_finishes(Layer& layer) {
  std::mt19937 rng(11);
  const HostResults plain = layer.run();
  const auto expect_each = [](const char* what, const OwnedTensor& got, const OwnedTensor& from,
                              const OwnedTensor& there, float (*finish)(float, float)) {
    for (int64_t i = 0; i < got.tensor().elements(); ++i) {
      const auto at = [&](const OwnedTensor& t) { return t.tensor() ? t.tensor().template data<float>()[i] : 0.0f; };
      ASSERT_EQ(at(got), finish(at(from), at(there))) << what << ' ' << i;
    }
  };
  layer.g.relu = true;
  expect_each("relu", layer.run().y, plain.y, OwnedTensor{}, [](float sum, float) { return std::max(sum, 0.0f); });
  layer.g.relu = false;

  layer.g.adds = layer.g.masks = true;
  layer.y_before = uniform(layer.g.y_shape(), rng);
  layer.dx_before = uniform(layer.g.x_shape(), rng);
  const HostResults results = layer.run();
  expect_each("adds", results.y, plain.y, layer.y_before, [](float sum, float there) { return sum + there; });
  expect_each("masks", results.dx, plain.dx, layer.dx_before,
              [](float sum, float there) { return there > 0 ? sum : 0.0f; });
}

}  // namespace poise
