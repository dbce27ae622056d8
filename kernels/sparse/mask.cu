// A new choice of cells, carried into a layer: one thread per weight. At most 26 bytes per weight: two bytes read, one
// written, and of value, average, moments and gradient what the table in mask.h says. G of SNGAN-32 (4.28 M weights)
// less than 111 MB, 26 us at 4.3 TB/s. Predicted; not yet measured on a GPU.
#include "kernels/sparse/mask.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {
namespace {

// CellGrid in the widths that a GPU divides by quickly.
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

__global__ void change_mask_kernel(MomentPolicy policy, Layout layout, int64_t weights, const uint8_t* alive,
                                   LayerState layer) {
  for_each_element(weights, [&](int64_t i) {
    const uint8_t lives = alive[layout.cell_of(static_cast<uint32_t>(i))];
    if (!lives) {
      layer.value[i] = 0;
      if (layer.ema) layer.ema[i] = 0;
    } else if (!layer.mask[i] && policy != MomentPolicy::keep) {
      layer.m[i] = 0;
      layer.v[i] = policy == MomentPolicy::seed ? layer.grad[i] * layer.grad[i] : 0;
    }
    layer.mask[i] = lives;
  });
}

void change_mask(Context& ctx, MomentPolicy policy, const CellGrid& grid, const Tensor& alive, const Tensor& grad,
                 Tensor& mask, Tensor& value, Tensor& m, Tensor& v, Tensor& ema) {
  require(grid.weights() < int64_t{1} << 32, "a layer has less than 2^32 weights");
  const auto narrow = [](int64_t extent) { return static_cast<uint32_t>(extent); };
  const Layout layout{.in = narrow(grid.in),
                      .taps = narrow(grid.taps),
                      .cell_out = narrow(grid.cell_out),
                      .cell_in = narrow(grid.cell_in),
                      .tap_blocks = narrow(grid.tap_blocks()),
                      .in_blocks = narrow(grid.in_blocks())};
  const LayerState layer{.grad = grad.data<float>(),
                         .mask = mask.data<uint8_t>(),
                         .value = value.data<float>(),
                         .m = m.data<float>(),
                         .v = v.data<float>(),
                         .ema = ema ? ema.data<float>() : nullptr};
  launch(ctx, elementwise(grid.weights()), change_mask_kernel, policy, layout, grid.weights(), alive.data<uint8_t>(),
         layer);
}

}  // namespace

void add_mask_kernels(KernelTable& table) { table.change_mask = change_mask; }

}  // namespace poise::POISE_GPU
