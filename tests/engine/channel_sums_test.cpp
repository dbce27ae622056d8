// A sparse convolution sums what it writes, so that batch normalisations need not read it again: moments of its output
// for the one after it, and sums of its input gradient for the one before it (kernels/core/layer_output.h).
#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/ops.h"
#include "kernels/core/parallel.h"
#include "tests/support/sparse_layer.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

struct Setting {
  const char* name;
  Conv2dGeometry geometry;
  Execution path;
  DType dtype = DType::f32;
  bool adds = false;
  bool known = true;  // whether the path takes moments in this setting
};

// Makes the means about 1000 times the deviation, which sums of squares that are not centred would lose entirely.
constexpr float kLargeBias = 1000;

class OutputMomentsTest : public testing::TestWithParam<Setting> {
 protected:
  OutputMomentsTest() : c_(cpu_kernels()), g_(GetParam().geometry) {
    const DType dtype = GetParam().dtype;
    layer_.execution.set(Pass::forward, GetParam().path);
    x_ = std::make_unique<Operand>(uniform(g_.x_shape(), dtype, Device::cpu, rng_));
    residual_ = std::make_unique<Operand>(uniform(g_.y_shape(), dtype, Device::cpu, rng_));
  }
  ~OutputMomentsTest() override { set_thread_count(0); }

  Var convolve(float bias) {
    Tape& t = c_.tape;
    const Var x = t.constant(x_->device.tensor()), w = layer_.on(t, x.dtype());
    bias_ = tensor_of<float>({g_.c_out}, std::vector<float>(static_cast<size_t>(g_.c_out), bias));
    // Created on the tape, so that the result may reuse its memory.
    const Var residual = GetParam().adds ? relu(t.constant(residual_->device.tensor())) : Var{};
    const Conv2dOptions options{
        .kh = g_.kh, .kw = g_.kw, .pad_h = g_.pad_h, .pad_w = g_.pad_w, .upsample = g_.upsample, .relu = g_.relu};
    return conv2d(x, w, t.constant(bias_.tensor()), options, &layer_.execution, residual, Next::batch_norm);
  }
  void forget() {
    c_.tape.reset();
    c_.arena.reset();
  }

  std::mt19937 rng_{11};
  TestContext c_;
  const Conv2dGeometry g_;
  SparseLayer layer_{g_, rng_};
  std::unique_ptr<Operand> x_, residual_;
  OwnedTensor bias_;
};

TEST_P(OutputMomentsTest, AreThoseOfWhatWasWritten) {
  const Tape::NoGrad no_grad(c_.tape);
  for (const float bias : {0.0f, kLargeBias}) {
    const Var y = convolve(bias);
    const Tape::ChannelSums moments = c_.tape.take_sums(y);
    ASSERT_EQ(moments.known, GetParam().known);
    if (!moments.known) return;
    const std::vector<double> values = to_host(y.value()), result = values_of<double>(moments.memory);
    const auto channels = static_cast<size_t>(g_.c_out), rows = values.size() / channels;
    for (size_t c = 0; c < channels; ++c) {
      double mean = 0, m2 = 0;
      for (size_t row = 0; row < rows; ++row) mean += values[row * channels + c] / static_cast<double>(rows);
      for (size_t row = 0; row < rows; ++row) m2 += std::pow(values[row * channels + c] - mean, 2);
      const double deviation = std::sqrt(m2 / static_cast<double>(rows));
      const double rounding = 1e-12 * std::abs(mean);  // error of the sums above
      EXPECT_NEAR(result[c], mean, 1e-5 * deviation + rounding) << "channel " << c << ", bias " << bias;
      EXPECT_NEAR(result[channels + c], m2, 1e-5 * m2 + static_cast<double>(rows) * rounding * rounding)
          << "channel " << c << ", bias " << bias;
    }
    forget();
  }
}

TEST_P(OutputMomentsTest, HaveTheSameBitsForAnyNumberOfThreads) {
  if (!GetParam().known) GTEST_SKIP() << "it takes none";
  const Tape::NoGrad no_grad(c_.tape);
  const auto with = [&](int threads) {
    set_thread_count(threads);
    const std::vector<double> result = values_of<double>(c_.tape.take_sums(convolve(1)).memory);
    forget();
    return result;
  };
  const auto expected = with(1);
  for (const int threads : {2, 3, 20}) EXPECT_EQ(with(threads), expected) << threads;
}

TEST_P(OutputMomentsTest, AreWhatABatchNormalisationReads) {
  std::vector<double> results[3];
  for (int i = 0; i < 3; ++i) {
    OwnedTensor mean = tensor_of<float>({g_.c_out}, std::vector<float>(static_cast<size_t>(g_.c_out), 0)),
                var = tensor_of<float>({g_.c_out}, std::vector<float>(static_cast<size_t>(g_.c_out), 1));
    const Var y = convolve(1);
    Tape::ChannelSums moments = c_.tape.take_sums(y);
    if (i == 0) moments.known = false;
    if (i == 2 && moments.known) moments.memory.data<double>()[0] += 1;
    c_.tape.set_sums(y, moments);
    results[i] = to_host(batch_norm(y, Var{}, Var{}, mean.tensor(), var.tensor(), {}).value());
    for (const float running : values_of<float>(mean.tensor())) results[i].push_back(running);
    for (const float running : values_of<float>(var.tensor())) results[i].push_back(running);
    EXPECT_FALSE(c_.tape.take_sums(y).memory) << "it gives the memory back";
    forget();
  }
  const double limit = GetParam().dtype == DType::bf16 ? 1.0 / 64 : 1e-5;
  for (size_t i = 0; i < results[0].size(); ++i) ASSERT_NEAR(results[1][i], results[0][i], limit) << i;
  EXPECT_EQ(results[2] == results[1], !GetParam().known);
}

constexpr Conv2dGeometry kPlain{
    .n = 3, .h = 6, .w = 5, .c_in = 32, .c_out = 48, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
constexpr Conv2dGeometry with(Conv2dGeometry g, int64_t n, int64_t upsample, bool relu = false, int64_t c_out = 48) {
  g.n = n, g.upsample = upsample, g.relu = relu, g.c_out = c_out;
  return g;
}
constexpr Conv2dGeometry kRagged{
    .n = 6, .h = 5, .w = 7, .c_in = 12, .c_out = 20, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
constexpr Conv2dGeometry kPoint{.n = 5, .h = 4, .w = 3, .c_in = 16, .c_out = 272};

INSTANTIATE_TEST_SUITE_P(
    Paths, OutputMomentsTest,
    testing::Values(
        Setting{.name = "weights", .geometry = kPlain, .path = Execution::weights},
        Setting{.name = "weights_many", .geometry = with(kPlain, 35, 1), .path = Execution::weights},
        Setting{.name = "weights_enlarged", .geometry = with(kPlain, 5, 2), .path = Execution::weights},
        Setting{
            .name = "weights_enlarged_wide", .geometry = with(kPlain, 17, 2, false, 272), .path = Execution::weights},
        Setting{.name = "weights_relu", .geometry = with(kPlain, 16, 1, true), .path = Execution::weights},
        Setting{.name = "weights_adds", .geometry = kPlain, .path = Execution::weights, .adds = true},
        Setting{.name = "weights_ragged", .geometry = kRagged, .path = Execution::weights, .adds = true},
        Setting{.name = "weights_point", .geometry = kPoint, .path = Execution::weights},
        Setting{.name = "weights_repeats", .geometry = with(kPoint, 3, 2), .path = Execution::weights, .known = false},
        Setting{.name = "weights_bf16",
                .geometry = kPlain,
                .path = Execution::weights,
                .dtype = DType::bf16,
                .known = false},
        Setting{.name = "block", .geometry = kPlain, .path = Execution::block},
        Setting{.name = "block_enlarged", .geometry = with(kPlain, 5, 2), .path = Execution::block},
        Setting{.name = "block_relu", .geometry = with(kPlain, 16, 1, true), .path = Execution::block},
        Setting{.name = "block_adds", .geometry = kPlain, .path = Execution::block, .adds = true},
        Setting{.name = "block_point", .geometry = kPoint, .path = Execution::block},
        Setting{.name = "block_bf16", .geometry = kPlain, .path = Execution::block, .dtype = DType::bf16},
        Setting{.name = "block_bf16_adds",
                .geometry = with(kPlain, 4, 2),
                .path = Execution::block,
                .dtype = DType::bf16,
                .adds = true},
        Setting{.name = "dense", .geometry = kPlain, .path = Execution::dense, .known = false}),
    [](const auto& p) { return p.param.name; });

struct NormSetting {
  const char* name;
  Conv2dGeometry geometry;
  Execution path;
  DType dtype = DType::f32;
  bool relu = true;
  bool known = true;  // whether the path takes sums in this setting
};

class GradientSumsTest : public testing::TestWithParam<NormSetting> {
 protected:
  GradientSumsTest() : c_(kernels()), g_(GetParam().geometry) {
    const DType dtype = GetParam().dtype;
    layer_.execution.set(Pass::backward_input, GetParam().path);
    x_ = std::make_unique<Operand>(uniform(g_.x_shape(), dtype, Device::cpu, rng_));
    dy_ = std::make_unique<Operand>(uniform(g_.y_shape(), dtype, Device::cpu, rng_));
    for (auto* vector : {&gamma_, &beta_}) {
      *vector = std::make_unique<Operand>(uniform({g_.c_in}, DType::f32, Device::cpu, rng_));
    }
  }

  static inline bool given;     // whether the last batch normalisation was given sums
  static inline bool withhold;  // removes the sums, so that it cannot use them
  static const KernelTable& kernels() {
    static const KernelTable table = [] {
      KernelTable t = cpu_kernels();
      t.batch_norm_backward = [](Context& ctx, const BatchNormOptions& options, bool train,
                                 const BatchNormBackwardOperands& bn, Tensor& workspace) {
        given = static_cast<bool>(bn.sums);
        BatchNormBackwardOperands operands = bn;
        if (withhold) operands.sums = {};
        cpu_kernels().batch_norm_backward(ctx, options, train, operands, workspace);
      };
      return t;
    }();
    return table;
  }

  // Gradients of x, gamma and beta.
  std::vector<std::vector<double>> gradients(bool read_twice = false) {
    Tape& t = c_.tape;
    OwnedTensor mean = tensor_of<float>({g_.c_in}, std::vector<float>(static_cast<size_t>(g_.c_in), 0)),
                var = tensor_of<float>({g_.c_in}, std::vector<float>(static_cast<size_t>(g_.c_in), 1));
    const Var x = t.variable(x_->device.tensor()), w = layer_.on(t, x.dtype());
    const Var gamma = t.variable(gamma_->device.tensor()), beta = t.variable(beta_->device.tensor());
    const Var h = batch_norm(x, gamma, beta, mean.tensor(), var.tensor(), {.relu = GetParam().relu});
    const Conv2dOptions options{
        .kh = g_.kh, .kw = g_.kw, .pad_h = g_.pad_h, .pad_w = g_.pad_w, .upsample = g_.upsample};
    Var y = conv2d(h, w, {}, options, &layer_.execution);
    if (read_twice) y = add(y, conv2d(h, w, {}, options, &layer_.execution));
    const Tensor dy = t.alloc(y.shape(), y.dtype());
    copy_from_host(dy, dy_->device.tensor().bytes);
    t.backward_from(y, dy);
    std::vector<std::vector<double>> result;
    for (const Var leaf : {x, gamma, beta}) result.push_back(to_host(t.gradient(leaf)));
    t.reset();
    c_.arena.reset();
    return result;
  }

  std::mt19937 rng_{13};
  TestContext c_;
  const Conv2dGeometry g_;
  SparseLayer layer_{g_, rng_};
  std::unique_ptr<Operand> x_, dy_, gamma_, beta_;
};

TEST_P(GradientSumsTest, GiveTheGradientsThatReadingAgainGives) {
  const auto result = gradients();
  EXPECT_EQ(given, GetParam().known);
  withhold = true;
  const auto expected = gradients();
  withhold = false;
  for (size_t i = 0; i < result.size(); ++i) {
    double largest = 0;
    for (const double value : expected[i]) largest = std::max(largest, std::abs(value));
    const double limit = i == 0 && GetParam().dtype == DType::bf16 ? 1.0 / 128 : 1e-5;
    for (size_t k = 0; k < result[i].size(); ++k) {
      ASSERT_NEAR(result[i][k], expected[i][k], limit * largest) << (i == 0 ? "x " : i == 1 ? "gamma " : "beta ") << k;
    }
  }
}

TEST_P(GradientSumsTest, AreNotTakenWhereAnotherGradientIsAdded) {
  gradients(/*read_twice=*/true);
  EXPECT_FALSE(given);
}

TEST_P(GradientSumsTest, HaveTheSameBitsForAnyNumberOfThreads) {
  const auto with = [&](int threads) {
    set_thread_count(threads);
    const auto result = gradients();
    set_thread_count(0);
    return result;
  };
  const auto expected = with(1);
  for (const int threads : {2, 3, 20}) EXPECT_EQ(with(threads), expected) << threads;
}

INSTANTIATE_TEST_SUITE_P(
    Paths, GradientSumsTest,
    testing::Values(
        NormSetting{.name = "weights", .geometry = kPlain, .path = Execution::weights},
        NormSetting{.name = "weights_many", .geometry = with(kPlain, 35, 1), .path = Execution::weights},
        NormSetting{.name = "weights_enlarged", .geometry = with(kPlain, 5, 2), .path = Execution::weights},
        NormSetting{.name = "weights_ragged", .geometry = kRagged, .path = Execution::weights},
        NormSetting{.name = "weights_point", .geometry = kPoint, .path = Execution::weights},
        NormSetting{.name = "weights_repeats", .geometry = with(kPoint, 17, 2), .path = Execution::weights},
        NormSetting{.name = "weights_identity", .geometry = kPlain, .path = Execution::weights, .relu = false},
        NormSetting{.name = "block", .geometry = kPlain, .path = Execution::block},
        NormSetting{.name = "block_many", .geometry = with(kPlain, 17, 1), .path = Execution::block},
        NormSetting{.name = "block_enlarged", .geometry = with(kPlain, 5, 2), .path = Execution::block},
        NormSetting{.name = "block_repeats", .geometry = with(kPoint, 3, 2), .path = Execution::block},
        NormSetting{.name = "block_bf16", .geometry = kPlain, .path = Execution::block, .dtype = DType::bf16},
        NormSetting{.name = "dense", .geometry = kPlain, .path = Execution::dense, .known = false}),
    [](const auto& p) { return p.param.name; });

}  // namespace
}  // namespace poise
