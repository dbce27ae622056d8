// Moves pixels from a tensor into lanes and back (BringJob and ReturnJob in weight_tiles.h), transposed in registers.
// Part of weight_tiles_body.h.
#include "kernels/sparse/weights/lane_vectors.h"

namespace poise::cpu {
namespace {

// Usually all lanes are present, and checking each of them would take longer than the rest.
template <bool kAll>
[[gnu::always_inline]] static inline bool has_lane(uint32_t present, int64_t lane) {
  return kAll || (present >> lane & 1);
}

enum class Bring : uint8_t { plain, scaled, normalised };

template <class Number>
[[gnu::always_inline]] static inline Number at_least(Number value, Number floor) {
  return value < floor ? floor : value;  // in this order NaN stays NaN
}

template <int kVector, int kCount, Bring kBring, bool kAll>
[[gnu::always_inline]] static inline void bring_pixel(const BringJob& job, const float* tensor, float* planes) {
  using R = Vectors<kVector>;
  static_assert(kBring != Bring::normalised || kCount == 1);
  typename R::V v[kVector], scale, mean, beta;
  const auto floor = job.norm.floor - typename R::V{};
  int64_t c = 0;
  for (; c + kVector <= job.channels; c += kVector) {
    if constexpr (kBring == Bring::normalised) {
      scale = R::load(job.norm.gamma + c) * R::load(job.norm.inv_std + c);
      mean = R::load(job.norm.mean + c), beta = R::load(job.norm.beta + c);
    }
    for (int first = 0; first < kImages; first += kVector) {
#pragma GCC unroll 16
      for (int n = 0; n < kVector; ++n) {
        const float* lane = tensor + job.lanes[first + n] + c;
        v[n] = has_lane<kAll>(job.present[0], first + n) ? R::load(lane + job.at[0]) : typename R::V{};
#pragma GCC unroll 4
        for (int k = 1; k < kCount; ++k) {
          if (has_lane<kAll>(job.present[k], first + n)) v[n] += R::load(lane + job.at[k]);
        }
        // Sixteen streams, often a power of two apart, are more than the hardware prefetcher follows.
        __builtin_prefetch(lane + job.at[kCount - 1] + job.step);
        if constexpr (kBring == Bring::scaled) v[n] *= job.share;
        if constexpr (kBring == Bring::normalised) {
          if (has_lane<kAll>(job.present[0], first + n)) v[n] = at_least(normalised(v[n], mean, scale, beta), floor);
        }
      }
      R::transpose(v);
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i) R::store(planes + (c + i) * job.plane + first, v[i]);
    }
  }
  for (; c < job.channels; ++c) {
    for (int64_t n = 0; n < kImages; ++n) {
      float sum = 0;
      const float* lane = tensor + job.lanes[n] + c;
      for (int k = 0; k < kCount; ++k) sum += has_lane<kAll>(job.present[k], n) ? lane[job.at[k]] : 0.0f;
      if constexpr (kBring == Bring::normalised) {
        const ChannelNorm& of = job.norm;
        const bool present = has_lane<kAll>(job.present[0], n);
        const float value = normalised(sum, of.mean[c], of.gamma[c] * of.inv_std[c], of.beta[c]);
        planes[c * job.plane + n] = present ? at_least(value, of.floor) : 0.0f;
      } else {
        planes[c * job.plane + n] = job.share * sum;
      }
    }
  }
}

template <int kVector, int kCount, Bring kBring, bool kAll>
void bring_sums(const BringJob& job, const float* tensor, float* planes) {
  for (int64_t i = 0; i < job.pixels; ++i) {
    bring_pixel<kVector, kCount, kBring, kAll>(job, tensor + i * job.step, planes + i * kImages);
  }
}

template <int kVector>
void bring_images(const BringJob& job, const float* tensor, float* planes) {
  uint32_t present = kAllLanes;
  for (int k = 0; k < job.count; ++k) present &= job.present[k];
  const auto bring = [&]<bool kAll>() {
    if (job.norm) return bring_sums<kVector, 1, Bring::normalised, kAll>(job, tensor, planes);
    if (job.count == 1 && job.share == 1) return bring_sums<kVector, 1, Bring::plain, kAll>(job, tensor, planes);
    if (job.count == 1) return bring_sums<kVector, 1, Bring::scaled, kAll>(job, tensor, planes);
    if (job.count == 2) return bring_sums<kVector, 2, Bring::scaled, kAll>(job, tensor, planes);
    bring_sums<kVector, 4, Bring::scaled, kAll>(job, tensor, planes);
  };
  if (present == kAllLanes) return bring.template operator()<true>();
  bring.template operator()<false>();
}

// Adds in pairs, so that rounding errors do not accumulate.
template <int kCount, class V>
[[gnu::always_inline]] static inline V sum_of(const V* v) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    return sum_of<kCount / 2>(v) + sum_of<kCount / 2>(v + kCount / 2);
  }
}

// Adds lanes first..first+kVector-1 of channels c..c+kVector-1. `begins`: nothing has been added to these channels yet;
// stays true if none of these lanes is present.
template <int kVector, bool kAll>
[[gnu::always_inline]] static inline void add_to_moments(const ReturnJob& job, int64_t c, int first,
                                                         const typename Vectors<kVector>::V* v, bool& begins) {
  using R = Vectors<kVector>;
  const MomentSums& sums = *job.moments;
  typename R::V centre = {}, deviation = {}, square = {};
  typename R::V d[kVector];
  if (begins) {
    const uint32_t lanes = job.present >> first & ((1u << kVector) - 1);
    if (lanes == 0) return;
#pragma GCC unroll 16
    for (int n = 0; n < kVector; ++n) d[n] = has_lane<kAll>(lanes, n) ? v[n] : typename R::V{};
    centre = sum_of<kVector>(d) * (1.0f / static_cast<float>(__builtin_popcount(lanes)));
    R::store(sums.centre + c, centre);
    begins = false;
  } else {
    centre = R::load(sums.centre + c);
    deviation = R::load(sums.deviation + c), square = R::load(sums.square + c);
  }
#pragma GCC unroll 16
  for (int n = 0; n < kVector; ++n) d[n] = has_lane<kAll>(job.present, first + n) ? v[n] - centre : typename R::V{};
  deviation += sum_of<kVector>(d);
#pragma GCC unroll 16
  for (int n = 0; n < kVector; ++n) d[n] *= d[n];
  square += sum_of<kVector>(d);
  R::store(sums.deviation + c, deviation);
  R::store(sums.square + c, square);
}
[[gnu::always_inline]] static inline void add_to_moments(const ReturnJob& job, int64_t c, float value, bool& begins) {
  const MomentSums& sums = *job.moments;
  if (begins) sums.centre[c] = value, sums.deviation[c] = sums.square[c] = 0;
  begins = false;
  const float d = value - sums.centre[c];
  sums.deviation[c] += d;
  sums.square[c] += d * d;
}

// x: the pixel's address at lane offset 0 and channel 0.
template <int kVector, bool kAll>
[[gnu::always_inline]] static inline void add_to_gradients(const ReturnJob& job, int64_t c, int first, const float* x,
                                                           const typename Vectors<kVector>::V* v) {
  using R = Vectors<kVector>;
  using V = typename R::V;
  const ChannelNorm& norm = job.norm;
  const V scale = R::load(norm.gamma + c) * R::load(norm.inv_std + c), mean = R::load(norm.mean + c);
  const V beta = R::load(norm.beta + c), floor = norm.floor - V{};
  V gradients[kVector / 4], products[kVector / 4];
#pragma GCC unroll 4
  for (int n = 0; n < kVector; n += 4) {
    V gradient[4] = {}, product[4] = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (!has_lane<kAll>(job.present, first + n + i)) continue;
      const float* from = x + job.lanes[first + n + i] + c;
      const V value = R::load(from);
      __builtin_prefetch(from + job.step);  // for the same reason as in bring_pixel
      gradient[i] = normalised(value, mean, scale, beta) <= floor ? V{} : v[n + i];
      product[i] = gradient[i] * (value - mean);
    }
    gradients[n / 4] = sum_of<4>(gradient), products[n / 4] = sum_of<4>(product);
  }
  R::store(job.gradients->gradient + c, R::load(job.gradients->gradient + c) + sum_of<kVector / 4>(gradients));
  R::store(job.gradients->product + c, R::load(job.gradients->product + c) + sum_of<kVector / 4>(products));
}
[[gnu::always_inline]] static inline void add_to_gradients(const ReturnJob& job, int64_t c, float x, float dx) {
  const ChannelNorm& norm = job.norm;
  if (normalised(x, norm.mean[c], norm.gamma[c] * norm.inv_std[c], norm.beta[c]) <= norm.floor) return;
  job.gradients->gradient[c] += dx;
  job.gradients->product[c] += dx * (x - norm.mean[c]);
}

template <int kVector, int kCount, Finish kFinish, bool kAll>
[[gnu::always_inline]] static inline void return_pixel(const ReturnJob& job, int64_t pixel, float* tensor) {
  const float* from[kCount];
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) from[k] = job.from[k] + pixel * kImages;
  tensor += job.at + pixel * job.step;
  const float* const x = job.gradients ? job.x + job.at + pixel * job.step : nullptr;
  using R = Vectors<kVector>;
  typename R::V v[kVector];
  const bool is_first = job.moments && job.moments->rows == 0;
  int64_t c = 0;
  for (; c + kVector <= job.channels; c += kVector) {
    bool begins = is_first;
    for (int first = 0; first < kImages; first += kVector) {
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i) {
        v[i] = R::load(from[0] + (c + i) * job.plane[0] + first);
#pragma GCC unroll 4
        for (int k = 1; k < kCount; ++k) v[i] += R::load(from[k] + (c + i) * job.plane[k] + first);
        v[i] *= job.share;
      }
      R::transpose(v);
#pragma GCC unroll 16
      for (int n = 0; n < kVector; ++n) {
        if (!has_lane<kAll>(job.present, first + n)) continue;
        float* to = tensor + job.lanes[first + n] + c;
        v[n] = finished<kFinish>(v[n], R::load(to));
        R::store(to, v[n]);
      }
      if (job.moments) add_to_moments<kVector, kAll>(job, c, first, v, begins);
      if (job.gradients) add_to_gradients<kVector, kAll>(job, c, first, x, v);
    }
  }
  for (; c < job.channels; ++c) {
    bool begins = is_first;
    for (int64_t n = 0; n < kImages; ++n) {
      if (!has_lane<kAll>(job.present, n)) continue;
      float sum = from[0][c * job.plane[0] + n];
      for (int k = 1; k < kCount; ++k) sum += from[k][c * job.plane[k] + n];
      float& to = tensor[job.lanes[n] + c];
      to = finished<kFinish>(job.share * sum, to);
      if (job.moments) add_to_moments(job, c, to, begins);
      if (job.gradients) add_to_gradients(job, c, x[job.lanes[n] + c], to);
    }
  }
  if (job.moments) job.moments->rows += __builtin_popcount(job.present);
}

template <int kVector, int kCount, Finish kFinish, bool kAll>
void return_sums(const ReturnJob& job, float* tensor) {
  for (int64_t i = 0; i < job.pixels; ++i) return_pixel<kVector, kCount, kFinish, kAll>(job, i, tensor);
}

template <int kVector>
void return_images(const ReturnJob& job, float* tensor) {
  dispatch_finish(job.finish, [&]<Finish kFinish>() {
    const auto give_back = [&]<bool kAll>() {
      if (job.count == 1) return return_sums<kVector, 1, kFinish, kAll>(job, tensor);
      return_sums<kVector, 4, kFinish, kAll>(job, tensor);
    };
    if (job.present == kAllLanes) return give_back.template operator()<true>();
    give_back.template operator()<false>();
  });
}

}  // namespace
}  // namespace poise::cpu
