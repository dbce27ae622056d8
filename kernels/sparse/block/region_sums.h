// Sums that a block-sparse convolution takes of its results while it writes them (kernels/core/layer_output.h): moments
// of y, or sums of dx, one part per region.
#pragma once
#include "kernels/core/channel_moments.h"
#include "kernels/core/channel_norm.h"
#include "kernels/sparse/block/block_job.h"

namespace poise::cpu {

// The sums of one region, taken tile by tile and block by block while the L1 cache holds the results. T: their type.
template <class T, class P>
class RegionSums {
 public:
  RegionSums(const BlockWorkspace<P>& ws, const Region& region, int64_t lane, int64_t channels) : channels_(channels) {
    float* memory = ws.region_sums + lane * 3 * channels;
    sums_ = {.centre = memory, .deviation = memory + channels, .square = memory + 2 * channels};
    part_ = ws.part_moments + region.number * 2 * channels;
    part_rows_ = ws.part_rows + region.number;
  }
  // Starts the next tile; its pixels are null outside the image.
  void begin_tile(T* const* pixels) {
    sums_.rows += count_;
    count_ = 0;
    for (int k = 0; k < kTilePixels; ++k) {
      if (pixels[k]) pixels_[count_++] = pixels[k];
    }
  }

  // Adds the tile's channels first..first+15, which have just been written, to the moments.
  void add_moments(int64_t first) const {
    if (count_ == 0) return;
    simd([=, begins = sums_.rows == 0, count = count_](const T* const* pixels, const MomentSums* sums) {
      float centre[kBlock] = {};
      for (int64_t k = 0; begins && k < count; ++k) {
        for (int i = 0; i < kBlock; ++i) centre[i] += computed(pixels[k][first + i]);
      }
      for (int i = 0; i < kBlock; ++i) {
        centre[i] = begins ? centre[i] / static_cast<float>(count) : sums->centre[first + i];
        sums->centre[first + i] = centre[i];
      }
      add(begins, count, sums->deviation + first, sums->square + first, [=](int64_t k, int i) {
        const float deviation = computed(pixels[k][first + i]) - centre[i];
        return std::pair(deviation, deviation * deviation);
      });
    })(pixels_, &sums_);
  }
  void finish_moments() const {
    *part_rows_ = sums_.rows + count_;
    part_moments(*part_rows_, channels_, sums_.centre, sums_.deviation, sums_.square, part_, part_ + channels_);
  }

  // Adds them to the sums of a gradient (InputGradient). `dx`, `x`: whole tensors. `norm` begins at channel `first`.
  void add_gradients(int64_t first, const T* dx, const T* x, const ChannelNorm& norm) const {
    if (count_ == 0) return;
    simd([=, begins = sums_.rows == 0, count = count_](const T* const* pixels, const MomentSums* sums) {
      float scale[kBlock];
      for (int i = 0; i < kBlock; ++i) scale[i] = norm.gamma[i] * norm.inv_std[i];
      // Each pixel needs one line of x, far from the next pixel's. Prefetch the next block's while this one is summed.
      for (int64_t k = 0; k < count; ++k) __builtin_prefetch(x + (pixels[k] - dx) + first + kBlock);
      add(begins, count, sums->deviation + first, sums->square + first, [=](int64_t k, int i) {
        const float value = computed(x[pixels[k] - dx + first + i]);
        const bool passes = !(normalised(value, norm.mean[i], scale[i], norm.beta[i]) <= norm.floor);
        const float gradient = passes ? computed(pixels[k][first + i]) : 0.0f;
        return std::pair(gradient, gradient * (value - norm.mean[i]));
      });
    })(pixels_, &sums_);
  }
  void finish_gradients() const {
    *part_rows_ = sums_.rows + count_;
    std::copy_n(sums_.deviation, channels_, part_);
    std::copy_n(sums_.square, channels_, part_ + channels_);
  }

 private:
  // first[i] and second[i] (+)= the sums over pixels k of the pair term(k, i), for the channels i of a block.
  template <class Term>
  static void add(bool begins, int64_t count, float* first, float* second, const Term& term) {
    float a[kBlock] = {}, b[kBlock] = {};
    int64_t k = 0;
    for (; k + 4 <= count; k += 4) {
      for (int i = 0; i < kBlock; ++i) {
        const auto p = term(k, i), q = term(k + 1, i), r = term(k + 2, i), s = term(k + 3, i);
        a[i] += (p.first + q.first) + (r.first + s.first);
        b[i] += (p.second + q.second) + (r.second + s.second);
      }
    }
    for (; k < count; ++k) {
      for (int i = 0; i < kBlock; ++i) {
        const auto p = term(k, i);
        a[i] += p.first;
        b[i] += p.second;
      }
    }
    for (int i = 0; i < kBlock; ++i) {
      first[i] = a[i] + (begins ? 0.0f : first[i]);
      second[i] = b[i] + (begins ? 0.0f : second[i]);
    }
  }

  int64_t channels_;
  MomentSums sums_;  // a gradient is summed in `deviation` and `square`
  double* part_;
  int64_t* part_rows_;
  const T* pixels_[kTilePixels];
  int64_t count_ = 0;
};

template <class P>
MomentParts parts_of_regions(const BlockWorkspace<P>& ws, const BlockJob& job, const Tensor& tensor) {
  const int64_t channels = tensor.shape.back();
  return {.moments = ws.part_moments,
          .count = job.regions.count(),
          .channels = channels,
          .rows = tensor.elements() / channels,
          .rows_each = 0,
          .rows_of = ws.part_rows};
}

}  // namespace poise::cpu
