#include "kernels/sparse/masks/mask.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {

void change_mask(Context&, MomentPolicy policy, const CellGrid& grid, const MaskOperands& o) {
  dispatch_float(o.value.dtype, [&]<class T>() {
    const uint8_t* cells = o.alive.data<uint8_t>();
    const T* g = o.grad.data<T>();
    uint8_t* bytes = o.mask.data<uint8_t>();
    const int64_t run = run_of(o.mask, o.value);
    T *w = o.value.data<T>(), *first = o.m.data<T>(), *second = o.v.data<T>();
    T* average = o.ema ? o.ema.data<T>() : nullptr;
    const auto die = [=](int64_t begin) {
      std::fill_n(w + begin, run, T{0});
      if (average) std::fill_n(average + begin, run, T{0});
    };
    const auto come_alive = [=](int64_t begin) {
      for (int64_t at = begin; at < begin + run; ++at) {
        first[at] = 0;
        second[at] = policy == MomentPolicy::seed ? g[at] * g[at] : 0;
      }
    };
    parallel_for(grid.out, [=](int64_t out) {
      const uint8_t* row = cells + out / grid.cell_out * grid.tap_blocks() * grid.in_blocks();
      for (int64_t tap = 0; tap < grid.taps; ++tap) {
        const uint8_t* of_tap = row + (grid.all_taps ? 0 : tap) * grid.in_blocks();
        for (int64_t i = 0; i < grid.in; i += run) {
          const int64_t at = (out * grid.taps + tap) * grid.in + i;
          const uint8_t lives = of_tap[i / grid.cell_in];
          uint8_t& lived = bytes[at / run];
          if (!lives) die(at);
          if (lives && !lived && policy != MomentPolicy::keep) come_alive(at);
          lived = lives;
        }
      }
    });
  });
}

}  // namespace poise::cpu
