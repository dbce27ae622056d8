// A custom model and training loop on Poise's engine: a small GAN on 32x32 images.
//   train_own_model FOLDER [ITERATIONS]        FOLDER: CIFAR-10, or share/poise/cifar10_sample of an installation
#include <cstdio>
#include <cstdlib>

#include "data/cifar10.h"
#include "engine/nn/init.h"
#include "engine/nn/layers.h"
#include "engine/optim/parameter_slab.h"

using namespace poise;
constexpr int64_t kBatch = 8, kLatent = 32, kWidth = 16;

struct Generator : Module {
  Linear first{*this, "first", kLatent, 16 * 16 * kWidth};
  BatchNorm2d norm{*this, "norm", kWidth};
  Conv2d last{*this, "last", kWidth, 3, upsampled(same_padding(3))};

  Generator() : Module("G") {}
  Var operator()(Var z) { return tanh(last(relu(norm(reshape(first(z), {z.shape()[0], 16, 16, kWidth}))))); }
};

struct Discriminator : Module {
  Conv2d first{*this, "first", 3, kWidth, {.kh = 4, .kw = 4, .stride_h = 4, .stride_w = 4}};
  Linear last{*this, "last", 8 * 8 * kWidth, 1};

  Discriminator() : Module("D") {}
  Var operator()(Var x) { return last(reshape(leaky_relu(first(x), 0.2f), {x.shape()[0], 8 * 8 * kWidth})); }
};

int main(int argc, char** argv) {
  const ImageSet images = read_cifar10(argc > 1 ? argv[1] : ".", CifarSplit::train);
  OwnedTensor pixels({images.count, 32, 32, 3}, DType::u8, Device::cpu), means({2}, DType::f32, Device::cpu);
  copy_from_host(pixels.tensor(), images.pixels.data());
  Generator g;
  Discriminator d;
  ParameterSlab slab_g(g, DType::f32, Device::cpu, false), slab_d(d, DType::f32, Device::cpu, false);
  initialise(g, InitScheme::xavier, 1), initialise(d, InitScheme::xavier, 1);
  StepState state{.seed = 1};
  state.clocks[0].learning_rate = state.clocks[1].learning_rate = 1e-3;
  Arena arena(size_t{64} << 20, Device::cpu);
  Context ctx{.kernels = &cpu_kernels(), .arena = &arena, .step = &state};
  Tape tape(ctx);

  const auto step = [&](Network network, ParameterSlab& slab, const auto& loss_of) {
    tape.reset(), arena.reset();
    ctx.kernels->begin_step(ctx, network, {});
    Tensor z = tape.alloc({kBatch, kLatent}, DType::f32);
    ctx.kernels->random_normal(ctx, RandomStream::latent_g, z);
    const Var loss = loss_of(g(tape.constant(z)));
    const float value = loss.value().data<float>()[0];
    tape.backward(loss);
    ctx.kernels->adam(ctx, network, {}, 0, {slab.grad, {}, slab.value, slab.adam_m, slab.adam_v, {}});
    return value;
  };
  for (int i = 1, n = argc > 2 ? std::atoi(argv[2]) : 100; i <= n; ++i) {
    d.set_requires_grad(true);
    const float loss_d = step(Network::discriminator, slab_d, [&](Var fake) {
      Tensor real = tape.alloc({kBatch, 32, 32, 3}, DType::f32), none;
      ctx.kernels->gather_images(ctx, {.batches_per_epoch = images.count / kBatch}, pixels.tensor(), {}, real, none);
      return gan_loss_d(d(concat_batch(tape.constant(real), detach(fake))), kBatch, GanLoss::hinge, means.tensor());
    });
    d.set_requires_grad(false);
    const float loss_g =
        step(Network::generator, slab_g, [&](Var fake) { return gan_loss_g(d(fake), GanLoss::hinge); });
    if (i % 10 == 0) std::printf("iteration %d  loss_d %.4f  loss_g %.4f\n", i, loss_d, loss_g);
  }
}
