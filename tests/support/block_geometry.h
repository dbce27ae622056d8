// Convolutions that keep the size of their images, with channels counted in blocks.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "kernels/dense/conv2d/conv2d.h"
#include "kernels/sparse/block/block_size.h"

namespace poise {

constexpr int64_t kB = kSparseBlock;  // unless a test says otherwise

struct Images {
  int64_t n, h, w, in_blocks, out_blocks;
};

// The geometry for a k x k kernel.
inline Conv2dGeometry geometry_of(const Images& s, int64_t k, int64_t upsample, int64_t block = kB) {
  return {.n = s.n,
          .h = s.h,
          .w = s.w,
          .c_in = s.in_blocks * block,
          .c_out = s.out_blocks * block,
          .kh = k,
          .kw = k,
          .pad_h = k / 2,
          .pad_w = k / 2,
          .upsample = upsample};
}

// --- Suites over kernel and upsample ---

using KernelAndUpsample = std::tuple<int64_t, int64_t>;
inline const auto kKernelsAndUpsamples = testing::Combine(testing::Values(1, 3), testing::Values(1, 2));
inline std::string kernel_and_upsample(const testing::TestParamInfo<KernelAndUpsample>& p) {
  return "kernel_" + std::to_string(std::get<0>(p.param)) + "_upsample_" + std::to_string(std::get<1>(p.param));
}
// Multiply-adds per pixel of the stored image and pair of channels. An upsampling 3x3 convolution is four 2x2 ones.
inline double positions_of(int64_t kernel, int64_t upsample) {
  return upsample == 2 && kernel == 3 ? 16 : static_cast<double>(kernel * kernel);
}

}  // namespace poise
