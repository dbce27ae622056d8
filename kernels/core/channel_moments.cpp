#include "kernels/core/channel_moments.h"

#include "kernels/core/simd.h"

namespace poise::cpu {

void MomentParts::combine(int64_t first, int64_t channels_now, double* mean, double* m2) const {
  const auto for_each_part = [&](const auto& f) {
    for (int64_t part = 0; part < count; ++part) {
      const int64_t n = rows_of ? rows_of[part] : std::min(rows_each, rows - part * rows_each);
      const double* of_part = moments + part * 2 * channels + first;
      if (n > 0) f(static_cast<double>(n), of_part, of_part + channels);
    }
  };
  for (int64_t c = 0; c < channels_now; ++c) mean[c] = m2[c] = 0;
  for_each_part([=](double n, const double* of_part, const double*) {
    for (int64_t c = 0; c < channels_now; ++c) mean[c] += n * of_part[c];
  });
  for (int64_t c = 0; c < channels_now; ++c) mean[c] /= static_cast<double>(rows);
  for_each_part([=](double n, const double* of_part, const double* m2_of_part) {
    for (int64_t c = 0; c < channels_now; ++c) {
      const double shift = of_part[c] - mean[c];
      m2[c] += m2_of_part[c] + n * shift * shift;
    }
  });
}

void MomentParts::combine(const Tensor& of_all) const {
  double *mean = of_all.data<double>(), *m2 = mean + channels;
  simd_chunks(channels, kCombinedChannels, [parts = *this, mean, m2](int64_t begin, int64_t end) {
    parts.combine(begin, end - begin, mean + begin, m2 + begin);
  });
}

void MomentParts::add(const Tensor& of_all) const {
  simd_chunks(2 * channels, kCombinedChannels,
              [parts = *this, sums = of_all.data<double>()](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) sums[i] = 0;
                for (int64_t part = 0; part < parts.count; ++part) {
                  if (parts.rows_of && parts.rows_of[part] == 0) continue;
                  const double* of_part = parts.moments + part * 2 * parts.channels;
                  for (int64_t i = begin; i < end; ++i) sums[i] += of_part[i];
                }
              });
}

}  // namespace poise::cpu
