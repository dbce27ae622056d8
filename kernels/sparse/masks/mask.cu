// Applies a new choice of cells to a layer, one thread per run of weights. Of value, average, moments and gradient it
// touches only what the table in mask.h says: 12 bytes per weight that comes alive and 8 per dead one, a cache line per
// thread where cells have rows of 16. G of SNGAN-32 (4.28 M weights): less than 52 MB, 12 us at 4.3 TB/s. Predicted;
// not yet measured on a GPU.
#include "kernels/sparse/masks/mask.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

// CellGrid in 32-bit integers, by which a GPU divides quickly.
struct Layout {
  uint32_t in, taps, cell_out, cell_in, tap_blocks, in_blocks;

  __device__ uint32_t cell_of(uint32_t weight) const {
    const uint32_t i = weight % in, row = weight / in, tap = row % taps, out = row / taps;
    return (out / cell_out * tap_blocks + (tap_blocks == 1 ? 0 : tap)) * in_blocks + i / cell_in;
  }
};

struct LayerState {
  const float* grad;
  uint8_t* mask;
  float *value, *m, *v, *ema;  // ema may be null
};

__global__ void change_mask_kernel(MomentPolicy policy, Layout layout, int64_t runs, int64_t run, const uint8_t* alive,
                                   LayerState layer) {
  for_each_element(runs, [&](int64_t r) {
    const int64_t begin = r * run, end = begin + run;
    const uint8_t lives = alive[layout.cell_of(static_cast<uint32_t>(begin))];
    if (!lives) {
      for (int64_t i = begin; i < end; ++i) {
        layer.value[i] = 0;
        if (layer.ema) layer.ema[i] = 0;
      }
    } else if (!layer.mask[r] && policy != MomentPolicy::keep) {
      for (int64_t i = begin; i < end; ++i) {
        layer.m[i] = 0;
        layer.v[i] = policy == MomentPolicy::seed ? layer.grad[i] * layer.grad[i] : 0;
      }
    }
    layer.mask[r] = lives;
  });
}

}  // namespace

void change_mask(Context& ctx, MomentPolicy policy, const CellGrid& grid, const MaskOperands& o) {
  require(grid.weights() < int64_t{1} << 32, "a layer has fewer than 2^32 weights");
  const auto narrow = [](int64_t extent) { return static_cast<uint32_t>(extent); };
  const Layout layout{.in = narrow(grid.in),
                      .taps = narrow(grid.taps),
                      .cell_out = narrow(grid.cell_out),
                      .cell_in = narrow(grid.cell_in),
                      .tap_blocks = narrow(grid.tap_blocks()),
                      .in_blocks = narrow(grid.in_blocks())};
  const LayerState layer{.grad = o.grad.data<float>(),
                         .mask = o.mask.data<uint8_t>(),
                         .value = o.value.data<float>(),
                         .m = o.m.data<float>(),
                         .v = o.v.data<float>(),
                         .ema = o.ema ? o.ema.data<float>() : nullptr};
  const int64_t runs = o.mask.elements();
  launch(ctx, elementwise(runs), change_mask_kernel, policy, layout, runs, run_of(o.mask, o.value),
         o.alive.data<uint8_t>(), layer);
}

}  // namespace poise::POISE_GPU
