// A model and a training loop of one's own on Poise's engine: a small GAN on 32x32 images.
//   train_own_model FOLDER [ITERATIONS]        FOLDER: of CIFAR-10, or share/poise/cifar10_sample of an installation
#include <cstdio>
#include <cstdlib>

#include "data/cifar10.h"
#include "engine/nn/init.h"
#include "engine/nn/layers.h"
#include "engine/optim/parameter_slab.h"

using namespace poise;

constexpr int64_t kBatch = 8, kLatent = 32, kWidth = 16;

struct Generator : Module {
  Linear first{*this, "first", kLatent, 8 * 8 * kWidth};
  BatchNorm2d norm{*this, "norm", kWidth};
  Conv2d middle{*this, "middle", kWidth, kWidth, upsampled(same_padding(3))};
  Conv2d last{*this, "last", kWidth, 3, upsampled(same_padding(3))};

  Generator() : Module("G") {}
  Var operator()(Var z) {
    Var x = relu(norm(reshape(first(z), {z.shape()[0], 8, 8, kWidth})));
    return tanh(last(relu(middle(x))));  // [N,32,32,3]
  }
};

struct Discriminator : Module {
  Conv2d first{*this, "first", 3, kWidth, {.kh = 4, .kw = 4, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}};
  Conv2d second{
      *this, "second", kWidth, kWidth, {.kh = 4, .kw = 4, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}};
  Linear last{*this, "last", kWidth, 1};

  Discriminator() : Module("D") {}
  Var operator()(Var x) { return last(mean_space(leaky_relu(second(leaky_relu(first(x), 0.2f)), 0.2f))); }
};

int main(int argc, char** argv) try {
  const ImageSet images = read_cifar10(argc > 1 ? argv[1] : ".", CifarSplit::train);
  OwnedTensor pixels({images.count, 32, 32, 3}, DType::u8, Device::cpu);
  copy_from_host(pixels.tensor(), images.pixels.data());

  Generator g;
  Discriminator d;
  ParameterSlab slab_g(g, DType::f32, Device::cpu, false), slab_d(d, DType::f32, Device::cpu, false);
  initialise(g, InitScheme::xavier, 1);
  initialise(d, InitScheme::xavier, 1);
  StepState state{.seed = 1};
  state.clocks[0].learning_rate = state.clocks[1].learning_rate = 1e-3;
  Arena arena(size_t{64} << 20, Device::cpu);
  Context ctx{.kernels = &cpu_kernels(), .arena = &arena, .step = &state};
  Tape tape(ctx);

  // One update of `network`, by the loss that `loss` records.
  const auto step = [&](Network network, ParameterSlab& slab, const auto& loss) {
    tape.reset();
    arena.reset();
    ctx.kernels->begin_step(ctx, network, {});
    slab.zero_grad(ctx);
    Tensor z = tape.alloc({kBatch, kLatent}, DType::f32);
    ctx.kernels->random_normal(ctx, RandomStream::latent_g, z);
    Var value = loss(g(tape.constant(z)));
    const float result = value.value().data<float>()[0];
    tape.backward(value);
    ctx.kernels->adam(ctx, network, {}, 0,
                      {.grad = slab.grad, .value = slab.value, .m = slab.adam_m, .v = slab.adam_v});
    return result;
  };
  OwnedTensor means({2}, DType::f32, Device::cpu);
  const GatherOptions gather{.batches_per_epoch = images.count / kBatch};
  for (int i = 1, n = argc > 2 ? std::atoi(argv[2]) : 100; i <= n; ++i) {
    d.set_requires_grad(true);
    const float loss_d = step(Network::discriminator, slab_d, [&](Var fake) {
      Tensor real = tape.alloc({kBatch, 32, 32, 3}, DType::f32), none;
      ctx.kernels->gather_images(ctx, gather, pixels.tensor(), {}, real, none);
      return gan_loss_d(d(concat_batch(tape.constant(real), detach(fake))), kBatch, GanLoss::hinge, means.tensor());
    });
    d.set_requires_grad(false);
    const float loss_g =
        step(Network::generator, slab_g, [&](Var fake) { return gan_loss_g(d(fake), GanLoss::hinge); });
    if (i % 10 == 0 || i == n) std::printf("iteration %d  loss_d %.4f  loss_g %.4f\n", i, loss_d, loss_g);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "train_own_model: error: %s\n", error.what());
  return 1;
}
