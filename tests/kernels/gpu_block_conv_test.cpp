// Block-sparse convolution on the GPU, on the emulated device under the checker and on CUDA, against the CPU's dense
// f64 loops on the same masked weights: all passes and precisions, the same bits in any order of threads, copies and
// blocks, no races, and no writes outside the results.
#include "tests/support/block_convolution.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

class GpuBlockConvTest : public testing::TestWithParam<std::tuple<Device, KernelAndUpsample>> {
 protected:
  void SetUp() override {
    if (!available(device())) GTEST_SKIP() << gpu::why_unavailable(device());
  }
  Device device() const { return std::get<0>(GetParam()); }
  int64_t kernel() const { return std::get<0>(std::get<1>(GetParam())); }
  int64_t upsample() const { return std::get<1>(std::get<1>(GetParam())); }
  void expect_right(const Images& images, double density, bool all_taps, const KernelTable& kernels,
                    const GemmChoice& choice = {}) {
    for (const Precision precision : kAllPrecisions) {
      SCOPED_TRACE(testing::Message() << name_of(precision) << ", " << images.n << "x" << images.h << "x" << images.w
                                      << ", " << images.in_blocks << " to " << images.out_blocks << " blocks, density "
                                      << density << (all_taps ? ", all taps" : ", per tap"));
      const Convolution convolution(geometry_of(images, kernel(), upsample()), density, all_taps, precision, device(),
                                    ++seed_);
      convolution.expect_right(convolution.run(kernels_on(device(), kernels), choice));
    }
  }

 private:
  uint32_t seed_ = 0;
};

TEST_P(GpuBlockConvTest, EqualsDenseOnMaskedWeights) {
  for (const bool all_taps : {false, true}) {
    for (const double density : {0.0, kOneCell, 0.1, 0.5, 1.0}) {
      expect_right({.n = 3, .h = 5, .w = 6, .in_blocks = 2, .out_blocks = 3}, density, all_taps, checked::kernels());
    }
  }
}

// Tiles of every shape: parts of images, whole images, several images, single rows, and pixels without neighbours.
TEST_P(GpuBlockConvTest, ServesImagesOfAnySize) {
  for (const Images& images : {Images{5, 4, 4, 1, 1},
                               {3, 8, 8, 2, 1},
                               {1, 12, 12, 1, 2},
                               {1, 16, 16, 1, 1},
                               {1, 32, 32, 1, 1},
                               {1, 3, 48, 1, 1},
                               {7, 1, 1, 2, 2},
                               {1, 1, 9, 1, 1}}) {
    expect_right(images, 0.5, false, emulated::kernels());
  }
}

// More blocks than warps, than fit in shared memory at once, and than a panel or a piece of the weight gradient holds.
TEST_P(GpuBlockConvTest, ServesManyBlocks) {
  expect_right({.n = 2, .h = 4, .w = 4, .in_blocks = 18, .out_blocks = 19}, 0.3, true, emulated::kernels());
  expect_right({.n = 1, .h = 4, .w = 5, .in_blocks = 34, .out_blocks = 1}, 0.5, false, emulated::kernels());
}

// A thread block processes many tiles, where it would otherwise have one.
TEST_P(GpuBlockConvTest, AddsUpManyTiles) {
  expect_right({.n = 3, .h = 11, .w = 9, .in_blocks = 2, .out_blocks = 2}, 0.4, false, checked::kernels(),
               {.splits = 2});
}

// More pieces of the weight gradient than thread blocks.
class GpuBlockConvWorkersTest : public testing::TestWithParam<Device> {};
TEST_P(GpuBlockConvWorkersTest, GoesThroughMorePiecesThanWorkers) {
  const Device device = GetParam();
  if (!available(device)) GTEST_SKIP() << gpu::why_unavailable(device);
  const Convolution convolution(geometry_of({.n = 1, .h = 2, .w = 2, .in_blocks = 44, .out_blocks = 44}, 3, 1), 1.0,
                                true, Precision::fp32, device, 1);
  convolution.expect_right(convolution.run(kernels_on(device, emulated::kernels())));
}
INSTANTIATE_TEST_SUITE_P(Devices, GpuBlockConvWorkersTest, testing::ValuesIn(gpu_devices()),
                         [](const auto& p) { return std::string(name_of(p.param)); });

TEST_P(GpuBlockConvTest, GivesTheSameBitsInAnyOrder) {
  for (const Precision precision : kAllPrecisions) {
    SCOPED_TRACE(name_of(precision));
    const Convolution convolution(
        geometry_of({.n = 5, .h = 6, .w = 6, .in_blocks = 4, .out_blocks = 2}, kernel(), upsample()), 0.4, false,
        precision, device(), 7);
    const KernelTable& kernels = kernels_on(device(), checked::kernels());
    const LayerResults first = convolution.run(kernels);
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const RandomOrder order(seed);
      EXPECT_TRUE(convolution.run(kernels) == first) << "seed " << seed;
    }
  }
}

TEST_P(GpuBlockConvTest, FinishesItsResults) {
  const Conv2dGeometry g = geometry_of({.n = 3, .h = 5, .w = 6, .in_blocks = 2, .out_blocks = 3}, kernel(), upsample());
  if (!block_conv2d_finishes(DType::f32, g)) return;  // its outputs repeat
  for (const Precision precision : {Precision::fp32, Precision::tf32}) {
    SCOPED_TRACE(name_of(precision));
    const Convolution convolution(g, 0.3, false, precision, device(), 11);
    convolution.expect_finishes(kernels_on(device(), checked::kernels()));
  }
}

// The first pass builds the lists and all others read them; when the index changes, they are rebuilt in place. Without
// room for them, each pass builds its own.
TEST_P(GpuBlockConvTest, KeepsItsLists) {
  const KernelTable& kernels = kernels_on(device(), checked::kernels());
  Context ctx{.device = device(), .kernels = &kernels};
  Convolution convolution(geometry_of({.n = 2, .h = 6, .w = 4, .in_blocks = 3, .out_blocks = 2}, kernel(), upsample()),
                          0.4, false, Precision::bf16, device(), 5);
  const LayerResults plain = convolution.run(kernels);
  convolution.keep_lists(64);
  EXPECT_TRUE(convolution.run(kernels) == plain);
  convolution.keep_lists(convolution.most_kept_bytes());
  EXPECT_TRUE(convolution.run(kernels) == plain) << "made";
  EXPECT_TRUE(convolution.run(kernels) == plain) << "kept";
  Tensor words = convolution.kept_memory();
  words.dtype = DType::f32, words.shape = {words.shape[0] / 4};
  kernels.fill(ctx, 0.0, words);
  EXPECT_FALSE(convolution.run(kernels) == plain) << "of nothing alive";
  convolution.kept().list_all(ctx);
  EXPECT_TRUE(convolution.run(kernels) == plain) << "made anew";
}

TEST_P(GpuBlockConvTest, NeedsTheSameMemoryForAnyMask) {
  const Conv2dGeometry g = geometry_of({.n = 4, .h = 8, .w = 8, .in_blocks = 4, .out_blocks = 4}, kernel(), upsample());
  std::mt19937 rng(3);
  const RandomMask sparse(g, 0.1, true, device(), rng), dense(g, 1.0, true, device(), rng);
  Context ctx{.device = device()};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    const auto plan = [&](const RandomMask& mask) {
      return kernels_on(device(), emulated::kernels()).block_conv2d_plan(ctx, g, mask.index, DType::bf16, pass);
    };
    EXPECT_EQ(plan(sparse).workspace_bytes, plan(dense).workspace_bytes);
    const double positions = positions_of(kernel(), upsample());
    EXPECT_EQ(plan(dense).executed_macs, 4 * 8 * 8 * 16 * positions * kB * kB);
    EXPECT_EQ(plan(sparse).executed_macs, 4 * 8 * 8 * 2 * positions * kB * kB);  // 10% of 16 cells
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, GpuBlockConvTest, testing::Combine(testing::ValuesIn(gpu_devices()), kKernelsAndUpsamples),
    [](const auto& p) {
      return std::string(name_of(std::get<0>(p.param))) + "_" + kernel_and_upsample({std::get<1>(p.param), p.index});
    });

}  // namespace
}  // namespace poise
