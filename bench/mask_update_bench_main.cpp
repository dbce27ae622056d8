// The cost of mask updates relative to training: SNGAN-32 at full width, unstructured and in blocks. Prints
// milliseconds per drop-and-grow update of each network and per training iteration (one eighth of the paper's batch),
// and the updates' share of the time at the paper's intervals.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "apps/training/trainer.h"
#include "engine/metrics/quantile.h"

using namespace poise;

namespace {

constexpr int kRounds = 5;
constexpr int64_t kBatchD = 8, kBatchG = 16, kEveryG = 500, kEveryD = 1000;

double median_ms(const std::function<void()>& f) {
  std::vector<double> ms;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return quantile(ms, 0.5);
}

double update_ms(Module& network, const Cell& cell) {
  Arena arena(size_t{1} << 25, Device::cpu);
  StepState step;
  Context ctx{.kernels = &cpu_kernels(), .arena = &arena, .step = &step};
  ParameterSlab slab(network, DType::f32, Device::cpu, true);
  initialise(network, InitScheme::pytorch, 1);
  ctx.kernels->random_normal(ctx, RandomStream::test, slab.grad);
  NetworkMasks masks(network, slab, cell, MaskableHead::dense, Device::cpu);
  masks.draw(ctx, RandomStream::mask_g, layer_densities(maskable_layers(network), DensityRule::erk, 0.3, cell));
  const int64_t target = masks.alive_weights();
  return median_ms([&] {
    arena.reset();
    drop_and_grow(ctx, masks, {}, 0.3, target);
  });
}

double iteration_ms() {
  ImageSet images{.name = "noise", .count = 1000, .height = 32, .width = 32, .channels = 3};
  images.pixels.resize(static_cast<size_t>(images.count * 32 * 32 * 3), 100);
  TrainerOptions options;
  options.train.device = Device::cpu;
  options.train.batch_size_d = kBatchD;
  options.train.batch_size_g = kBatchG;
  Trainer trainer(options, images);
  trainer.iterate();
  return median_ms([&] { trainer.iterate(); });
}

}  // namespace

int main() {
  const double iteration = iteration_ms();
  fmt::print("one iteration, B_D {}, B_G {}: {:.0f} ms\n", kBatchD, kBatchG, iteration);
  for (const char* text : {"1x1", "16x16", "16x16-all-taps"}) {
    const GanModel model = make_model({});
    const Cell cell = *cell_of(text);
    const double g = update_ms(*model.generator, cell), d = update_ms(*model.discriminator, cell);
    const double per_iteration = g / static_cast<double>(kEveryG) + d / static_cast<double>(kEveryD);
    fmt::print("cell {:<15} G {:7.2f} ms every {}, D {:7.2f} ms every {}: {:.4f}% of training\n", text, g, kEveryG, d,
               kEveryD, 100 * per_iteration / iteration);
  }
  return 0;
}
