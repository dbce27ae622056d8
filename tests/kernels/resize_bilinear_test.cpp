// Enlargement for the Inception network (kernels/dense/space/resize_bilinear.h), on the CPU and on every GPU target.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/gpu_targets.h"
#include "tests/support/op_comparison.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

std::vector<uint8_t> some_bytes(int64_t count) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  return bytes;
}

std::vector<double> enlarged(const KernelTable& kernels, Device device, DType dtype, const Shape& from, int64_t h,
                             int64_t w, const std::vector<uint8_t>& bytes) {
  OwnedTensor images(from, DType::u8, device), y({from[0], h, w, from[3]}, dtype, device);
  copy_from_host(images.tensor(), bytes.data());
  Context ctx{.device = device, .kernels = &kernels};
  kernels.resize_bilinear(ctx, images.tensor(), y.tensor());
  return to_host(y.tensor());
}

// The weights of an axis's pixels in output pixel p: 1 - t and t; beyond the last pixel, both fall on it.
std::vector<double> weights(int64_t p, int64_t from, int64_t to) {
  const float position = static_cast<float>(p) * (static_cast<float>(from) / static_cast<float>(to));
  const float low = std::floor(position);
  const double t = static_cast<double>(position - low);
  std::vector<double> w(static_cast<size_t>(from));
  w[static_cast<size_t>(low)] += 1 - t;
  w[std::min(static_cast<size_t>(low) + 1, w.size() - 1)] += t;
  return w;
}

std::vector<double> defined(const Shape& from, int64_t h, int64_t w, const std::vector<uint8_t>& bytes) {
  std::vector<double> y;
  for (int64_t n = 0; n < from[0]; ++n) {
    for (int64_t p = 0; p < h; ++p) {
      for (int64_t q = 0; q < w; ++q) {
        const std::vector<double> rows = weights(p, from[1], h), columns = weights(q, from[2], w);
        for (int64_t c = 0; c < from[3]; ++c) {
          double sum = 0;
          for (int64_t a = 0; a < from[1]; ++a) {
            for (int64_t b = 0; b < from[2]; ++b) {
              sum += rows[static_cast<size_t>(a)] * columns[static_cast<size_t>(b)] *
                     bytes[static_cast<size_t>(((n * from[1] + a) * from[2] + b) * from[3] + c)];
            }
          }
          y.push_back((sum - 128) / 128);
        }
      }
    }
  }
  return y;
}

struct Sizes {
  Shape from;
  int64_t h, w;
};
const Sizes kSizes[] = {
    {{2, 3, 5, 3}, 7, 11}, {{1, 1, 1, 3}, 4, 3}, {{1, 9, 8, 3}, 4, 5}, {{1, 8, 8, 3}, 75, 75}, {{3, 4, 4, 1}, 4, 4}};

// From 2 to 4 pixels: positions 0, 0.5, 1 and 1.5, and there is nothing beyond the last pixel.
TEST(ResizeBilinear, CornersCoincideAndTheLastPixelRepeats) {
  const std::vector<double> row = enlarged(cpu_kernels(), Device::cpu, DType::f32, {1, 1, 2, 1}, 1, 4, {0, 128});
  EXPECT_EQ(row, (std::vector<double>{-1, -0.5, 0, 0}));
  const std::vector<double> column = enlarged(cpu_kernels(), Device::cpu, DType::f32, {1, 2, 1, 1}, 4, 1, {255, 127});
  EXPECT_EQ(column, (std::vector<double>{127.0 / 128, 63.0 / 128, -1.0 / 128, -1.0 / 128}));
}

TEST(ResizeBilinear, IsItsDefinition) {
  for (const Sizes& s : kSizes) {
    const std::vector<uint8_t> bytes = some_bytes(s.from.elements());
    const std::vector<double> expected = defined(s.from, s.h, s.w, bytes);
    for (const auto& [dtype, limit] : {std::pair{DType::f64, 1e-12}, {DType::f32, 1e-6}}) {
      const double error =
          relative_error(enlarged(cpu_kernels(), Device::cpu, dtype, s.from, s.h, s.w, bytes), expected);
      EXPECT_FALSE(!(error <= limit)) << s.from.to_string() << ' ' << name_of(dtype) << " is off by " << error;
    }
  }
}

TEST(ResizeBilinear, GpusDoTheSame) {
  for (const Target& target : gpu_targets()) {
    if (!available(target.device)) continue;
    for (const Sizes& s : kSizes) {
      const std::vector<uint8_t> bytes = some_bytes(s.from.elements());
      const std::vector<double> expected = defined(s.from, s.h, s.w, bytes);
      for (const auto& [dtype, limit] : {std::pair{DType::f32, 1e-5}, {DType::bf16, 1e-2}}) {
        const double error =
            relative_error(enlarged(*target.kernels, target.device, dtype, s.from, s.h, s.w, bytes), expected);
        EXPECT_FALSE(!(error <= limit)) << target.name << ' ' << s.from.to_string() << ' ' << name_of(dtype)
                                        << " is off by " << error;
      }
    }
  }
}

}  // namespace
}  // namespace poise
