// Compares the GPU's block-sparse convolution kernels with dense CPU loops in f64 on the same masked weights. The test
// chooses which kernels: ours or cuSPARSE's.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/table.h"
#include "tests/support/block_geometry.h"
#include "tests/support/device_operands.h"

namespace poise {

// The entries of a kernel table that make up one path.
struct BlockPath {
  BlockConv2dPlanner* plan;
  BlockConv2dForward* forward;
  BlockConv2dBackwardInput* backward_input;
  BlockConv2dBackwardWeight* backward_weight;
};
inline BlockPath our_path(const KernelTable& k) {
  return {k.block_conv2d_plan, k.block_conv2d_forward, k.block_conv2d_backward_input, k.block_conv2d_backward_weight};
}
inline BlockPath cusparse_path(const KernelTable& k) {
  return {k.cusparse_conv2d_plan, k.cusparse_conv2d_forward, k.cusparse_conv2d_backward_input,
          k.cusparse_conv2d_backward_weight};
}

// Random values in [-1, 1]. Where `mask` is zero, the value is zero and no random number is drawn.
inline Operand uniform(const Shape& shape, DType dtype, Device where, std::mt19937& rng,
                       const uint8_t* mask = nullptr) {
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<double> values;
  for (int64_t i = 0; i < shape.elements(); ++i) values.push_back(mask && !mask[i] ? 0.0f : draw(rng));
  return {shape, dtype, values, where};
}

constexpr double kOneCell = -1;

// A random mask in which a share `density` of a weight's cells is alive. A cell is one block, or one block over all
// taps. The index is stored in memory of `where`.
struct RandomMask {
  OwnedTensor bytes;
  BlockIndex index;
  OwnedTensor row_offsets, col_of_block, in_offsets, out_of_block;

  RandomMask(const Conv2dGeometry& g, double density, bool all_taps, Device where, std::mt19937& rng,
             int64_t block = kB)
      : bytes(g.weight_shape(), DType::u8, Device::cpu),
        index{.block = block, .out_blocks = g.c_out / block, .in_blocks = g.c_in / block, .taps = g.kh * g.kw},
        row_offsets({index.out_blocks + 1}, DType::i32, where),
        col_of_block({index.capacity()}, DType::i32, where),
        in_offsets({index.in_blocks + 1}, DType::i32, where),
        out_of_block({index.capacity()}, DType::i32, where) {
    const int64_t cells = index.capacity() / (all_taps ? index.taps : 1);
    std::vector<int64_t> chosen(static_cast<size_t>(cells));
    std::iota(chosen.begin(), chosen.end(), 0);
    std::shuffle(chosen.begin(), chosen.end(), rng);
    chosen.resize(density == kOneCell ? 1 : static_cast<size_t>(std::llround(density * static_cast<double>(cells))));
    for (const int64_t cell : chosen) {
      const int64_t pair = all_taps ? cell : cell / index.taps;
      for (int64_t tap = 0; tap < index.taps; ++tap) {
        if (!all_taps && tap != cell % index.taps) continue;
        for (int64_t o = 0; o < block; ++o) {
          const int64_t row = (pair / index.in_blocks * block + o) * index.taps + tap;
          std::memset(bytes.tensor().data<uint8_t>() + row * g.c_in + pair % index.in_blocks * block, 1,
                      static_cast<size_t>(block));
        }
      }
    }
    build_index();
  }

 private:
  void build_index() {
    using Place = std::pair<OwnedTensor RandomMask::*, Tensor BlockIndex::*>;
    constexpr Place kPlaces[] = {{&RandomMask::row_offsets, &BlockIndex::row_offsets},
                                 {&RandomMask::col_of_block, &BlockIndex::col_of_block},
                                 {&RandomMask::in_offsets, &BlockIndex::in_offsets},
                                 {&RandomMask::out_of_block, &BlockIndex::out_of_block}};
    std::vector<OwnedTensor> on_host;
    for (const auto& [owned, tensor] : kPlaces) {
      on_host.emplace_back((this->*owned).tensor().shape, DType::i32, Device::cpu);
      index.*tensor = on_host.back().tensor();
    }
    Context ctx;
    cpu::build_block_index(ctx, bytes.tensor(), index);
    for (const auto& [owned, tensor] : kPlaces) {
      copy_from_host((this->*owned).tensor(), (index.*tensor).bytes);
      index.*tensor = (this->*owned).tensor();
    }
  }
};

class Convolution {
 public:
  Convolution(const Conv2dGeometry& geometry, double density, bool all_taps, Precision precision, Device where,
              uint32_t seed, int64_t block = kB)
      : g_(geometry),
        precision_(precision),
        dtype_(activation_dtype(precision)),
        where_(where),
        rng_(seed),
        mask_(g_, density, all_taps, where, rng_, block),
        operands_{uniform(g_.x_shape(), dtype_, where, rng_),
                  uniform(g_.weight_shape(), dtype_, where, rng_, mask_.bytes.tensor().data<uint8_t>()),
                  uniform({g_.c_out}, DType::f32, where, rng_), uniform(g_.y_shape(), dtype_, where, rng_)} {}

  // From now on, passes keep their lists, in this much memory.
  void keep_lists(size_t bytes) {
    kept_memory_ = OwnedTensor({static_cast<int64_t>(bytes)}, DType::u8, where_);
    kept_ = KeptLists(kept_memory_.tensor());
    mask_.index.kept = &kept_;
  }
  size_t most_kept_bytes() const { return kept_lists_bytes(mask_.index); }
  Tensor& kept_memory() { return kept_memory_.tensor(); }
  const KeptLists& kept() const { return kept_; }

  // Runs the forward pass and the input gradient with this geometry. Beforehand, y holds dy and dx holds x.
  LayerResults run_as(const KernelTable& kernels, const Conv2dGeometry& g) const {
    Context ctx{.device = where_, .precision = precision_, .kernels = &kernels};
    const BlockPath path = our_path(kernels);
    const Tensor &x = operands_.x.device.tensor(), &w = operands_.weight.device.tensor();
    const Tensor &dy = operands_.dy.device.tensor(), &bias = operands_.bias.device.tensor();
    return operands_.run([&](Pass pass) { return path.plan(ctx, g, mask_.index, dtype_, pass).workspace_bytes; },
                         [&](Tensor& forward, Tensor& for_input, Tensor&, LayerResults& r) {
                           kernels.copy(ctx, dy, r.y.tensor());
                           kernels.copy(ctx, x, r.dx.tensor());
                           path.forward(ctx, g, mask_.index, x, w, bias, forward, r.y.tensor());
                           path.backward_input(ctx, g, mask_.index, dy, w, for_input, r.dx.tensor());
                         });
  }
  // `relu`, `adds` and `masks` give the same bits as a separate pass over the f32 results.
  void expect_finishes(const KernelTable& kernels) const {
    const auto each = [](const GuardedTensor& sums, const Operand& before, float (*finish)(float, float)) {
      std::vector<double> all = to_host(sums.tensor());
      const std::vector<double> there = to_host(before.device.tensor());
      for (size_t i = 0; i < all.size(); ++i) all[i] = finish(static_cast<float>(all[i]), static_cast<float>(there[i]));
      return all;
    };
    const LayerResults plain = run_as(kernels, g_);
    Conv2dGeometry g = g_;
    g.relu = true;
    EXPECT_EQ(to_host(run_as(kernels, g).y.tensor()),
              each(plain.y, operands_.dy, [](float sum, float) { return std::max(sum, 0.0f); }));
    g.relu = false, g.adds = g.masks = true;
    const LayerResults finished = run_as(kernels, g);
    EXPECT_EQ(to_host(finished.y.tensor()),
              each(plain.y, operands_.dy, [](float sum, float there) { return sum + there; }));
    EXPECT_EQ(to_host(finished.dx.tensor()),
              each(plain.dx, operands_.x, [](float sum, float there) { return there > 0 ? sum : 0.0f; }));
  }

  LayerResults run(const KernelTable& kernels, const GemmChoice& choice = {},
                   const BlockPath* other_path = nullptr) const {
    const BlockPath path = other_path ? *other_path : our_path(kernels);
    const BlockIndex& index = mask_.index;
    Context ctx{.device = where_, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const Tensor &x = operands_.x.device.tensor(), &w = operands_.weight.device.tensor();
    const Tensor &dy = operands_.dy.device.tensor(), &bias = operands_.bias.device.tensor();
    return operands_.run([&](Pass pass) { return path.plan(ctx, g_, index, dtype_, pass).workspace_bytes; },
                         [&](Tensor& forward, Tensor& for_input, Tensor& for_weight, LayerResults& r) {
                           path.forward(ctx, g_, index, x, w, bias, forward, r.y.tensor());
                           path.backward_input(ctx, g_, index, dy, w, for_input, r.dx.tensor());
                           path.backward_weight(ctx, g_, index, x, dy, for_weight, r.dweight.tensor(),
                                                r.dbias.tensor());
                         });
  }

  void expect_right(const LayerResults& r) const {
    LayerReference reference = conv2d_reference(g_, operands_);
    const uint8_t* alive = mask_.bytes.tensor().data<uint8_t>();
    const std::vector<double> dweight = to_host(r.dweight.tensor());
    for (size_t i = 0; i < dweight.size(); ++i) {
      if (!alive[i]) reference.dweight.tensor().data<double>()[i] = 0;
      if (!alive[i] && dweight[i] != 0) {
        ADD_FAILURE() << "dweight " << i << " is dead but " << dweight[i];
        break;
      }
    }
    expect_near(r, reference, precision_);
  }

 private:
  const Conv2dGeometry g_;
  const Precision precision_;
  const DType dtype_;
  const Device where_;
  std::mt19937 rng_;
  RandomMask mask_;
  const LayerOperands operands_;
  OwnedTensor kept_memory_;
  KeptLists kept_;
};

}  // namespace poise
