#include "kernels/sparse/mask.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {

void change_mask(Context&, MomentPolicy policy, const CellGrid& grid, const Tensor& alive, const Tensor& grad,
                 Tensor& mask, Tensor& value, Tensor& m, Tensor& v, Tensor& ema) {
  dispatch_float(value.dtype, [&]<class T>() {
    const uint8_t* cells = alive.data<uint8_t>();
    const T* g = grad.data<T>();
    uint8_t* bytes = mask.data<uint8_t>();
    T *w = value.data<T>(), *first = m.data<T>(), *second = v.data<T>(), *average = ema ? ema.data<T>() : nullptr;
    parallel_for(grid.out, [=](int64_t o) {
      const uint8_t* row = cells + o / grid.cell_out * grid.tap_blocks() * grid.in_blocks();
      for (int64_t tap = 0; tap < grid.taps; ++tap) {
        const uint8_t* of_tap = row + (grid.all_taps ? 0 : tap) * grid.in_blocks();
        for (int64_t i = 0; i < grid.in; ++i) {
          const int64_t at = (o * grid.taps + tap) * grid.in + i;
          const uint8_t lives = of_tap[i / grid.cell_in];
          if (!lives) {
            w[at] = 0;
            if (average) average[at] = 0;
          } else if (!bytes[at] && policy != MomentPolicy::keep) {
            first[at] = 0;
            second[at] = policy == MomentPolicy::seed ? g[at] * g[at] : 0;
          }
          bytes[at] = lives;
        }
      }
    });
  });
}

}  // namespace poise::cpu
