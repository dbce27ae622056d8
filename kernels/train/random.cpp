// Normal and uniform numbers on the CPU. Box-Muller in double, rounded at the end:
//   z_0 = sqrt(-2 ln u_0) cos(2 pi u_1),   z_1 = sqrt(-2 ln u_0) sin(2 pi u_1),   z_2 and z_3 the same from u_2 and u_3
#include "kernels/train/random.h"

#include <cmath>
#include <numbers>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise {
namespace {

struct Four {
  double x[4];
};

Four uniform_four(uint64_t seed, RandomStream stream, uint64_t step, int64_t counter) {
  const Philox4 bits = philox4x32(seed, static_cast<uint64_t>(counter), static_cast<uint32_t>(stream), step);
  Four u;
  for (int i = 0; i < 4; ++i) u.x[i] = static_cast<double>(uniform_open(bits.x[i]));
  return u;
}

Four normal_four(uint64_t seed, RandomStream stream, uint64_t step, int64_t counter) {
  const Four u = uniform_four(seed, stream, step, counter);
  Four z;
  for (int i = 0; i < 4; i += 2) {
    const double radius = std::sqrt(-2 * std::log(u.x[i])), angle = 2 * std::numbers::pi * u.x[i + 1];
    z.x[i] = radius * std::cos(angle);
    z.x[i + 1] = radius * std::sin(angle);
  }
  return z;
}

// Fills out[0 .. count) with draw(counter), which returns four numbers per counter.
template <class T, class Draw>
void draw_all(int64_t count, T* out, const Draw& draw) {
  constexpr int64_t kCounters = 256;  // per task
  parallel_chunks((count + 3) / 4, kCounters, [&](int64_t begin, int64_t end) {
    for (int64_t counter = begin; counter < end; ++counter) {
      const Four drawn = draw(counter);
      for (int64_t i = 0; i < std::min<int64_t>(4, count - 4 * counter); ++i) {
        out[4 * counter + i] = stored<T>(drawn.x[i]);
      }
    }
  });
}

}  // namespace

void normal_on_host(uint64_t seed, RandomStream stream, uint64_t step, int64_t count, double* out) {
  draw_all(count, out, [=](int64_t counter) { return normal_four(seed, stream, step, counter); });
}

void uniform_on_host(uint64_t seed, RandomStream stream, uint64_t step, int64_t count, double* out) {
  draw_all(count, out, [=](int64_t counter) { return uniform_four(seed, stream, step, counter); });
}

namespace cpu {

void random_normal(Context& ctx, RandomStream stream, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const uint64_t seed = ctx.step->seed, step = ctx.step->step;
    draw_all(y.elements(), y.data<T>(), [=](int64_t counter) { return normal_four(seed, stream, step, counter); });
  });
}

void random_labels(Context& ctx, RandomStream stream, int64_t classes, Tensor& y) {
  int32_t* out = y.data<int32_t>();
  const uint64_t seed = ctx.step->seed, step = ctx.step->step;
  for (int64_t i = 0; i < y.elements(); ++i) {
    const Philox4 bits = philox4x32(seed, static_cast<uint64_t>(i / 4), static_cast<uint32_t>(stream), step);
    out[i] = label_of(bits.x[i % 4], classes);
  }
}

}  // namespace cpu
}  // namespace poise
