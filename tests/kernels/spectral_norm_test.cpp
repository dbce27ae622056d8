// The spectral norm of a whole network in one kernel call gives the same results as layer by layer.
#include <gtest/gtest.h>

#include "engine/nn/init.h"
#include "engine/nn/layers.h"
#include "engine/optim/parameter_slab.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr LayerOptions kSpectral{.spectral_norm = true};

// Two layers with spectral norm, one of them inside a child, and one layer without.
struct Child : Module {
  explicit Child(Module& parent) : Module(parent, "child"), conv(*this, "conv", 2, 6, same_padding(3), kSpectral) {}
  Var operator()(Var x) {
    Scope scope(*x.tape, path());
    return tanh(conv(x));
  }
  Conv2d conv;
};

struct Network : Module {
  Network() : Module("D"), child(*this), plain(*this, "plain", 6, 4), head(*this, "head", 4, 1, kSpectral) {}
  Var operator()(Var x, bool together) {
    Scope scope(*x.tape, path());
    if (!together) return run(x);
    const NormalisedWeights normalised(*this, *x.tape);
    return run(x);
  }
  Child child;
  Linear plain, head;

 private:
  Var run(Var x) { return head(tanh(plain(sum_space(child(x))))); }
};

int kernel_calls;  // of the forward pass
void counting_forward(Context& ctx, bool iterate, std::span<const SpectralNormLayer> layers, Tensor& workspace) {
  ++kernel_calls;
  cpu::spectral_norm_forward(ctx, iterate, layers, workspace);
}

struct Result {
  std::vector<double> output, gradients, vectors;
  int calls;
};

// Several forward passes of one tape, and the gradient of their sum.
Result run(bool together, int passes, Mode mode = Mode::train, bool no_grad = false) {
  KernelTable kernels = cpu_reference_kernels();
  kernels.spectral_norm_forward = counting_forward;
  kernel_calls = 0;
  TestContext c(kernels);
  c.tape.mode = mode;
  Network network;
  ParameterSlab slab(network, DType::f64, Device::cpu, false);
  initialise(network, InitScheme::pytorch, 1);
  OwnedTensor x({3, 4, 4, 2}, DType::f64, Device::cpu);
  kernels.random_normal(c.ctx, RandomStream::test, x.tensor());

  Result result;
  const auto forward = [&] {
    Var y = network(c.tape.constant(x.tensor()), together);
    for (int i = 1; i < passes; ++i) y = add(y, network(c.tape.constant(x.tensor()), together));
    result.output = values_of<double>(y.value());
    return y;
  };
  if (no_grad) {
    const Tape::NoGrad none(c.tape);
    forward();
  } else {
    const Var y = forward();
    Tensor dy = c.tape.alloc(y.shape(), y.dtype());
    kernels.fill(c.ctx, 1.0, dy);
    c.tape.backward_from(y, dy);
  }
  result.gradients = values_of<double>(slab.grad);
  for (const auto& buffer : slab.buffers()) {
    const std::vector<double> values = values_of<double>(buffer.value);
    result.vectors.insert(result.vectors.end(), values.begin(), values.end());
  }
  result.calls = kernel_calls;
  return result;
}

TEST(SpectralNorm, OfAWholeNetworkIsThatOfItsLayers) {
  for (const Mode mode : {Mode::train, Mode::evaluate_batch}) {
    for (const int passes : {1, 2}) {  // the second pass of a step updates u and v again, and needs its own weights
      const Result together = run(true, passes, mode), alone = run(false, passes, mode);
      EXPECT_EQ(together.calls, passes);
      EXPECT_EQ(alone.calls, 2 * passes);
      EXPECT_EQ(together.output, alone.output);
      EXPECT_EQ(together.gradients, alone.gradients);
      EXPECT_EQ(together.vectors, alone.vectors);
    }
  }
  EXPECT_NE(run(true, 2).vectors, run(true, 1).vectors);
}

// Values are released when a layer returns, except for those of the network's own scope.
TEST(SpectralNorm, OfAWholeNetworkNeedsNoGradient) {
  EXPECT_EQ(run(true, 2, Mode::train, true).output, run(true, 2).output);
}

TEST(SpectralNorm, EndsWithTheNetworksForwardPass) {
  TestContext c(cpu_reference_kernels());
  Network network;
  ParameterSlab slab(network, DType::f64, Device::cpu, false);
  initialise(network, InitScheme::pytorch, 1);
  const Parameter& raw = network.head.weight.parameter;
  Var inside;
  {
    const NormalisedWeights normalised(network, c.tape);
    inside = network.head.weight(c.tape);
    EXPECT_EQ(network.head.weight(c.tape).id, inside.id);
    EXPECT_EQ(network.plain.weight(c.tape).value().bytes, network.plain.weight.parameter.value.bytes);
    EXPECT_NE(values_of<double>(inside.value()), values_of<double>(raw.value));
  }
  EXPECT_NE(network.head.weight(c.tape).id, inside.id);
}

}  // namespace
}  // namespace poise
