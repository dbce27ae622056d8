// Invalid calls of ops, and their error messages: the layer, the op, what it expected and what it got.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "engine/ops/ops.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

struct Refusal {
  const char* name;
  std::function<void(Tape&)> call;
  std::vector<const char*> parts;  // of the message, in addition to the layer
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

// A variable of zeros. Its memory comes from the arena, since it need not outlive the refused call.
Var zeros(Tape& t, const Shape& shape, DType dtype = DType::f32) {
  Tensor x = t.alloc(shape, dtype);
  t.ctx.kernels->fill(t.ctx, 0.0, x);
  return t.variable(x);
}

Var half(Tape& t, const Shape& shape) { return t.variable(t.alloc(shape, DType::bf16)); }

const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> all = {
      {"slope", [](Tape& t) { leaky_relu(zeros(t, {2}), 1.0f); }, {"leaky_relu", "slope", "1.0"}},
      {"add_shapes",
       [](Tape& t) {
         add(zeros(t, {2, 3}), zeros(t, {3, 2}));
       },
       {"add", "[2,3]", "[3,2]"}},
      {"add_dtypes", [](Tape& t) { add(zeros(t, {2}), zeros(t, {2}, DType::f64)); }, {"add", "f32", "f64"}},
      {"reshape",
       [](Tape& t) {
         reshape(zeros(t, {2, 3}), {7});
       },
       {"reshape", "[7]", "[2,3]"}},
      {"concat_ranks",
       [](Tape& t) {
         concat_batch(zeros(t, {2, 3}), zeros(t, {2}));
       },
       {"concat_batch", "[2,3]", "[2]"}},
      {"concat_rows",
       [](Tape& t) {
         concat_batch(zeros(t, {2, 3}), zeros(t, {2, 4}));
       },
       {"concat_batch", "[2,4]"}},
      {"linear_input",
       [](Tape& t) {
         linear(zeros(t, {4, 100}), zeros(t, {1, 128}), {});
       },
       {"linear expects input [N,128] for weight [1,128] but got [4,100]"}},
      {"linear_rank",
       [](Tape& t) {
         linear(zeros(t, {4, 1, 1, 8}), zeros(t, {1, 8}), {});
       },
       {"linear", "[4,1,1,8]"}},
      {"linear_bias",
       [](Tape& t) {
         linear(zeros(t, {4, 8}), zeros(t, {3, 8}), zeros(t, {8}));
       },
       {"linear", "bias [3]", "[8]"}},
      {"conv_channels",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 1, 1, 4}), {}, {});
       },
       {"conv2d", "[N,H,W,4]", "[8,1,1,4]", "[1,4,4,3]"}},
      {"conv_kernel",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 3, 3, 3}), {}, {});
       },
       {"conv2d", "1x1", "[8,3,3,3]"}},
      {"conv_small_input",
       [](Tape& t) {
         conv2d(zeros(t, {1, 2, 4, 3}), zeros(t, {8, 3, 3, 3}), {}, {.kh = 3, .kw = 3});
       },
       {"conv2d", "3x3", "[1,2,4,3]"}},
      {"conv_bias",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 1, 1, 3}), zeros(t, {3}), {});
       },
       {"conv2d", "bias [8]", "[3]"}},
      {"conv_upsample_stride",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 1, 1, 3}), {}, {.stride_h = 2, .upsample = 2});
       },
       {"conv2d", "upsample", "stride 1", "upsample_nearest_2x"}},
      {"conv_upsample_kernel",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 5, 5, 3}), {},
                {.kh = 5, .kw = 5, .pad_h = 2, .pad_w = 2, .upsample = 2});
       },
       {"conv2d", "upsample", "3x3", "upsample_nearest_2x"}},
      {"conv_pool_stride",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 1, 1, 3}), {}, {.stride_h = 2, .pool = 2});
       },
       {"conv2d", "pool", "stride 1", "avg_pool_2x2"}},
      {"conv_pool_relu",
       [](Tape& t) {
         conv2d(zeros(t, {1, 4, 4, 3}), zeros(t, {8, 1, 1, 3}), {}, {.pool = 2, .relu = true});
       },
       {"conv2d", "pool", "ReLU", "avg_pool_2x2"}},
      {"batch_norm_channels",
       [](Tape& t) {
         const Tensor c = t.alloc({5}, DType::f32);
         batch_norm(zeros(t, {2, 4}), zeros(t, {5}), zeros(t, {5}), c, c, {});
       },
       {"batch_norm", "[4]", "[2,4]", "[5]"}},
      {"batch_norm_one_row",
       [](Tape& t) {
         const Tensor c = t.alloc({4}, DType::f32);
         batch_norm(zeros(t, {1, 4}), zeros(t, {4}), zeros(t, {4}), c, c, {});
       },
       {"batch_norm", "more than one", "[1,4]"}},
      {"spectral_norm_vectors",
       [](Tape& t) {
         spectral_norm(zeros(t, {4, 3}), t.alloc({3}, DType::f32), t.alloc({4}, DType::f32), 1e-12);
       },
       {"spectral_norm", "u [4]", "v [3]", "[4,3]"}},
      {"upsample_rank",
       [](Tape& t) {
         upsample_nearest_2x(zeros(t, {2, 3}));
       },
       {"upsample_nearest_2x", "[N,H,W,C]", "[2,3]"}},
      {"pool_odd",
       [](Tape& t) {
         avg_pool_2x2(zeros(t, {1, 1, 4, 2}));
       },
       {"avg_pool_2x2", "at least 2", "[1,1,4,2]"}},
      {"max_pool_larger_than_its_image",
       [](Tape& t) {
         max_pool(zeros(t, {1, 2, 4, 3}), {.size = 3, .stride = 2});
       },
       {"max_pool", "[1,2,4,3]", "size 3", "padding 0"}},
      {"avg_pool_sees_nothing",
       [](Tape& t) {
         avg_pool(zeros(t, {1, 4, 4, 3}), {.size = 2, .stride = 1, .pad = 2});
       },
       {"avg_pool", "sees a cell", "padding 2"}},
      {"concat_channels_space",
       [](Tape& t) {
         concat_channels({zeros(t, {1, 4, 4, 3}), zeros(t, {1, 4, 5, 3})});
       },
       {"concat_channels", "[1,4,4,3]", "[1,4,5,3]"}},
      {"sum_rank",
       [](Tape& t) {
         sum_space(zeros(t, {2, 3}));
       },
       {"sum_space", "[N,H,W,C]"}},
      {"mean_rank",
       [](Tape& t) {
         mean_space(zeros(t, {2, 3}));
       },
       {"mean_space", "[N,H,W,C]"}},
      {"loss_d_shape",
       [](Tape& t) { gan_loss_d(zeros(t, {4}), 2, GanLoss::hinge, t.alloc({2}, DType::f32)); },
       {"gan_loss_d", "[N,1]", "[4]"}},
      {"loss_d_no_fake",
       [](Tape& t) {
         gan_loss_d(zeros(t, {4, 1}), 4, GanLoss::hinge, t.alloc({2}, DType::f32));
       },
       {"gan_loss_d", "n_real 4"}},
      {"loss_d_means",
       [](Tape& t) {
         gan_loss_d(zeros(t, {4, 1}), 2, GanLoss::hinge, t.alloc({1}, DType::f32));
       },
       {"gan_loss_d", "means [2]"}},
      {"loss_d_bf16",
       [](Tape& t) {
         gan_loss_d(half(t, {4, 1}), 2, GanLoss::hinge, t.alloc({2}, DType::bf16));
       },
       {"gan_loss_d", "logits in f32", "bf16", "sum over space"}},
      {"loss_g_bf16",
       [](Tape& t) {
         gan_loss_g(half(t, {4, 1}), GanLoss::bce);
       },
       {"gan_loss_g", "logits in f32", "bf16", "sum over space"}},
      {"batch_norm_bf16_parameters",
       [](Tape& t) {
         const Tensor c = t.alloc({4}, DType::f32);
         batch_norm(half(t, {2, 4}), half(t, {4}), half(t, {4}), c, c, {});
       },
       {"batch_norm", "parameters in f32", "input in bf16", "got bf16"}},
      {"loss_g_shape",
       [](Tape& t) {
         gan_loss_g(zeros(t, {4, 2}), GanLoss::bce);
       },
       {"gan_loss_g", "[N,1]", "[4,2]"}},
  };
  return all;
}

class OpErrorTest : public testing::TestWithParam<Refusal> {};

TEST_P(OpErrorTest, NamesTheLayerAndBothShapes) {
  TestContext c;
  const std::string path = "D.block1.layer";
  Scope scope(c.tape, path);
  try {
    GetParam().call(c.tape);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), ErrorKind::runtime);
    EXPECT_EQ(message.find("D.block1.layer: "), 0u) << message;
    EXPECT_EQ(message.rfind("D.block1.layer: "), 0u) << "names the layer twice: " << message;
    for (const char* part : GetParam().parts)
      EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
  }
  EXPECT_TRUE(c.tape.nodes().empty()) << "a refused op leaves no node";
}

INSTANTIATE_TEST_SUITE_P(Calls, OpErrorTest, testing::ValuesIn(refusals()),
                         [](const auto& refusal_info) { return refusal_info.param.name; });

}  // namespace
}  // namespace poise
