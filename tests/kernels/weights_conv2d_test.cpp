// Compares convolution under masks of single weights with plain loops on the same masked weights.
#include "kernels/sparse/weights/weights_conv2d.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/core/parallel.h"
#include "kernels/sparse/weights/lane_share.h"
#include "kernels/sparse/weights/weight_tiles.h"
#include "kernels/table.h"
#include "tests/support/block_convolution.h"
#include "tests/support/block_geometry.h"
#include "tests/support/host_layer.h"

namespace poise {
namespace {

using namespace cpu;

constexpr double kLimit = 1e-5;  // f32, relative to the largest element

Conv2dGeometry same_size(int64_t n, int64_t h, int64_t w, int64_t c_in, int64_t c_out, int64_t k, int64_t upsample = 1,
                         int64_t pool = 1) {
  Conv2dGeometry g = geometry_of({n, h, w, c_in, c_out}, k, upsample, /*block=*/1);
  g.pool = pool;
  return g;
}

// A layer under a random mask of cells of `cell_out` outputs by one input, per tap.
struct Layer : HostLayer {
  WeightIndex index;

  Layer(const Conv2dGeometry& geometry, int64_t cell_out, double density, uint32_t seed) : HostLayer(geometry) {
    std::mt19937 rng(seed);
    const int64_t taps = g.kh * g.kw, inputs = taps * g.c_in;
    std::vector<int64_t> cells(static_cast<size_t>(g.c_out / cell_out * inputs));
    std::iota(cells.begin(), cells.end(), 0);
    std::shuffle(cells.begin(), cells.end(), rng);
    cells.resize(density == kOneCell ? 1
                                     : static_cast<size_t>(std::llround(density * static_cast<double>(cells.size()))));
    for (const int64_t cell : cells) {
      for (int64_t o = 0; o < cell_out; ++o) {
        mask.tensor().data<uint8_t>()[(cell / inputs * cell_out + o) * inputs + cell % inputs] = 1;
      }
    }
    draw(rng);
    index = WeightIndex::full(g, cell_out);
    Context ctx;
    build_weight_index(ctx, mask.tensor(), index);
  }

  HostResults run() {
    Context ctx;
    return HostLayer::run([&](Pass pass) { return weights_conv2d_plan(ctx, g, index, DType::f32, pass); },
                          [&](auto&... args) { weights_conv2d_forward(ctx, g, index, args...); },
                          [&](auto&... args) { weights_conv2d_backward_input(ctx, g, index, args...); },
                          [&](auto&... args) { weights_conv2d_backward_weight(ctx, g, index, args...); });
  }

  void expect_right() {
    const KernelTable& k = cpu_reference_kernels();
    expect_close(run(), g.pool > 1 ? run_dense_and_pool(k) : run_dense(k), kLimit);
  }
};

std::string text(const Conv2dGeometry& g, int64_t cell_out, double density) {
  std::string s;
  for (const int64_t number :
       {g.n, g.h, g.w, g.c_in, g.c_out, g.kh, g.kw, g.stride_h, g.pad_h, g.upsample, g.pool, cell_out}) {
    s += std::to_string(number) + " ";
  }
  return "n h w c_in c_out kh kw stride pad upsample pool cell: " + s + "density " + std::to_string(density);
}

struct Form {
  int64_t kernel, upsample, pool;
};

class WeightsConv2dTest : public testing::TestWithParam<Form> {
 protected:
  void expect_right(int64_t n, int64_t h, int64_t w, int64_t c_in, int64_t c_out, int64_t cell_out, double density) {
    const Conv2dGeometry g = form_of(n, h, w, c_in, c_out);
    if (!g.pooling_allowed()) return;  // a single row or column cannot be pooled
    SCOPED_TRACE(text(g, cell_out, density));
    Layer(g, cell_out, density, ++seed_).expect_right();
  }
  static Conv2dGeometry form_of(int64_t n, int64_t h, int64_t w, int64_t c_in, int64_t c_out) {
    const auto [kernel, upsample, pool] = GetParam();
    return same_size(n, h, w, c_in, c_out, kernel, upsample, pool);
  }

 private:
  uint32_t seed_ = 0;
};

TEST_P(WeightsConv2dTest, EqualsPlainLoopsAtAnyDensity) {
  for (const double density : {0.0, kOneCell, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0}) {
    for (const int64_t cell_out : {1, 2, 4, 8, 16}) expect_right(3, 6, 8, 40, 32, cell_out, density);
  }
}

TEST_P(WeightsConv2dTest, FinishesResults) {
  for (const int64_t side : {4, 5, 8}) {
    for (const int64_t c : {19, 32}) {
      const Conv2dGeometry g = form_of(3, side, side, c, c + 1);
      SCOPED_TRACE(text(g, 1, 0.2));
      Layer layer(g, 1, 0.2, 5);
      expect_finishes(layer);
    }
  }
}

TEST_P(WeightsConv2dTest, NormalisesWhatItReads) {
  for (const int64_t side : {1, 4, 5, 8, 16, 33}) {
    for (const int64_t c : {3, 19, 32}) {
      const Conv2dGeometry g = form_of(side == 8 ? 17 : 3, side, side, c, c + 1);
      if (!weights_conv2d_normalises(DType::f32, g)) continue;
      SCOPED_TRACE(text(g, 1, 0.2));
      Layer layer(g, /*cell_out=*/1, 0.2, 5);
      expect_normalises(layer, [](Layer& l) { return l.run(); });
    }
  }
}

TEST_P(WeightsConv2dTest, EqualsPlainLoopsForAnyNumberOfChannels) {
  for (const int64_t c_in : {1, 3, 5, 17, 100}) {
    for (const int64_t c_out : {1, 3, 5, 17, 100}) {
      for (const double density : {0.1, 0.6}) expect_right(2, 4, 5, c_in, c_out, 1, density);
    }
  }
  for (const int64_t c_out : {4, 12, 20, 100}) expect_right(2, 4, 5, 17, c_out, 4, 0.3);
  for (const int64_t c_out : {2, 6, 18}) expect_right(2, 4, 5, 17, c_out, 2, 0.3);
}

TEST_P(WeightsConv2dTest, EqualsPlainLoopsForAnyBatch) {
  for (const int64_t n : {1, 3, 16, 17, 64}) {
    for (const int64_t cell_out : {1, 4}) {
      expect_right(n, 4, 4, 19, 20, cell_out, 0.2);
      expect_right(n, 1, 1, 33, 40, cell_out, 0.2);
    }
  }
}

TEST_P(WeightsConv2dTest, EqualsPlainLoopsForAnyImageSize) {
  for (const int64_t h : {1, 2, 3, 4, 5, 6, 7, 8, 12, 48}) {
    for (const int64_t w : {1, 2, 3, 4, 5, 6, 7, 9, 16, 48}) {
      expect_right(1, h, w, 6, 8, h % 2 ? 1 : 2, 0.3);
      if (HasFailure()) return;
    }
  }
}

// More channels than a chunk holds, and more pixels than a region, on every count.
TEST_P(WeightsConv2dTest, EqualsPlainLoopsInPieces) {
  for (const int64_t cell_out : {1, 4}) {
    expect_right(2, 24, 24, 96, 68, cell_out, 0.05);
    expect_right(1, 16, 32, 68, 300, cell_out, 0.02);
    expect_right(17, 8, 8, 256, 48, cell_out, 0.05);
  }
}

TEST_P(WeightsConv2dTest, GivesTheSameBitsAgainAndOnAnyNumberOfThreads) {
  Layer layer(form_of(17, 12, 12, 80, 40), 1, 0.3, 7);
  const int threads = thread_count();
  const HostResults first = layer.run();
  for (const int count : {1, 2, 3, 7}) {
    SCOPED_TRACE(count);
    set_thread_count(count);
    expect_same_bits(first, layer.run());
  }
  set_thread_count(threads);
}

TEST_P(WeightsConv2dTest, CountsTheArithmeticThatItPerforms) {
  Context ctx;
  const Conv2dGeometry g = form_of(2, 8, 8, 32, 64);
  const double pixels = 2 * 8 * 8 / static_cast<double>(g.pool * g.pool), pairs = 32 * 64;  // of the small image
  const double taps = static_cast<double>(g.kh * g.kw);
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    const double full = weights_conv2d_plan(ctx, g, WeightIndex::full(g, 4), DType::f32, pass).executed_macs;
    EXPECT_EQ(full, pixels * pairs * taps);
    const Layer all(g, 4, 1.0, 3), one(g, 1, kOneCell, 3);
    EXPECT_EQ(weights_conv2d_plan(ctx, g, all.index, DType::f32, pass).executed_macs, full);
    EXPECT_EQ(one.index.alive, 1);
    EXPECT_EQ(weights_conv2d_plan(ctx, g, one.index, DType::f32, pass).executed_macs, pixels);
  }
}

TEST_P(WeightsConv2dTest, NeedsNoMoreMemoryThanAtFullDensity) {
  Context ctx;
  const Conv2dGeometry g = form_of(16, 8, 8, 70, 36);
  for (const double density : {0.0, 0.3, 0.9, 0.99}) {
    const Layer layer(g, 1, density, 5);
    for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
      EXPECT_LE(weights_conv2d_plan(ctx, g, layer.index, DType::f32, pass).workspace_bytes,
                weights_conv2d_plan(ctx, g, WeightIndex::full(g, 1), DType::f32, pass).workspace_bytes);
    }
  }
}

TEST_P(WeightsConv2dTest, ComputesBf16) {
  const Conv2dGeometry g = form_of(3, 6, 8, 40, 32);
  if (g.pool > 1) return;  // the reference does not pool
  Layer layer(g, /*cell_out=*/1, 0.2, 5);
  const uint8_t* alive = layer.mask.tensor().data<uint8_t>();
  std::mt19937 rng(6);
  const LayerOperands operands{uniform(g.x_shape(), DType::bf16, Device::cpu, rng),
                               uniform(g.weight_shape(), DType::bf16, Device::cpu, rng, alive),
                               uniform({g.c_out}, DType::f32, Device::cpu, rng),
                               uniform(g.y_shape(), DType::bf16, Device::cpu, rng)};
  Context ctx;
  const LayerResults results = operands.run(
      [&](Pass pass) { return weights_conv2d_plan(ctx, g, layer.index, DType::bf16, pass).workspace_bytes; },
      [&](Tensor& forward, Tensor& for_input, Tensor& for_weight, LayerResults& r) {
        const Tensor &x = operands.x.device.tensor(), &w = operands.weight.device.tensor();
        const Tensor &dy = operands.dy.device.tensor(), &bias = operands.bias.device.tensor();
        weights_conv2d_forward(ctx, g, layer.index, x, w, bias, forward, r.y.tensor());
        weights_conv2d_backward_input(ctx, g, layer.index, dy, w, for_input, r.dx.tensor());
        weights_conv2d_backward_weight(ctx, g, layer.index, x, dy, for_weight, r.dweight.tensor(), r.dbias.tensor());
      });
  LayerReference reference = conv2d_reference(g, operands);
  double* dweight = reference.dweight.tensor().data<double>();
  for (int64_t i = 0; i < g.weight_shape().elements(); ++i) dweight[i] = alive[i] ? dweight[i] : 0;
  expect_near(results, reference, Precision::bf16);
}

INSTANTIATE_TEST_SUITE_P(Forms, WeightsConv2dTest,
                         testing::Values(Form{1, 1, 1}, Form{3, 1, 1}, Form{1, 2, 1}, Form{3, 2, 1}, Form{3, 1, 2}),
                         [](const auto& p) {
                           return "kernel_" + std::to_string(p.param.kernel) + "_upsample_" +
                                  std::to_string(p.param.upsample) + "_pool_" + std::to_string(p.param.pool);
                         });

TEST(WeightsConv2dGeometryTest, OtherKernelsStridesAndPaddingsEqualPlainLoops) {
  struct Kernel {
    int64_t kh, kw, stride_h, stride_w, pad_h, pad_w;
  };
  uint32_t seed = 0;
  for (const Kernel k : {Kernel{4, 4, 2, 2, 1, 1},
                         {3, 3, 2, 2, 1, 1},
                         {3, 3, 2, 2, 0, 0},
                         {3, 3, 1, 1, 0, 0},
                         {5, 5, 1, 1, 2, 2},
                         {1, 7, 1, 1, 0, 3},
                         {7, 1, 1, 2, 3, 0},
                         {1, 1, 2, 2, 0, 0},
                         {1, 1, 1, 1, 1, 1},
                         {2, 2, 3, 1, 1, 0}}) {
    for (const int64_t size : {7, 8, 13}) {
      const Conv2dGeometry g{.n = 3,
                             .h = size,
                             .w = size + 1,
                             .c_in = 20,
                             .c_out = 12,
                             .kh = k.kh,
                             .kw = k.kw,
                             .stride_h = k.stride_h,
                             .stride_w = k.stride_w,
                             .pad_h = k.pad_h,
                             .pad_w = k.pad_w};
      ASSERT_TRUE(weights_conv2d_serves(g));
      SCOPED_TRACE(text(g, 1, 0.3));
      Layer(g, 4, 0.3, ++seed).expect_right();
      Layer(g, 1, 0.3, ++seed).expect_right();
    }
  }
}

TEST(WeightsConv2dGeometryTest, FillsItsSixteenLanesWithStripesOfFewImages) {
  const auto share = [](int64_t n, int64_t h, int64_t w, int64_t kernel) {
    return weights_conv2d_full_share(same_size(n, h, w, 8, 8, kernel));
  };
  EXPECT_EQ(share(16, 5, 5, 3), 1);
  EXPECT_EQ(share(8, 8, 8, 3), 1);
  EXPECT_EQ(share(1, 32, 32, 3), 1);
  EXPECT_EQ(share(8, 5, 5, 3), 5.0 / 6);  // two stripes of three rows
  EXPECT_EQ(share(24, 5, 5, 3), 24.0 / 32);
  EXPECT_EQ(share(24, 8, 8, 3), 1);  // two stripes of four rows of eight images at a time
  EXPECT_EQ(share(3, 4, 4, 1), 1);   // pixel after pixel
  EXPECT_EQ(share(8, 1, 1, 1), 0.5);
}

TEST(WeightsConv2dGeometryTest, RefusesWhatItsListsCannotName) {
  EXPECT_FALSE(weights_conv2d_serves(same_size(1, 4, 4, 8000, 16, 3)));
  EXPECT_FALSE(weights_conv2d_serves(same_size(1, 4, 4, 16, 16, 9)));
  EXPECT_TRUE(weights_conv2d_serves({.n = 1, .h = 1, .w = 1, .c_in = 128, .c_out = 65536}));
}

// Each instruction set on its own, against plain loops.
class WeightTileTest : public testing::TestWithParam<WeightTile> {};

std::vector<const WeightTileKernels*> instruction_sets() {
  std::vector<const WeightTileKernels*> sets = {&kWeightTilesBaseline};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&kWeightTilesAvx2);
  if (__builtin_cpu_supports("avx512f")) sets.push_back(&kWeightTilesAvx512);
#endif
  return sets;
}

std::vector<float> drawn(size_t count, std::mt19937& rng) {
  std::vector<float> v(count);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::generate(v.begin(), v.end(), [&] { return draw(rng); });
  return v;
}

TEST_P(WeightTileTest, EveryInstructionSetComputesTheSameSums) {
  const WeightTile tile = GetParam();
  const int pixels = pixels_of(tile), columns = columns_of(tile), row = 10 * kImages;
  std::mt19937 rng(3);
  for (const int outputs : {1, 2, 4}) {
    const std::vector<int32_t> begin = {2, 7, 7, 8, 23};
    const std::vector<int32_t> offsets = {9999, 9999,  // not of these rows
                                          0,    16,   160, 32, 176, 48,  16, 0,  160, 64, 80,
                                          16,   0,    32,  48, 176, 160, 64, 80, 0,   16, 32};
    const auto floats = [&](int64_t n) { return drawn(static_cast<size_t>(n), rng); };
    const std::vector<float> values = floats(23 * outputs), x = floats(8 * row), start = floats(4 * outputs),
                             kept = floats(4 * outputs * 4 * row);
    const auto pixel = [&](int k) { return k / columns * row + k % columns * kImages; };
    for (const WeightTileKernels* set : instruction_sets()) {
      const int64_t plane = plane_floats(tile);
      std::vector<float> sums(static_cast<size_t>(4 * outputs * plane), 0.5f), quads(8 * 4 * kQuad, 0.0f);
      MultiplyJob job{.begin = begin.data(),
                      .rows = 4,
                      .offsets = offsets.data(),
                      .values = values.data(),
                      .x = x.data(),
                      .x_row = row,
                      .first = true,
                      .start = start.data(),
                      .sums = sums.data()};
      set->multiply(tile, outputs, job);
      job.first = false;
      set->multiply(tile, outputs, job);  // adds the same once more
      const bool accumulates = static_cast<int>(tile) < kWeightTiles;
      if (accumulates)
        set->accumulate(tile, outputs,
                        {.begin = begin.data(),
                         .rows = 4,
                         .offsets = offsets.data(),
                         .x = x.data(),
                         .x_row = row,
                         .kept = kept.data(),
                         .kept_plane = 4 * row,
                         .kept_row = row,
                         .sums = quads.data()});
      const float* quad = quads.data();
      for (int r = 0; r < 4; ++r) {
        int weight = 0;
        for (int b = 0; b < outputs; ++b) {
          for (int k = 0; k < pixels; ++k) {
            for (int n = 0; n < kImages; ++n) {
              double sum = start[static_cast<size_t>(r * outputs + b)];
              for (int32_t e = begin[static_cast<size_t>(r)]; e < begin[static_cast<size_t>(r) + 1]; ++e) {
                sum += 2.0 * values[static_cast<size_t>(e * outputs + b)] *
                       x[static_cast<size_t>(offsets[static_cast<size_t>(e)] + pixel(k) + n)];
              }
              ASSERT_NEAR(sums[static_cast<size_t>((r * outputs + b) * plane + k * kImages + n)], sum, 1e-5);
            }
          }
        }
        for (int32_t e = begin[static_cast<size_t>(r)]; accumulates && e < begin[static_cast<size_t>(r) + 1]; ++e) {
          for (int b = 0; b < outputs; ++b, ++weight) {
            double right = 0;
            for (int k = 0; k < pixels; ++k) {
              for (int n = 0; n < kImages; ++n) {
                right += static_cast<double>(x[static_cast<size_t>(offsets[static_cast<size_t>(e)] + pixel(k) + n)]) *
                         kept[static_cast<size_t>((r * outputs + b) * 4 * row + pixel(k) + n)];
              }
            }
            ASSERT_NEAR(quad[weight], right, 1e-4);
          }
        }
        quad += (weight + 3) / kQuad * kQuad;
      }
    }
  }
}

std::vector<WeightTile> all_tiles() {
  std::vector<WeightTile> all;
  for (int tile = 0; tile < kAllWeightTiles; ++tile) all.push_back(static_cast<WeightTile>(tile));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Tiles, WeightTileTest, testing::ValuesIn(all_tiles()), [](const auto& p) {
  return std::to_string(rows_of(p.param)) + "_by_" + std::to_string(columns_of(p.param));
});

TEST(WeightTransposeTest, BringsAndReturnsSumsOfAnyNumberOfPixelsChannelsAndImages) {
  std::mt19937 rng(9);
  for (const WeightTileKernels* set : instruction_sets()) {
    for (const int64_t channels : {1, 3, 16, 19, 40}) {
      for (const int64_t images : {1, 5, 16}) {
        const int64_t pixels = 3, stride = channels + 7, step = kImages * stride, plane = (pixels + 1) * kImages;
        int64_t lanes[kImages], at[4];
        uint32_t present[4];
        for (int64_t n = 0; n < kImages; ++n) lanes[n] = n * stride;
        for (int64_t k = 0; k < 4; ++k) {  // the next image
          at[k] = k * stride;
          present[k] = (1u << std::max<int64_t>(0, images - k)) - 1;
        }
        const std::vector<float> from = drawn(static_cast<size_t>(pixels * step), rng);
        for (const int count : {1, 2, 4}) {
          std::vector<float> planes(static_cast<size_t>(channels * plane), 7.0f), back(from.size(), 7.0f);
          BringJob bring{.pixels = pixels,
                         .channels = channels,
                         .plane = plane,
                         .lanes = lanes,
                         .step = step,
                         .count = count,
                         .share = 0.5f};
          std::copy_n(at, 4, bring.at);
          std::copy_n(present, 4, bring.present);
          set->bring(bring, from.data(), planes.data());
          for (int64_t c = 0; c < channels; ++c) {
            for (int64_t i = 0; i < plane; ++i) {
              const int64_t pixel = i / kImages, n = i % kImages;
              float right = pixel == pixels ? 14.0f : 0.0f;
              for (int64_t k = 0; k < count && pixel < pixels && n + k < images; ++k)
                right += from[static_cast<size_t>(pixel * step + (n + k) * stride + c)];
              ASSERT_NEAR(planes[static_cast<size_t>(c * plane + i)], right / 2, 1e-6);
            }
          }
          if (count == 2) continue;
          ReturnJob job{.pixels = pixels,
                        .channels = channels,
                        .lanes = lanes,
                        .step = step,
                        .at = at[0],
                        .present = present[0],
                        .count = count,
                        .share = 0.25f};
          std::fill_n(job.from, 4, planes.data());
          std::fill_n(job.plane, 4, plane);
          set->return_(job, back.data());
          for (int64_t i = 0; i < pixels * step; ++i) {
            const int64_t pixel = i / step, n = i % step / stride, c = i % stride;
            const float right = 0.25f * static_cast<float>(count) *
                                planes[static_cast<size_t>(std::min(c, channels - 1) * plane + pixel * kImages + n)];
            ASSERT_NEAR(back[static_cast<size_t>(i)], c < channels && n < images ? right : 7.0f, 1e-6);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace poise
