// Tests of Inception's ops that op_cases.h cannot express: which cell receives the gradient of a tie, and the ReLU
// after a convolution that skips dead blocks.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "engine/sparse/layer_execution.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

// 3x3 windows with padding 1 on a 3x3 image of ones: the first cell of window (p, q) in the image is (max(p-1,0),
// max(q-1,0)).
TEST(MaxPool, TheFirstOfEqualCellsReceivesTheGradient) {
  for (const KernelTable* kernels : {&cpu_kernels(), &cpu_reference_kernels()}) {
    TestContext c(*kernels);
    const OwnedTensor ones = tensor_of<float>({1, 3, 3, 1}, std::vector<float>(9, 1));
    const Var x = c.tape.variable(ones.tensor());
    const Var y = max_pool(x, {.size = 3, .stride = 1, .pad = 1});
    const Tensor dy = c.arena.alloc(y.shape(), DType::f32);
    const std::vector<float> given{1, 2, 4, 8, 16, 32, 64, 128, 256};
    copy_from_host(dy, given.data());
    c.tape.backward_from(y, dy);
    const std::vector<float> expected{1 + 2 + 8 + 16, 4 + 32, 0, 64 + 128, 256, 0, 0, 0, 0};
    EXPECT_EQ(values_of<float>(c.tape.gradient(x)), expected);
  }
}

// One of two blocks of 16 input channels is dead. Compared with a dense convolution of the masked weight and a ReLU.
TEST(Conv2dRelu, FollowsSkippedBlocks) {
  constexpr int64_t kBlock = 16;
  const Shape shape{kBlock, 1, 1, 2 * kBlock}, image{2, 3, 4, 2 * kBlock};
  TestContext c(cpu_kernels());
  OwnedTensor mask(shape, DType::u8, Device::cpu), weight(shape, DType::f32, Device::cpu);
  OwnedTensor x(image, DType::f32, Device::cpu);
  c.ctx.kernels->random_normal(c.ctx, RandomStream::test, weight.tensor());
  c.ctx.kernels->random_normal(c.ctx, RandomStream::latent_d, x.tensor());
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const bool alive = i % (2 * kBlock) >= kBlock;
    mask.tensor().data<uint8_t>()[i] = alive;
    if (!alive) weight.tensor().data<float>()[i] = 0;
  }
  LayerExecution skipping{.index = {.block = kBlock, .out_blocks = 1, .in_blocks = 2, .taps = 1}};
  OwnedTensor rows({2}, DType::i32, Device::cpu), columns({skipping.index.capacity()}, DType::i32, Device::cpu);
  skipping.index.row_offsets = rows.tensor();
  skipping.index.col_of_block = columns.tensor();
  c.ctx.kernels->build_block_index(c.ctx, mask.tensor(), skipping.index);
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    skipping.set(pass, Execution::block);
  }

  const auto pass = [&](const auto& layer) {
    const Var in = c.tape.variable(x.tensor()), w = c.tape.variable(weight.tensor());
    const Var y = layer(in, w);
    std::vector<float> result = values_of<float>(y.value());
    Tensor dy = c.arena.alloc(y.shape(), DType::f32);
    c.ctx.kernels->fill(c.ctx, 1.0, dy);
    c.tape.backward_from(y, dy);
    const std::vector<float> dx = values_of<float>(c.tape.gradient(in));
    result.insert(result.end(), dx.begin(), dx.end());
    return result;
  };
  const std::vector<float> got = pass([&](Var in, Var w) { return conv2d(in, w, {}, {.relu = true}, &skipping); });
  const std::vector<float> expected = pass([](Var in, Var w) { return relu(conv2d(in, w, {}, {})); });
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-5f) << i;
}

}  // namespace
}  // namespace poise
