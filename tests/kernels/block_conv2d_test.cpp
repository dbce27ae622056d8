// Compares block-sparse convolution with the dense one, an independent implementation, on the same masked weights.
#include "kernels/sparse/block/block_conv2d.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/core/parallel.h"
#include "kernels/sparse/block/block_tiles.h"
#include "kernels/table.h"
#include "tests/support/block_convolution.h"
#include "tests/support/block_geometry.h"
#include "tests/support/host_layer.h"

namespace poise {
namespace {

using namespace cpu;

constexpr double kLimit = 1e-5;  // f32, relative to the largest element

// A layer with a random mask: `alive` cells out of all, each one block, or one block over all taps.
struct Layer : HostLayer {
  BlockIndex index;
  OwnedTensor row_offsets, col_of_block;

  Layer(const Conv2dGeometry& geometry, double density, bool all_taps, uint32_t seed) : HostLayer(geometry) {
    std::mt19937 rng(seed);
    index = {.block = kB, .out_blocks = g.c_out / kB, .in_blocks = g.c_in / kB, .taps = g.kh * g.kw};
    row_offsets = OwnedTensor({index.out_blocks + 1}, DType::i32, Device::cpu);
    col_of_block = OwnedTensor({index.capacity()}, DType::i32, Device::cpu);
    index.row_offsets = row_offsets.tensor();
    index.col_of_block = col_of_block.tensor();
    const int64_t taps_of_cell = all_taps ? index.taps : 1;
    std::vector<int64_t> cells(static_cast<size_t>(index.capacity() / taps_of_cell));
    std::iota(cells.begin(), cells.end(), 0);
    std::shuffle(cells.begin(), cells.end(), rng);
    // A negative density requests a single cell.
    const auto alive =
        density < 0 ? size_t{1} : static_cast<size_t>(std::llround(density * static_cast<double>(cells.size())));
    cells.resize(alive);
    for (int64_t cell : cells) {
      const int64_t pair = cell / (index.taps / taps_of_cell), first = cell % (index.taps / taps_of_cell);
      for (int64_t tap = first; tap < first + taps_of_cell; ++tap)
        fill_block(pair / index.in_blocks, tap, pair % index.in_blocks);
    }
    draw(rng);
    Context ctx;
    cpu::build_block_index(ctx, mask.tensor(), index);
  }

  void fill_block(int64_t ob, int64_t tap, int64_t ib) {
    uint8_t* m = mask.tensor().data<uint8_t>();
    for (int64_t o = 0; o < kB; ++o) {
      for (int64_t i = 0; i < kB; ++i) m[((ob * kB + o) * index.taps + tap) * g.c_in + ib * kB + i] = 1;
    }
  }

  HostResults run() {
    Context ctx;
    return HostLayer::run([&](Pass pass) { return block_conv2d_plan(ctx, g, index, DType::f32, pass); },
                          [&](auto&... args) { block_conv2d_forward(ctx, g, index, args...); },
                          [&](auto&... args) { block_conv2d_backward_input(ctx, g, index, args...); },
                          [&](auto&... args) { block_conv2d_backward_weight(ctx, g, index, args...); });
  }
};

class BlockConv2dTest : public testing::TestWithParam<KernelAndUpsample> {};

TEST_P(BlockConv2dTest, EqualsDenseOnMaskedWeights) {
  const auto [kernel, upsample] = GetParam();
  struct Size {
    int64_t n, h, w;
  };
  uint32_t seed = 0;
  for (const Size s : {Size{1, 4, 4},
                       {3, 6, 6},
                       {2, 8, 8},
                       {1, 12, 12},
                       {3, 16, 16},
                       {1, 32, 32},
                       {1, 48, 48},
                       {3, 5, 7},
                       {5, 1, 1},
                       {1, 1, 9}}) {
    for (bool all_taps : {false, true}) {
      for (double density : {0.0, -1.0, 0.05, 0.1, 0.3, 0.5, 1.0}) {
        // 2 x 3 blocks: an odd count, and rows and columns without a block at low densities.
        Layer layer(geometry_of({s.n, s.h, s.w, 2, 3}, kernel, upsample), density, all_taps, ++seed);
        SCOPED_TRACE(testing::Message() << s.n << "x" << s.h << "x" << s.w << ", density " << density << ", all taps "
                                        << all_taps);
        expect_close(layer.run(), layer.run_dense(cpu_kernels()), kLimit);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(BlockConv2dTest, FinishesResults) {
  const auto [kernel, upsample] = GetParam();
  for (const int64_t side : {4, 8, 16, 5}) {
    SCOPED_TRACE(side);
    Layer layer(geometry_of({3, side, side, 2, 3}, kernel, upsample), 0.3, false, 5);
    if (block_conv2d_finishes(DType::f32, layer.g)) expect_finishes(layer);
  }
}

TEST_P(BlockConv2dTest, NormalisesWhatItReads) {
  const auto [kernel, upsample] = GetParam();
  for (const int64_t side : {1, 4, 5, 8, 16, 33}) {
    SCOPED_TRACE(side);
    Layer layer(geometry_of({3, side, side, 2, 3}, kernel, upsample), 0.3, false, 5);
    expect_normalises(layer, [](Layer& l) { return l.run(); });
    expect_normalises(
        layer, [](Layer& l) { return l.run_dense(cpu_kernels()); }, /*writes=*/true);
  }
}

TEST(BlockConv2d, PoolsItsSums) {
  uint32_t seed = 50;
  for (const auto& [h, w] :
       {std::array<int64_t, 2>{4, 4}, {6, 6}, {8, 8}, {16, 16}, {32, 32}, {48, 48}, {5, 7}, {33, 9}}) {
    for (const double density : {0.0, 0.1, 0.5}) {
      SCOPED_TRACE(testing::Message() << h << "x" << w << ", density " << density);
      Conv2dGeometry g = geometry_of({3, h, w, 2, 3}, 3, 1);
      g.pool = 2;
      Layer layer(g, density, false, ++seed);
      expect_close(layer.run(), layer.run_dense_and_pool(cpu_kernels()), kLimit);
      expect_finishes(layer);
    }
  }
}

TEST_P(BlockConv2dTest, GivesTheSameBitsAgainAndOnAnyNumberOfThreads) {
  const auto [kernel, upsample] = GetParam();
  Layer layer(geometry_of({5, 12, 12, 4, 2}, kernel, upsample), 0.3, false, 7);
  const int threads = thread_count();
  const HostResults first = layer.run();
  for (int count : {1, 2, 3}) {
    SCOPED_TRACE(count);
    set_thread_count(count);
    expect_same_bits(first, layer.run());
  }
  set_thread_count(threads);
}

TEST_P(BlockConv2dTest, CountsTheArithmeticThatItPerforms) {
  const auto [kernel, upsample] = GetParam();
  Context ctx;
  const Conv2dGeometry g = geometry_of({2, 8, 8, 4, 4}, kernel, upsample);
  Layer layer(g, 0.25, /*all_taps=*/true, 3);
  const double small_pixels = 2 * 8 * 8, blocks = 4 * 4 * 0.25;
  const double positions = positions_of(kernel, upsample);  // of every alive cell
  EXPECT_EQ(cpu::block_conv2d_plan(ctx, g, layer.index, DType::f32, Pass::forward).executed_macs,
            small_pixels * blocks * positions * kB * kB);
}

TEST_P(BlockConv2dTest, ComputesBf16) {
  const auto [kernel, upsample] = GetParam();
  uint32_t seed = 100;
  for (const auto& [n, h, w] :
       {std::array<int64_t, 3>{3, 6, 6}, {2, 8, 8}, {1, 16, 16}, {1, 32, 32}, {3, 5, 7}, {5, 1, 1}}) {
    for (const double density : {0.0, kOneCell, 0.1, 0.5, 1.0}) {
      SCOPED_TRACE(testing::Message() << n << "x" << h << "x" << w << ", density " << density);
      const Conv2dGeometry g = geometry_of({n, h, w, 2, 3}, kernel, upsample);
      const Convolution convolution(g, density, false, Precision::bf16, Device::cpu, ++seed);
      const LayerResults results = convolution.run(cpu_kernels());
      convolution.expect_right(results);
      const int threads = thread_count();
      set_thread_count(3);
      EXPECT_TRUE(results == convolution.run(cpu_kernels())) << "on another number of threads";
      set_thread_count(threads);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, BlockConv2dTest, kKernelsAndUpsamples, kernel_and_upsample);

TEST(BlockIndexTest, ListsTheBlocksOfEachRowByColumn) {
  Layer layer(geometry_of({1, 4, 4, 2, 3}, 3, 1), 0.0, false, 1);
  layer.fill_block(0, 8, 1);
  layer.fill_block(0, 0, 1);
  layer.mask.tensor().data<uint8_t>()[((2 * kB + 3) * 9 + 4) * 2 * kB + 5] = 1;  // one weight keeps its block alive
  Context ctx;
  cpu::build_block_index(ctx, layer.mask.tensor(), layer.index);
  EXPECT_EQ(layer.index.alive, 3);
  const int32_t *offsets = layer.row_offsets.tensor().data<int32_t>(),
                *columns = layer.col_of_block.tensor().data<int32_t>();
  EXPECT_EQ(std::vector<int32_t>(offsets, offsets + 4), (std::vector<int32_t>{0, 2, 2, 3}));
  EXPECT_EQ(std::vector<int32_t>(columns, columns + 3), (std::vector<int32_t>{0 * 2 + 1, 8 * 2 + 1, 4 * 2 + 0}));
}

// Each instruction set on its own, against plain loops.
class TileTest : public testing::TestWithParam<TileShape> {};

TEST_P(TileTest, EveryInstructionSetComputesTheSameSums) {
  const TileShape shape = GetParam();
  const int columns = tile_columns(shape), row = packed_row(columns), rows = 4;
  std::mt19937 rng(11);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> x(static_cast<size_t>((std::max(rows, tile_rows(shape)) + 3) * row + 64)), w(3 * kBlockWeights),
      bias(kBlock), dy(static_cast<size_t>(rows * columns * kBlock));
  for (auto* v : {&x, &w, &bias, &dy}) std::generate(v->begin(), v->end(), [&] { return draw(rng); });
  const BlockTerm terms[] = {{0, 2 * kBlockWeights}, {kBlock, 0}, {row + 2 * kBlock, kBlockWeights}};

  std::vector<float> expected(kTilePixels * kBlock), expected_dw(kBlockWeights, 0.5f);
  for (int k = 0; k < kTilePixels; ++k) {
    for (int o = 0; o < kBlock; ++o) {
      double sum = bias[static_cast<size_t>(o)];
      for (const BlockTerm& t : terms) {
        for (int i = 0; i < kBlock; ++i) {
          sum += static_cast<double>(x[static_cast<size_t>(t.x + k / columns * row + k % columns * kBlock + i)]) *
                 w[static_cast<size_t>(t.w + i * kBlock + o)];
        }
      }
      expected[static_cast<size_t>(k * kBlock + o)] = static_cast<float>(sum);
    }
  }
  for (int o = 0; o < kBlock; ++o) {
    for (int i = 0; i < kBlock; ++i) {
      double sum = 0.5;
      for (int p = 0; p < rows * columns; ++p) {
        sum += static_cast<double>(dy[static_cast<size_t>(p * kBlock + o)]) *
               x[static_cast<size_t>(p / columns * row + p % columns * kBlock + i)];
      }
      expected_dw[static_cast<size_t>(o * kBlock + i)] = static_cast<float>(sum);
    }
  }

  std::vector<const TileKernels*> sets = {&kTilesBaseline};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&kTilesAvx2);
  if (__builtin_cpu_supports("avx512f")) sets.push_back(&kTilesAvx512);
#endif
  for (const TileKernels* set : sets) {
    std::vector<float> out(kTilePixels * kBlock + kBlock, -7.0f), dw(kBlockWeights, 0.5f);
    float* pixels[kTilePixels];
    for (int k = 0; k < kTilePixels; ++k) pixels[k] = out.data() + k * kBlock;
    pixels[5] = nullptr;  // outside the image: not written
    set->multiply(shape, terms, 3, x.data(), w.data(), bias.data(), Finish::store, pixels, 0);
    EXPECT_EQ(std::vector<float>(out.begin() + 5 * kBlock, out.begin() + 6 * kBlock),
              std::vector<float>(kBlock, -7.0f));
    std::copy_n(expected.begin() + 5 * kBlock, kBlock, out.begin() + 5 * kBlock);
    out.resize(kTilePixels * kBlock);
    EXPECT_FALSE(!(relative_error(out, expected) <= kLimit));
    set->accumulate(shape, rows, x.data(), dy.data(), dw.data());
    EXPECT_FALSE(!(relative_error(dw, expected_dw) <= kLimit));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, TileTest, testing::Values(TileShape::row_16, TileShape::rows_2x8, TileShape::rows_4x4),
                         [](const auto& p) { return "columns_" + std::to_string(tile_columns(p.param)); });

}  // namespace
}  // namespace poise
