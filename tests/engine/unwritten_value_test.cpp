// A batch normalisation that its reader computes (Tape::record_unwritten) gives the same bits as one that is written
// first, and it is still written when other code reads it.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "tests/support/sparse_layer.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr int64_t kChannels = 32;

// The number of batch-normalisation launches in the forward pass: one for the statistics, possibly one for the values.
int64_t launches(const Profile& profile) {
  int64_t count = 0;
  for (const Profile::Row& entry : profile.rows()) {
    if (std::string(entry.work.op) == "batch_norm" && entry.work.pass == Pass::forward) count += entry.calls;
  }
  return count;
}

struct Setting {
  const char* name;
  Execution forward, backward_weight;
  DType dtype;
  int64_t written;  // launches in addition to the statistics, with gradients
};

class UnwrittenValueTest : public testing::TestWithParam<Setting> {
 protected:
  UnwrittenValueTest() : c_(cpu_kernels()) {
    const Setting s = GetParam();
    layer_.execution.set(Pass::forward, s.forward);
    layer_.execution.set(Pass::backward_weight, s.backward_weight);
    x_ = std::make_unique<Operand>(uniform(geometry_.x_shape(), s.dtype, Device::cpu, rng_));
    dy_ = std::make_unique<Operand>(uniform(geometry_.y_shape(), s.dtype, Device::cpu, rng_));
    for (auto* vector : {&gamma_, &beta_}) {
      *vector = std::make_unique<Operand>(uniform({kChannels}, DType::f32, Device::cpu, rng_));
    }
  }

  Var normalise(Var x) {
    Tape& t = c_.tape;
    return batch_norm(x, t.variable(gamma_->device.tensor()), t.variable(beta_->device.tensor()), mean_.tensor(),
                      var_.tensor(), {.relu = true});
  }
  Var convolve(Var h) {
    const Var w = layer_.on(c_.tape, h.dtype());
    return conv2d(h, w, {}, {.kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}, &layer_.execution);
  }

  // Returns the bytes of the result and of all gradients.
  std::vector<unsigned char> step(bool written_first) {
    std::vector<unsigned char> bytes;
    const auto take = [&](const Tensor& t) {
      const size_t at = bytes.size();
      bytes.resize(at + t.size_bytes());
      copy_to_host(bytes.data() + at, t);
    };
    const Var x = c_.tape.variable(x_->device.tensor()), h = normalise(x);
    if (written_first) h.value();
    const int first = c_.tape.size();
    const Var y = convolve(h);
    take(y.value());
    const Tensor dy = c_.tape.alloc(y.shape(), y.dtype());
    copy_from_host(dy, dy_->device.tensor().bytes);
    c_.tape.backward_from(y, dy);
    for (const Var leaf : {x, Var{&c_.tape, h.id - 2}, Var{&c_.tape, h.id - 1}, Var{&c_.tape, first}}) {
      take(c_.tape.gradient(leaf));
    }
    c_.tape.reset();
    c_.arena.reset();
    return bytes;
  }

  std::mt19937 rng_{7};
  const Conv2dGeometry geometry_{
      .n = 3, .h = 6, .w = 5, .c_in = kChannels, .c_out = 48, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
  TestContext c_;
  Profile profile_;
  SparseLayer layer_{geometry_, rng_};
  std::unique_ptr<Operand> x_, dy_, gamma_, beta_;
  OwnedTensor mean_ = tensor_of<float>({kChannels}, std::vector<float>(kChannels, 0)),
              var_ = tensor_of<float>({kChannels}, std::vector<float>(kChannels, 1));
};

TEST_P(UnwrittenValueTest, GivesTheSameBits) {
  const auto expected = step(/*written_first=*/true);
  c_.ctx.profile = &profile_;
  EXPECT_EQ(step(/*written_first=*/false), expected);
  EXPECT_EQ(launches(profile_), 1 + GetParam().written);
}

TEST_P(UnwrittenValueTest, GivesTheSameBitsWithoutGradients) {
  const Tape::NoGrad no_grad(c_.tape);
  const auto values = [&](bool written_first) {
    const Var x = relu(c_.tape.constant(x_->device.tensor())), h = normalise(spent(x));
    if (written_first) h.value();
    const Tensor y = convolve(h).value();
    std::vector<unsigned char> bytes(y.size_bytes());
    copy_to_host(bytes.data(), y);
    c_.tape.reset();
    c_.arena.reset();
    return bytes;
  };
  EXPECT_EQ(values(false), values(true));
}

INSTANTIATE_TEST_SUITE_P(
    Paths, UnwrittenValueTest,
    testing::Values(Setting{"dense", Execution::dense, Execution::dense, DType::f32, 0},
                    Setting{"weights", Execution::weights, Execution::weights, DType::f32, 0},
                    Setting{"block", Execution::block, Execution::block, DType::f32, 0},
                    Setting{"forward_only", Execution::weights, Execution::dense, DType::f32, 1},
                    Setting{"weight_gradient_only", Execution::dense, Execution::block, DType::f32, 0},
                    Setting{"weights_bf16", Execution::weights, Execution::weights, DType::bf16, 1},
                    Setting{"block_bf16", Execution::block, Execution::block, DType::bf16, 0}),
    [](const auto& p) { return p.param.name; });

// A value that a module returns outlives the input that it is computed from.
TEST(UnwrittenValue, IsWrittenBeforeItsInputGoes) {
  const std::string path = "module";
  for (const bool keep : {false, true}) {
    TestContext c(cpu_kernels());
    const Tape::NoGrad no_grad(c.tape);
    const OwnedTensor memory = tensor_of<float>({2, 2}, {1, 2, 3, 6});
    OwnedTensor mean = tensor_of<float>({2}, {0, 0}), var = tensor_of<float>({2}, {1, 1});
    Var y;
    {
      const Scope scope(c.tape, path);
      const Var x = add(c.tape.constant(memory.tensor()), c.tape.constant(memory.tensor()));
      y = batch_norm(x, Var{}, Var{}, mean.tensor(), var.tensor(), {.eps = 0});
      if (keep) {
        c.tape.keep(y);
        relu(y);
      }
    }
    Tensor over = c.tape.alloc({64}, DType::f32);  // where x was
    c.ctx.kernels->fill(c.ctx, 7.0, over);
    EXPECT_EQ(values_of<float>(y.value()), (std::vector<float>{-1, -1, 1, 1})) << keep;
  }
}

// A value that is never read is never written, and its memory is reused.
TEST(UnwrittenValue, IsForgottenWhenItGoes) {
  const std::string path = "module";
  TestContext c(cpu_kernels());
  Profile profile;
  c.ctx.profile = &profile;
  const Tape::NoGrad no_grad(c.tape);
  const OwnedTensor memory = tensor_of<float>({2, 2}, {1, 2, 3, 6});
  OwnedTensor mean = tensor_of<float>({2}, {0, 0}), var = tensor_of<float>({2}, {1, 1});
  Var y;
  {
    const Scope scope(c.tape, path);
    const Var x = c.tape.constant(memory.tensor());
    y = batch_norm(x, Var{}, Var{}, mean.tensor(), var.tensor(), {});
    add(x, x);
  }
  EXPECT_THROW(y.value(), std::exception);
  int64_t count = 0;
  for (const Profile::Row& entry : profile.rows()) count += std::string(entry.work.op) == kBatchNormWithoutAffine;
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace poise
