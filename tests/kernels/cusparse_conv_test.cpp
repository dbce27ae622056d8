// Block-sparse convolution through cuSPARSE on CUDA, and through its counterpart on the emulated device, where the
// checker watches our kernels around it, against the CPU's dense f64 loops on the same masked weights.
#include "tests/support/block_convolution.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

struct Layer {
  const char* name;
  int64_t kernel, upsample, h, w;
};
void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

class CusparseConvTest : public testing::TestWithParam<std::tuple<Device, Layer>> {
 protected:
  void SetUp() override {
    if (!available(device())) GTEST_SKIP() << gpu::why_unavailable(device());
  }
  Device device() const { return std::get<0>(GetParam()); }
  const KernelTable& kernels() const { return kernels_on(device(), checked::kernels()); }
  Conv2dGeometry geometry(int64_t images, int64_t in_blocks, int64_t out_blocks, int64_t block = kB) const {
    const Layer& l = std::get<1>(GetParam());
    return geometry_of({images, l.h, l.w, in_blocks, out_blocks}, l.kernel, l.upsample, block);
  }
};

TEST_P(CusparseConvTest, EqualsDenseOnMaskedWeights) {
  const BlockPath path = cusparse_path(kernels());
  uint32_t seed = 0;
  for (const int64_t block : {16, 32}) {
    for (const double density :
         {0.0, kOneCell, 0.05, 0.1, 0.3, 0.5, 1.0}) {  // the first four leave rows and columns empty
      for (const int64_t images : {1, 3}) {
        for (const Precision precision : {Precision::fp32, Precision::bf16}) {
          SCOPED_TRACE(testing::Message() << "block " << block << ", density " << density << ", " << images
                                          << " images, " << name_of(precision));
          const Convolution convolution(geometry(images, 2, 3, block), density, images == 3, precision, device(),
                                        ++seed, block);
          convolution.expect_right(convolution.run(kernels(), {}, &path));
        }
      }
    }
  }
}

TEST_P(CusparseConvTest, GivesTheSameBitsInAnyOrder) {
  const BlockPath path = cusparse_path(kernels());
  const Convolution convolution(geometry(3, 2, 2), 0.4, false, Precision::fp32, device(), 7);
  const LayerResults first = convolution.run(kernels(), {}, &path);
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const RandomOrder order(seed);
    EXPECT_TRUE(convolution.run(kernels(), {}, &path) == first) << "seed " << seed;
  }
}

TEST_P(CusparseConvTest, NeedsTheSameMemoryForAnyMask) {
  const Conv2dGeometry g = geometry(2, 4, 4);
  std::mt19937 rng(3);
  const RandomMask sparse(g, 0.1, false, device(), rng), dense(g, 1.0, false, device(), rng);
  BlockIndex planned = dense.index;  // as while planning, before memory is allocated
  planned.row_offsets = planned.col_of_block = planned.in_offsets = planned.out_of_block = {};
  const Context ctx{.device = device()};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    const auto plan = [&](const BlockIndex& index) {
      return kernels_on(device(), emulated::kernels()).cusparse_conv2d_plan(ctx, g, index, DType::bf16, pass);
    };
    EXPECT_EQ(plan(sparse.index).workspace_bytes, plan(dense.index).workspace_bytes);
    EXPECT_EQ(plan(planned).workspace_bytes, plan(dense.index).workspace_bytes);
    const bool small = g.upsample == 1 || g.kh == 1;
    const double pixels = static_cast<double>(2 * g.h * g.w * (small ? 1 : 4));
    EXPECT_EQ(plan(sparse.index).executed_macs, pixels * kB * kB * static_cast<double>(sparse.index.alive));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layers, CusparseConvTest,
    testing::Combine(testing::ValuesIn(gpu_devices()),
                     testing::Values(Layer{"linear", 1, 1, 1, 1}, Layer{"conv_1x1", 1, 1, 4, 3},
                                     Layer{"conv_1x1_upsample_2", 1, 2, 3, 2}, Layer{"conv_3x3", 3, 1, 5, 4},
                                     Layer{"conv_3x3_upsample_2", 3, 2, 3, 2})),
    [](const auto& p) { return std::string(name_of(std::get<0>(p.param))) + "_" + std::get<1>(p.param).name; });

// Forces the batch to be processed in parts: the last part has fewer images, and gradients accumulate.
TEST_P(CusparseConvTest, GoesThroughABatchInParts) {
  const BlockPath path = cusparse_path(kernels());
  const Convolution convolution(geometry(5, 2, 1), 0.5, false, Precision::fp32, device(), 1);
  convolution.expect_right(convolution.run(kernels(), {.splits = 3}, &path));
}

TEST(CusparseConvOnTheCpuTest, IsRefused) {
  const Conv2dGeometry g = geometry_of({.n = 1, .h = 2, .w = 2, .in_blocks = 1, .out_blocks = 1}, 1, 1);
  std::mt19937 rng(1);
  const RandomMask mask(g, 1, false, Device::cpu, rng);
  try {
    cpu_kernels().cusparse_conv2d_plan({}, g, mask.index, DType::f32, Pass::forward);
    FAIL() << "cuSPARSE on the CPU";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("--device cuda or emulated"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace poise
