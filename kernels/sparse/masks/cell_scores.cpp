#include "kernels/sparse/masks/cell_scores.h"

#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

template <class T>
double sum_of_squares(const CellGrid& grid, const T* first) {
  double sum = 0;
  for (int64_t row = 0; row < grid.cell_out; ++row) {
    for (int64_t tap = 0; tap < (grid.all_taps ? grid.taps : 1); ++tap) {
      const T* x = first + (row * grid.taps + tap) * grid.in;
      for (int64_t i = 0; i < grid.cell_in; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
  }
  return sum;
}

}  // namespace

void cell_scores(Context&, const CellGrid& grid, const Tensor& values, Tensor& scores) {
  dispatch_float(values.dtype, [&]<class T>() {
    const T* x = values.data<T>();
    float* out = scores.data<float>();
    if (grid.weights_per_cell() == 1) {
      simd_chunks(grid.cells(), kElementGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(std::abs(x[i]));
      });
      return;
    }
    const auto size = static_cast<double>(grid.weights_per_cell());
    parallel_for(grid.out_blocks(), [=](int64_t ob) {
      float* row = out + ob * grid.tap_blocks() * grid.in_blocks();
      for (int64_t tap = 0; tap < grid.tap_blocks(); ++tap) {
        const T* corner = x + (ob * grid.cell_out * grid.taps + tap) * grid.in;
        for (int64_t ib = 0; ib < grid.in_blocks(); ++ib) {
          *row++ = static_cast<float>(std::sqrt(sum_of_squares(grid, corner + ib * grid.cell_in) / size));
        }
      }
    });
  });
}

void random_scores(Context& ctx, RandomStream stream, Tensor& scores) {
  const uint64_t seed = ctx.step->seed, step = ctx.step->step;
  const int64_t count = scores.elements();
  float* out = scores.data<float>();
  parallel_chunks((count + 3) / 4, kElementGrain / 4, [=](int64_t begin, int64_t end) {
    for (int64_t counter = begin; counter < end; ++counter) {
      const Philox4 bits = philox4x32(seed, static_cast<uint64_t>(counter), static_cast<uint32_t>(stream), step);
      for (int64_t i = 0; i < std::min<int64_t>(4, count - 4 * counter); ++i) {
        out[4 * counter + i] = uniform_open(bits.x[i]);
      }
    }
  });
}

}  // namespace poise::cpu
