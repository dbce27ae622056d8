#include "kernels/sparse/weights/weight_terms.h"

#include <algorithm>

namespace poise {
namespace {

// Along one axis: through `tap`, output phase `out` reads input phase `in`, `offset` pixels away.
struct Window {
  int out, in, offset, tap;
};

struct Windows {
  static constexpr int kMost = 64;
  int count = 0;
  Window of[kMost];

  Windows(int64_t taps, int64_t stride, int64_t pad, int64_t upsample) {
    for (int64_t out = 0; out < upsample; ++out) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        // Output row p of this phase reads row (upsample * p + out) * stride + tap - pad of the input. An enlarged
        // input has zeros in all rows except those of phase 0.
        const int64_t at = out + tap - pad, unit = stride * upsample;
        const int64_t floor = at >= 0 ? at / unit : -((unit - 1 - at) / unit), in = at - floor * unit;
        if (upsample > 1 && in != 0) continue;
        of[count++] = {.out = static_cast<int>(out),
                       .in = static_cast<int>(in),
                       .offset = static_cast<int>(floor),
                       .tap = static_cast<int>(tap)};
      }
    }
  }
};

// Whether enlarging only repeats outputs.
bool repeats(const Conv2dGeometry& g) { return g.upsample == 2 && g.keeps_size(1); }

}  // namespace

WeightTerms::WeightTerms(const Conv2dGeometry& g) {
  const int64_t upsample = repeats(g) ? 1 : g.upsample;
  const int64_t down = g.stride_h * g.pool, right = g.stride_w * g.pool;
  const Windows rows(g.kh, down, g.pad_h, upsample), columns(g.kw, right, g.pad_w, upsample);
  for (int r = 0; r < rows.count; ++r) {
    for (int c = 0; c < columns.count; ++c) {
      const Window &row = rows.of[r], &column = columns.of[c];
      terms[count++] = {.out_phase = static_cast<int>(row.out * upsample) + column.out,
                        .in_phase = static_cast<int>(row.in * right) + column.in,
                        .dr = row.offset,
                        .dc = column.offset,
                        .r = row.tap,
                        .s = column.tap};
    }
  }
  x = {.h = g.h,
       .w = g.w,
       .channels = g.c_in,
       .scale_h = down,
       .scale_w = right,
       .phases = static_cast<int>(down * right),
       .windows = g.pool > 1,
       .share = 1.0f / static_cast<float>(g.pool * g.pool)};
  y = {.h = g.out_h(),
       .w = g.out_w(),
       .channels = g.c_out,
       .scale_h = g.upsample,
       .scale_w = g.upsample,
       .phases = static_cast<int>(upsample * upsample),
       .repeats = repeats(g),
       .windows = upsample > 1};
}

bool weights_conv2d_serves(const Conv2dGeometry& g) {
  if (!g.enlargement_allowed() || !g.pooling_allowed() || g.pools_input()) return false;
  if (g.kh < 1 || g.kw < 1 || g.stride_h < 1 || g.stride_w < 1) return false;
  if (g.kh > 16 || g.kw > 16 || g.stride_h > 8 || g.stride_w > 8) return false;
  const int64_t taps = g.kh * g.kw;
  return taps <= WeightTerms::kMost && taps * std::max(g.c_in, g.c_out) <= 65536;
}

}  // namespace poise
