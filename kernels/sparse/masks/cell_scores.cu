// Scores of cells. Single weights: one thread per 16 bytes, 8 bytes moved per weight. Larger cells: one thread per
// cell, because the order of its sum is fixed; neighbouring threads read neighbouring stretches of a row. A fused
// multiply-add changes nothing, because the sum is in double and the square of an f32 is exact there.
//
// G of SNGAN-32 (4.28 M weights): for single weights 34 MB, 8 us at 4.3 TB/s; with cells of 16x16 the longest layer has
// 2,304 threads that add 256 numbers one by one, about 10 us a layer. Predicted; not yet measured on a GPU.
#include "kernels/sparse/masks/cell_scores.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

template <int N>
__global__ void magnitudes_kernel(int64_t n, const float* x, float* scores) {
  map_elements<N>(
      n, [](float v) { return fabsf(v); }, scores, x);
}

__global__ void cell_norms_kernel(CellGrid grid, const float* x, float* scores) {
  const double size = static_cast<double>(grid.weights_per_cell());
  const int64_t taps_of_cell = grid.all_taps ? grid.taps : 1;
  for_each_element(grid.cells(), [&](int64_t cell) {
    const int64_t in = cell % grid.in_blocks(), rest = cell / grid.in_blocks();
    const int64_t tap = rest % grid.tap_blocks(), out = rest / grid.tap_blocks();
    const float* corner = x + (out * grid.cell_out * grid.taps + tap) * grid.in + in * grid.cell_in;
    double sum = 0;
    for (int64_t row = 0; row < grid.cell_out; ++row) {
      for (int64_t t = 0; t < taps_of_cell; ++t) {
        const float* from = corner + (row * grid.taps + t) * grid.in;
        for (int64_t i = 0; i < grid.cell_in; ++i) {
          const double value = static_cast<double>(from[i]);
          sum += value * value;
        }
      }
    }
    scores[cell] = static_cast<float>(sqrt(sum / size));
  });
}

// One thread per Philox counter, four scores.
__global__ void random_scores_kernel(RandomStream stream, const StepState* step, int64_t n, float* scores) {
  for_each_element(ceil_div<int64_t>(n, 4), [&](int64_t counter) {
    const Philox4 bits =
        philox4x32(step->seed, static_cast<uint64_t>(counter), static_cast<uint32_t>(stream), step->step);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (4 * counter + i < n) scores[4 * counter + i] = uniform_open(bits.x[i]);
    }
  });
}

}  // namespace

void cell_scores(Context& ctx, const CellGrid& grid, const Tensor& values, Tensor& scores) {
  const int64_t cells = grid.cells();
  const auto* x = values.data<float>();
  auto* out = scores.data<float>();
  if (grid.weights_per_cell() > 1) return launch(ctx, elementwise(cells), cell_norms_kernel, grid, x, out);
  dispatch_width<float>(0, {&values, &scores},
                        [&]<int N>() { launch(ctx, elementwise(cells / N), magnitudes_kernel<N>, cells, x, out); });
}

void random_scores(Context& ctx, RandomStream stream, Tensor& scores) {
  const int64_t n = scores.elements();
  launch(ctx, elementwise(ceil_div<int64_t>(n, 4)), random_scores_kernel, stream, ctx.step, n, scores.data<float>());
}

}  // namespace poise::POISE_GPU
