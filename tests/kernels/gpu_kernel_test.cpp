// GPU kernels that belong to no op (optimiser, random numbers, minibatches), and cases that the shapes of op_cases.h do
// not cover: unaligned tensors, tails, more rows than one block processes.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gpu_targets.h"
#include "tests/support/op_comparison.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr double kLimit = 1e-5, kBf16Limit = 1e-2;
using Values = std::vector<double>;

// A device with its own StepState.
class Machine {
 public:
  explicit Machine(const Target& target)
      : step_(Shape{static_cast<int64_t>(sizeof(StepState))}, DType::u8, target.device),
        ctx{.device = target.device, .kernels = target.kernels, .step = static_cast<StepState*>(step_.tensor().bytes)} {
  }

  void set(const StepState& state) { copy_from_host(step_.tensor(), &state); }
  StepState state() const {
    StepState state;
    copy_to_host(&state, step_.tensor());
    return state;
  }
  const KernelTable& kernels() const { return *ctx.kernels; }

 private:
  OwnedTensor step_;

 public:
  Context ctx;
};

Machine cpu() { return Machine({"cpu", Device::cpu, &cpu_reference_kernels()}); }

// A guarded tensor that starts `offset` elements after a multiple of 16 bytes.
class Placed {
 public:
  Placed(const Shape& shape, DType dtype, Device device, int64_t offset = 0)
      : memory_({shape.elements() + offset}, dtype, device) {
    tensor = memory_.tensor().slice(offset, shape.elements()).reshaped(shape);
  }
  Placed(const Values& values, DType dtype, Device device, int64_t offset = 0)
      : Placed(Shape{static_cast<int64_t>(values.size())}, dtype, device, offset) {
    from_host(tensor, values);
  }
  Values values() const {
    EXPECT_TRUE(memory_.intact()) << "written outside of the tensor";
    return to_host(tensor);
  }
  Tensor tensor;

 private:
  GuardedTensor memory_;
};

Values drawn(int64_t count, uint64_t index, Draw draw = Draw::uniform) {
  return drawn_values({{count}, draw}, "gpu_kernel_test", index);
}

Values rounded_to_bf16(Values values) {
  for (double& value : values) value = to_float(to_bf16(static_cast<float>(value)));
  return values;
}

class GpuKernelTest : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    if (!available(GetParam().device)) GTEST_SKIP() << "this machine has no CUDA device";
  }
  Device device() const { return GetParam().device; }
};

void expect_near(const Values& got, const Values& expected, double limit, const std::string& what) {
  const double error = relative_error(got, expected);
  EXPECT_FALSE(!(error <= limit)) << what << " is off by " << error << ", limit " << limit;
}

TEST_P(GpuKernelTest, TheTableHasNoHole) { EXPECT_EQ(missing_kernels(*GetParam().kernels), ""); }

TEST_P(GpuKernelTest, ElementwiseKernelsTakeAnyLengthAndAddress) {
  Machine gpu(GetParam());
  for (const int64_t n : {1, 3, 4, 7, 8, 31, 1023, 1025}) {
    for (const int64_t offset : {0, 1}) {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        SCOPED_TRACE(std::to_string(n) + " elements from " + std::to_string(offset) + ", " + name_of(dtype));
        const double limit = dtype == DType::bf16 ? kBf16Limit : kLimit;
        const Placed a(drawn(n, 0), dtype, device(), offset), b(drawn(n, 1), dtype, device());
        const Values x = a.values(), z = b.values();
        auto expect_each = [&](const Placed& got, const auto& f, const char* what) {
          Values expected;
          for (size_t i = 0; i < x.size(); ++i) expected.push_back(f(x[i], z[i]));
          expect_near(got.values(), expected, limit, what);
        };
        Placed y(Shape{n}, dtype, device(), offset);
        gpu.kernels().add(gpu.ctx, a.tensor, b.tensor, y.tensor);
        expect_each(
            y, [](double p, double q) { return p + q; }, "add");
        gpu.kernels().copy(gpu.ctx, a.tensor, y.tensor);
        EXPECT_EQ(y.values(), x);
        gpu.kernels().add(gpu.ctx, y.tensor, y.tensor, y.tensor);
        expect_each(
            y, [](double p, double) { return 2 * p; }, "add in place");
        gpu.kernels().fill(gpu.ctx, 1.5, y.tensor);
        EXPECT_EQ(y.values(), Values(x.size(), 1.5));
        gpu.kernels().leaky_relu_forward(gpu.ctx, 0.25f, a.tensor, y.tensor);
        expect_each(
            y, [](double p, double) { return p > 0 ? p : p / 4; }, "leaky_relu");
        gpu.kernels().leaky_relu_backward(gpu.ctx, 0.25f, a.tensor, b.tensor, y.tensor);
        expect_each(
            y, [](double p, double q) { return p > 0 ? q : q / 4; }, "gradient of leaky_relu");
        gpu.kernels().tanh_forward(gpu.ctx, a.tensor, y.tensor);
        expect_each(
            y, [](double p, double) { return std::tanh(p); }, "tanh");
        gpu.kernels().tanh_backward(gpu.ctx, a.tensor, b.tensor, y.tensor);
        expect_each(
            y, [](double p, double q) { return q * (1 - p * p); }, "gradient of tanh");
      }
    }
  }
}

TEST_P(GpuKernelTest, CopyMovesBytesOfAnyType) {
  Machine gpu(GetParam());
  for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::i32, DType::f64, DType::u64}) {
    for (const int64_t offset : {0, 1, 3}) {
      constexpr int64_t n = 101;
      std::vector<unsigned char> bytes(n * size_of(dtype)), got(bytes.size());
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(37 * i + 11);
      const Placed x(Shape{n}, dtype, device());
      Placed y(Shape{n}, dtype, device(), offset);
      copy_from_host(x.tensor, bytes.data());
      gpu.kernels().copy(gpu.ctx, x.tensor, y.tensor);
      copy_to_host(got.data(), y.tensor);
      EXPECT_EQ(got, bytes) << name_of(dtype) << " from " << offset;
    }
  }
}

// More rows than 256 chunks of 64 hold, a partial last chunk, and in bf16 rows that are not a whole number of vectors.
TEST_P(GpuKernelTest, BatchNormTakesManyRows) {
  constexpr int64_t rows = 17001, channels = 4;
  const BatchNormOptions options{.relu = true};
  const Values x = rounded_to_bf16(drawn(rows * channels, 0)), dy = rounded_to_bf16(drawn(rows * channels, 1));
  const Values gamma = drawn(channels, 2, Draw::positive), beta = drawn(channels, 3, Draw::small);
  auto run = [&](Machine machine, DType dtype, DType statistics) {
    const Device on = machine.ctx.device;
    const Placed x_t(x, dtype, on), dy_t(dy, dtype, on), gamma_t(gamma, statistics, on), beta_t(beta, statistics, on);
    const Shape c{channels}, all{rows, channels};
    Placed mean(c, statistics, on), inv_std(c, statistics, on), y(all, dtype, on), dx(all, dtype, on);
    Placed dgamma(c, statistics, on), dbeta(c, statistics, on), running(Values(channels, 0.5), statistics, on);
    Placed workspace(Shape{static_cast<int64_t>(batch_norm_workspace(rows, channels))}, DType::u8, on);
    const Tensor xm = x_t.tensor.reshaped(all), dym = dy_t.tensor.reshaped(all);
    machine.kernels().batch_norm_batch_statistics(
        machine.ctx, options, {.x = xm, .running_var = running.tensor, .mean = mean.tensor, .inv_std = inv_std.tensor},
        workspace.tensor);
    machine.kernels().batch_norm_normalise(machine.ctx,
                                           {.gamma = gamma_t.tensor,
                                            .beta = beta_t.tensor,
                                            .mean = mean.tensor,
                                            .inv_std = inv_std.tensor,
                                            .relu = options.relu},
                                           xm, y.tensor);
    machine.kernels().batch_norm_backward(machine.ctx, options, true,
                                          {.x = xm,
                                           .gamma = gamma_t.tensor,
                                           .beta = beta_t.tensor,
                                           .mean = mean.tensor,
                                           .inv_std = inv_std.tensor,
                                           .dy = dym,
                                           .dx = dx.tensor,
                                           .dgamma = dgamma.tensor,
                                           .dbeta = dbeta.tensor},
                                          workspace.tensor);
    return std::vector<Values>{mean.values(),   inv_std.values(), y.values(),      dx.values(),
                               dgamma.values(), dbeta.values(),   running.values()};
  };
  const std::vector<Values> expected = run(cpu(), DType::f64, DType::f64);
  const std::vector<Values> f32 = run(Machine(GetParam()), DType::f32, DType::f32);
  const std::vector<Values> narrow = run(Machine(GetParam()), DType::bf16, DType::f32);
  for (size_t i = 0; i < expected.size(); ++i) {
    expect_near(f32[i], expected[i], kLimit, "f32, result " + std::to_string(i));
    expect_near(narrow[i], expected[i], kBf16Limit, "bf16, result " + std::to_string(i));
  }
}

// The variance of numbers far from zero: a kernel that subtracts squares of 100 is off by a per mille.
TEST_P(GpuKernelTest, BatchNormKeepsTheVarianceOfNumbersFarFromZero) {
  constexpr int64_t rows = 300, channels = 5;
  Values x = drawn(rows * channels, 0);
  for (double& value : x) value = static_cast<float>(100 + value);
  auto inv_std_on = [&](Machine machine, DType dtype) {
    const Device on = machine.ctx.device;
    const Shape c{channels};
    const Placed x_t(x, dtype, on);
    Placed mean(c, dtype, on), inv_std(c, dtype, on);
    Placed workspace(Shape{static_cast<int64_t>(batch_norm_workspace(rows, channels))}, DType::u8, on);
    machine.kernels().batch_norm_batch_statistics(
        machine.ctx, {}, {.x = x_t.tensor.reshaped({rows, channels}), .mean = mean.tensor, .inv_std = inv_std.tensor},
        workspace.tensor);
    return inv_std.values();
  };
  expect_near(inv_std_on(Machine(GetParam()), DType::f32), inv_std_on(cpu(), DType::f64), kLimit, "inv_std");
}

StepState some_step() {
  StepState state{.seed = 0x123456789abcdef0, .step = 41, .d_batches = 7};
  state.clocks[0].learning_rate = 2e-4;
  state.clocks[1].learning_rate = 3e-4;
  return state;
}

// Two optimiser steps of either network, with and without the average and a mask, on aligned and unaligned memory.
TEST_P(GpuKernelTest, AdamFollowsTheCpu) {
  // The second of the two updates has half the rate where there is a decay; the first copies into the average.
  const UpdateSchedule scheduled{.decay_begin = 0, .decay_end = 2, .ema_start = 1};
  struct Variant {
    Network network;
    int64_t n, offset;
    bool ema;
    int64_t mask;  // its offset; negative: none
    UpdateSchedule schedule = {};
    int64_t weights_per_byte = 1;  // of the mask
  };
  std::vector<Variant> variants;
  for (const Network network : {Network::generator, Network::discriminator}) {
    for (const int64_t n : {5, 1027}) {
      for (const int64_t offset : {0, 1}) {
        for (const bool ema : {false, true}) {
          for (const int64_t mask : {-1, 0, 1}) variants.push_back({network, n, offset, ema, mask});
        }
      }
    }
  }
  variants.push_back({Network::generator, 1027, 0, true, -1, scheduled});
  variants.push_back({Network::discriminator, 5, 1, false, 0, scheduled});
  for (const int64_t weights : {2, 4, 8, 16}) variants.push_back({Network::generator, 1040, 0, true, 0, {}, weights});
  for (const auto& [network, n, offset, with_ema, mask_offset, schedule, weights_per_byte] : variants) {
    const AdamOptions options{.beta1 = 0.5, .beta2 = 0.9, .schedule = schedule};
    const bool with_mask = mask_offset >= 0;
    const Values coin = drawn(n, 9);
    std::vector<uint8_t> alive;
    for (int64_t i = 0; i < n / weights_per_byte; ++i) alive.push_back(coin[static_cast<size_t>(i)] > 0 ? 1 : 0);
    auto run = [&](Machine machine, DType dtype) {
      machine.set(some_step());
      const Device on = machine.ctx.device;
      Placed value(drawn(n, 0), dtype, on, offset), m(Values(n, 0), dtype, on), v(Values(n, 0), dtype, on);
      Placed ema(drawn(n, 1), dtype, on), mask(Shape{n / weights_per_byte}, DType::u8, on, with_mask ? mask_offset : 0);
      copy_from_host(mask.tensor, alive.data());
      Tensor none;
      for (uint64_t t = 0; t < 2; ++t) {
        const Placed grad(drawn(n, 2 + t), dtype, on);
        machine.kernels().begin_step(machine.ctx, network, options);
        machine.kernels().adam(machine.ctx, network, options, 0.9,
                               {.grad = grad.tensor,
                                .mask = with_mask ? mask.tensor : none,
                                .value = value.tensor,
                                .m = m.tensor,
                                .v = v.tensor,
                                .ema = with_ema ? ema.tensor : none});
      }
      const StepState s = machine.state();
      const OptimizerClock &g = s.clocks[0], &d = s.clocks[1];
      const Values state = {static_cast<double>(s.step),
                            static_cast<double>(g.t),
                            static_cast<double>(d.t),
                            g.beta1_power,
                            g.beta2_power,
                            d.beta1_power,
                            d.beta2_power};
      return std::vector<Values>{value.values(), m.values(), v.values(), ema.values(), state};
    };
    const std::vector<Values> expected = run(cpu(), DType::f64), got = run(Machine(GetParam()), DType::f32);
    for (size_t i = 0; i < 4; ++i) expect_near(got[i], expected[i], kLimit, "result " + std::to_string(i));
    EXPECT_EQ(got[4], expected[4]) << "the clocks are the same to the bit";
    for (size_t i = 0; i < got[0].size(); ++i) {
      EXPECT_EQ(got[0][i] == 0, with_mask && !alive[i / static_cast<size_t>(weights_per_byte)])
          << "dead weights, and no others, are zero: " << i;
    }
  }
}

TEST_P(GpuKernelTest, RandomNumbersAreThoseOfTheCpu) {
  for (const int64_t n : {1, 6, 4096, 4099}) {
    for (const int64_t offset : {0, 1}) {
      auto run = [&](Machine machine, DType dtype, RandomStream stream, int64_t first) {
        machine.set(some_step());
        Placed y(Shape{n}, dtype, machine.ctx.device, first);
        machine.kernels().random_normal(machine.ctx, stream, y.tensor);
        return y.values();
      };
      const Values expected = run(cpu(), DType::f64, RandomStream::latent_d, 0);
      expect_near(run(Machine(GetParam()), DType::f32, RandomStream::latent_d, offset), expected, kLimit, "f32");
      expect_near(run(Machine(GetParam()), DType::bf16, RandomStream::latent_d, offset), expected, kBf16Limit, "bf16");
      EXPECT_NE(run(Machine(GetParam()), DType::f32, RandomStream::latent_g, offset), expected);
    }
  }
}

TEST_P(GpuKernelTest, LabelsAreThoseOfTheCpu) {
  for (const int64_t n : {1, 6, 300}) {
    auto run = [&](Machine machine) {
      machine.set(some_step());
      OwnedTensor y(Shape{n}, DType::i32, machine.ctx.device);
      machine.kernels().random_labels(machine.ctx, RandomStream::label_g, 200, y.tensor());
      return values_of<int32_t>(y.tensor());
    };
    EXPECT_EQ(run(Machine(GetParam())), run(cpu()));
  }
}

// The same images, labels, flips and counter, bit for bit. With a ring of five minibatches, only the first 20 images.
TEST_P(GpuKernelTest, MinibatchesAreThoseOfTheCpu) {
  constexpr int64_t n = 23, batch = 4;
  const Shape image{5, 7, 3};
  for (const auto& [flip, ring] : {std::pair{false, 0}, {true, 0}, {true, 5}}) {
    auto run = [&, flip = flip, ring = ring](Machine machine, DType dtype) {
      machine.set(some_step());
      const Device on = machine.ctx.device;
      const Placed images(Shape{n, image[0], image[1], image[2]}, DType::u8, on);
      std::vector<uint8_t> bytes(static_cast<size_t>(images.tensor.elements()));
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
      copy_from_host(images.tensor, bytes.data());
      const OwnedTensor labels(Shape{n}, DType::i32, on), y_labels(Shape{batch}, DType::i32, on);
      std::vector<int32_t> classes(n);
      for (int64_t i = 0; i < n; ++i) classes[static_cast<size_t>(i)] = static_cast<int32_t>(i * i % 17);
      copy_from_host(labels.tensor(), classes.data());
      Values all;
      for (int i = 0; i < 7; ++i) {  // crosses an epoch
        Placed y(Shape{batch, image[0], image[1], image[2]}, dtype, on);
        Tensor batch_labels = y_labels.tensor();
        machine.kernels().gather_images(machine.ctx, {.batches_per_epoch = 5, .flip = flip, .ring = ring},
                                        images.tensor, labels.tensor(), y.tensor, batch_labels);
        Values values = y.values();
        for (const int32_t label : values_of<int32_t>(batch_labels)) values.push_back(label);
        all.insert(all.end(), values.begin(), values.end());
      }
      EXPECT_EQ(machine.state().d_batches, some_step().d_batches + 7);
      return all;
    };
    const Values expected = run(cpu(), DType::f32);
    EXPECT_EQ(run(Machine(GetParam()), DType::f32), expected);
    EXPECT_EQ(run(Machine(GetParam()), DType::bf16), rounded_to_bf16(expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuKernelTest, testing::ValuesIn(gpu_targets()),
                         [](const testing::TestParamInfo<Target>& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace poise
