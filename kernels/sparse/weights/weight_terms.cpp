#include "kernels/sparse/weights/weight_terms.h"

#include <algorithm>

namespace poise {
namespace {

// Along one axis: taps first..last of output phase `out` see input phase `in`, `offset` pixels away.
struct Window {
  int out, in, offset, first, last;
};

struct Windows {
  static constexpr int kMost = 64;
  int count = 0;
  Window of[kMost];

  Windows(int64_t taps, int64_t stride, int64_t pad, int64_t upsample) {
    for (int64_t out = 0; out < upsample; ++out) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        // Output row p of this phase looks at row (upsample * p + out) * stride + tap - pad of the enlarged input.
        const int64_t at = out + tap - pad, unit = stride * upsample;
        const int64_t floor = at >= 0 ? at / unit : -((unit - 1 - at) / unit);
        const Window window{.out = static_cast<int>(out),
                            .in = upsample > 1 ? 0 : static_cast<int>(at - floor * unit),
                            .offset = static_cast<int>(floor),
                            .first = static_cast<int>(tap),
                            .last = static_cast<int>(tap)};
        Window* last = count ? &of[count - 1] : nullptr;
        if (last && last->out == window.out && last->in == window.in && last->offset == window.offset) {
          last->last = window.last;
        } else {
          of[count++] = window;
        }
      }
    }
  }
};

// Where an enlargement is a repetition.
bool repeats(const Conv2dGeometry& g) { return g.upsample == 2 && g.keeps_size(1); }

}  // namespace

WeightTerms::WeightTerms(const Conv2dGeometry& g) {
  const int64_t upsample = repeats(g) ? 1 : g.upsample;
  const Windows rows(g.kh, g.stride_h, g.pad_h, upsample), columns(g.kw, g.stride_w, g.pad_w, upsample);
  for (int r = 0; r < rows.count; ++r) {
    for (int c = 0; c < columns.count; ++c) {
      const Window &row = rows.of[r], &column = columns.of[c];
      terms[count++] = {.out_phase = static_cast<int>(row.out * upsample) + column.out,
                        .in_phase = static_cast<int>(row.in * g.stride_w) + column.in,
                        .dr = row.offset,
                        .dc = column.offset,
                        .first_r = row.first,
                        .last_r = row.last,
                        .first_s = column.first,
                        .last_s = column.last};
    }
  }
  x = {.h = g.h,
       .w = g.w,
       .channels = g.c_in,
       .scale_h = g.stride_h,
       .scale_w = g.stride_w,
       .phases = static_cast<int>(g.stride_h * g.stride_w)};
  y = {.h = g.out_h(),
       .w = g.out_w(),
       .channels = g.c_out,
       .scale_h = g.upsample,
       .scale_w = g.upsample,
       .phases = static_cast<int>(upsample * upsample),
       .repeats = repeats(g)};
}

bool weights_conv2d_serves(const Conv2dGeometry& g) {
  if (!g.enlargement_allowed() || g.kh < 1 || g.kw < 1 || g.stride_h < 1 || g.stride_w < 1) return false;
  if (g.upsample * g.kh > 16 || g.upsample * g.kw > 16 || g.stride_h > 8 || g.stride_w > 8) return false;
  const bool one_tap = repeats(g) || g.upsample == 1;
  // Of an enlarged 3x3 convolution: two offsets per phase and axis.
  const int64_t terms = one_tap ? g.kh * g.kw : 16;
  return terms <= WeightTerms::kMost && terms * std::max(g.c_in, g.c_out) <= 65536;
}

}  // namespace poise
