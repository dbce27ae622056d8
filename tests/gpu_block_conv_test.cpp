// Block-sparse convolution of the GPU, on the emulated device under the checker, against the dense loops of the CPU in
// f64 on the same masked weights: all passes and precisions, the same bits whatever the order of threads, copies and
// blocks, no race and no write outside of the results.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/gpu/emulated/options.h"
#include "kernels/table.h"

namespace poise {
namespace {

constexpr int64_t kB = 16;
constexpr size_t kGuard = 256;
constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;
constexpr Precision kPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16};

DType stored(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

double limit_of(Precision precision) {
  if (precision == Precision::fp32) return 1e-5;
  return precision == Precision::tf32 ? 2e-3 : 1e-2;
}

// Device memory full of NaN, with a zone on either side that nobody may write.
class Guarded {
 public:
  Guarded(const Shape& shape, DType dtype)
      : buffer_(static_cast<size_t>(shape.elements()) * size_of(dtype) + 2 * kGuard, Device::emulated) {
    std::memset(buffer_.bytes(), kCanary, buffer_.size());
    tensor = {.bytes = static_cast<char*>(buffer_.bytes()) + kGuard,
              .shape = shape,
              .dtype = dtype,
              .device = Device::emulated};
    std::memset(tensor.bytes, kPoison, tensor.size_bytes());
  }
  bool intact() const {
    const auto* begin = static_cast<const unsigned char*>(buffer_.bytes());
    const size_t end = kGuard + tensor.size_bytes();
    for (size_t i = 0; i < kGuard; ++i) {
      if (begin[i] != kCanary || begin[end + i] != kCanary) return false;
    }
    return true;
  }
  Tensor tensor;

 private:
  Buffer buffer_;
};

double value(const Tensor& t, int64_t i) {
  if (t.dtype == DType::f64) return t.data<double>()[i];
  return static_cast<double>(t.dtype == DType::bf16 ? to_float(t.data<bf16>()[i]) : t.data<float>()[i]);
}

// Values in [-1, 1], rounded to the element type and zero where `mask` is, on both devices.
struct Operand {
  Guarded device;
  OwnedTensor host;  // f64
  Operand(const Shape& shape, DType dtype, std::mt19937& rng, const uint8_t* mask = nullptr)
      : device(shape, dtype), host(shape, DType::f64, Device::cpu) {
    std::uniform_real_distribution<float> draw(-1, 1);
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const float x = mask && !mask[i] ? 0.0f : draw(rng);
      dtype == DType::bf16 ? void(device.tensor.data<bf16>()[i] = to_bf16(x))
                           : void(device.tensor.data<float>()[i] = x);
      host.tensor().data<double>()[i] = value(device.tensor, i);
    }
  }
};

// max |a - b| / max |b|; NaN if there is any in a.
double relative_error(const Tensor& a, const Tensor& b) {
  double error = 0, largest = 0;
  for (int64_t i = 0; i < b.elements(); ++i) {
    const double difference = std::abs(value(a, i) - value(b, i));
    if (!(difference <= error)) error = difference;
    largest = std::max(largest, std::abs(value(b, i)));
  }
  return largest > 0 ? error / largest : error;
}

constexpr double kOneCell = -1;

// `density` of the cells of a weight, drawn at random; a cell is one block, or one block over all taps.
struct Mask {
  OwnedTensor bytes;
  BlockIndex index;
  OwnedTensor row_offsets, col_of_block;

  Mask(const Conv2dGeometry& g, double density, bool all_taps, std::mt19937& rng)
      : bytes(g.weight_shape(), DType::u8, Device::cpu),
        index{.block = kB, .out_blocks = g.c_out / kB, .in_blocks = g.c_in / kB, .taps = g.kh * g.kw},
        row_offsets({index.out_blocks + 1}, DType::i32, Device::emulated),
        col_of_block({index.capacity()}, DType::i32, Device::emulated) {
    index.row_offsets = row_offsets.tensor();
    index.col_of_block = col_of_block.tensor();
    const int64_t cells = index.capacity() / (all_taps ? index.taps : 1);
    std::vector<int64_t> chosen(static_cast<size_t>(cells));
    std::iota(chosen.begin(), chosen.end(), 0);
    std::shuffle(chosen.begin(), chosen.end(), rng);
    chosen.resize(density == kOneCell ? 1 : static_cast<size_t>(std::llround(density * static_cast<double>(cells))));
    for (const int64_t cell : chosen) {
      const int64_t pair = all_taps ? cell : cell / index.taps;
      for (int64_t tap = 0; tap < index.taps; ++tap) {
        if (!all_taps && tap != cell % index.taps) continue;
        for (int64_t o = 0; o < kB; ++o) {
          const int64_t row = (pair / index.in_blocks * kB + o) * index.taps + tap;
          std::memset(bytes.tensor().data<uint8_t>() + row * g.c_in + pair % index.in_blocks * kB, 1, kB);
        }
      }
    }
    Context ctx;
    cpu::build_block_index(ctx, bytes.tensor(), index);
  }
};

struct Results {
  Guarded y, dx, dweight, dbias;
  bool operator==(const Results& other) const {
    const auto same = [](const Guarded& a, const Guarded& b) {
      return std::memcmp(a.tensor.bytes, b.tensor.bytes, a.tensor.size_bytes()) == 0;
    };
    return same(y, other.y) && same(dx, other.dx) && same(dweight, other.dweight) && same(dbias, other.dbias);
  }
};

class Convolution {
 public:
  Convolution(const Conv2dGeometry& geometry, double density, bool all_taps, Precision precision, uint32_t seed)
      : g_(geometry),
        precision_(precision),
        rng_(seed),
        mask_(g_, density, all_taps, rng_),
        x_(g_.x_shape(), stored(precision), rng_),
        weight_(g_.weight_shape(), stored(precision), rng_, mask_.bytes.tensor().data<uint8_t>()),
        bias_({g_.c_out}, DType::f32, rng_),
        dy_(g_.y_shape(), stored(precision), rng_) {}

  Results run(const KernelTable& kernels, const GemmChoice& choice = {}) const {
    Context ctx{.device = Device::emulated, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const DType dtype = stored(precision_);
    Results r{{g_.y_shape(), dtype}, {g_.x_shape(), dtype}, {g_.weight_shape(), DType::f32}, {{g_.c_out}, DType::f32}};
    const auto workspace = [&](Pass pass) {
      const size_t bytes = kernels.block_conv2d_plan(ctx, g_, mask_.index, dtype, pass).workspace_bytes;
      return Guarded({static_cast<int64_t>(bytes)}, DType::u8);
    };
    Guarded forward = workspace(Pass::forward), input = workspace(Pass::backward_input);
    Guarded weight = workspace(Pass::backward_weight);
    const Tensor &x = x_.device.tensor, &w = weight_.device.tensor, &dy = dy_.device.tensor;
    kernels.block_conv2d_forward(ctx, g_, mask_.index, x, w, bias_.device.tensor, forward.tensor, r.y.tensor);
    kernels.block_conv2d_backward_input(ctx, g_, mask_.index, dy, w, input.tensor, r.dx.tensor);
    kernels.block_conv2d_backward_weight(ctx, g_, mask_.index, x, dy, weight.tensor, r.dweight.tensor, r.dbias.tensor);
    EXPECT_TRUE(forward.intact() && input.intact() && weight.intact()) << "wrote outside of a workspace";
    EXPECT_TRUE(r.y.intact() && r.dx.intact() && r.dweight.intact() && r.dbias.intact()) << "wrote outside of a result";
    EXPECT_TRUE(x_.device.intact() && weight_.device.intact() && dy_.device.intact());
    return r;
  }

  void expect_right(const Results& r) const {
    Context ctx;
    OwnedTensor y(g_.y_shape(), DType::f64, Device::cpu), dx(g_.x_shape(), DType::f64, Device::cpu);
    OwnedTensor dweight(g_.weight_shape(), DType::f64, Device::cpu), dbias({g_.c_out}, DType::f64, Device::cpu);
    Tensor none;
    const Tensor& w = weight_.host.tensor();
    cpu::conv2d_forward(ctx, g_, x_.host.tensor(), w, bias_.host.tensor(), none, y.tensor());
    cpu::conv2d_backward_input(ctx, g_, dy_.host.tensor(), w, none, dx.tensor());
    cpu::conv2d_backward_weight(ctx, g_, x_.host.tensor(), dy_.host.tensor(), none, dweight.tensor(), dbias.tensor());
    const uint8_t* alive = mask_.bytes.tensor().data<uint8_t>();
    for (int64_t i = 0; i < dweight.tensor().elements(); ++i) {
      if (!alive[i]) dweight.tensor().data<double>()[i] = 0;
      if (!alive[i] && r.dweight.tensor.data<float>()[i] != 0) {
        ADD_FAILURE() << "dweight " << i << " is dead but " << r.dweight.tensor.data<float>()[i];
        break;
      }
    }
    const auto check = [&](const char* what, const Guarded& ours, const OwnedTensor& reference) {
      const double error = relative_error(ours.tensor, reference.tensor());
      if (!(error <= limit_of(precision_))) ADD_FAILURE() << what << ": error " << error;
    };
    check("y", r.y, y);
    check("dx", r.dx, dx);
    check("dweight", r.dweight, dweight);
    check("dbias", r.dbias, dbias);
  }

 private:
  const Conv2dGeometry g_;
  const Precision precision_;
  std::mt19937 rng_;
  const Mask mask_;
  const Operand x_, weight_, bias_, dy_;
};

struct Images {
  int64_t n, h, w, in_blocks, out_blocks;
};

Conv2dGeometry geometry_of(const Images& s, int64_t k, int64_t upsample) {
  return {.n = s.n,
          .h = s.h,
          .w = s.w,
          .c_in = s.in_blocks * kB,
          .c_out = s.out_blocks * kB,
          .kh = k,
          .kw = k,
          .pad_h = k / 2,
          .pad_w = k / 2,
          .upsample = upsample};
}

class GpuBlockConvTest : public testing::TestWithParam<std::tuple<int64_t, int64_t>> {  // kernel, upsample
 protected:
  void TearDown() override { emulator::set_options({}); }
  int64_t kernel() const { return std::get<0>(GetParam()); }
  int64_t upsample() const { return std::get<1>(GetParam()); }
  void expect_right(const Images& images, double density, bool all_taps, const KernelTable& kernels,
                    const GemmChoice& choice = {}) {
    for (const Precision precision : kPrecisions) {
      SCOPED_TRACE(testing::Message() << name_of(precision) << ", " << images.n << "x" << images.h << "x" << images.w
                                      << ", " << images.in_blocks << " to " << images.out_blocks << " blocks, density "
                                      << density << (all_taps ? ", all taps" : ", per tap"));
      const Convolution convolution(geometry_of(images, kernel(), upsample()), density, all_taps, precision, ++seed_);
      convolution.expect_right(convolution.run(kernels, choice));
    }
  }

 private:
  uint32_t seed_ = 0;
};

TEST_P(GpuBlockConvTest, EqualsDenseOnMaskedWeights) {
  for (const bool all_taps : {false, true}) {
    for (const double density : {0.0, kOneCell, 0.1, 0.5, 1.0}) {
      expect_right({.n = 3, .h = 5, .w = 6, .in_blocks = 2, .out_blocks = 3}, density, all_taps, checked::kernels());
    }
  }
}

// Tiles of every shape: parts of images, whole ones, several at a time, rows of one, pixels without neighbours.
TEST_P(GpuBlockConvTest, ServesImagesOfAnySize) {
  for (const Images& images : {Images{5, 4, 4, 1, 1},
                               {3, 8, 8, 2, 1},
                               {1, 12, 12, 1, 2},
                               {1, 16, 16, 1, 1},
                               {1, 32, 32, 1, 1},
                               {1, 3, 48, 1, 1},
                               {7, 1, 1, 2, 2},
                               {1, 1, 9, 1, 1}}) {
    expect_right(images, 0.5, false, emulated::kernels());
  }
}

// More blocks than warps, than fit in shared memory at once, than a panel and than a piece of the weight gradient.
TEST_P(GpuBlockConvTest, ServesManyBlocks) {
  expect_right({.n = 2, .h = 4, .w = 4, .in_blocks = 18, .out_blocks = 19}, 0.3, true, emulated::kernels());
  expect_right({.n = 1, .h = 4, .w = 5, .in_blocks = 34, .out_blocks = 1}, 0.5, false, emulated::kernels());
}

// One thread block goes through many tiles, where it would otherwise have one.
TEST_P(GpuBlockConvTest, AddsUpManyTiles) {
  expect_right({.n = 3, .h = 11, .w = 9, .in_blocks = 2, .out_blocks = 2}, 0.4, false, checked::kernels(),
               {.splits = 2});
}

// More pieces of the weight gradient than thread blocks.
TEST(GpuBlockConvWorkersTest, GoesThroughMorePiecesThanWorkers) {
  const Convolution convolution(geometry_of({.n = 1, .h = 2, .w = 2, .in_blocks = 44, .out_blocks = 44}, 3, 1), 1.0,
                                true, Precision::fp32, 1);
  convolution.expect_right(convolution.run(emulated::kernels()));
}

TEST_P(GpuBlockConvTest, GivesTheSameBitsInAnyOrder) {
  for (const Precision precision : kPrecisions) {
    SCOPED_TRACE(name_of(precision));
    const Convolution convolution(
        geometry_of({.n = 5, .h = 6, .w = 6, .in_blocks = 4, .out_blocks = 2}, kernel(), upsample()), 0.4, false,
        precision, 7);
    const Results first = convolution.run(checked::kernels());
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      emulator::set_options(emulator::randomised(seed));
      EXPECT_TRUE(convolution.run(checked::kernels()) == first) << "seed " << seed;
    }
    emulator::set_options({});
  }
}

TEST_P(GpuBlockConvTest, NeedsTheSameMemoryForAnyMask) {
  const Conv2dGeometry g = geometry_of({.n = 4, .h = 8, .w = 8, .in_blocks = 4, .out_blocks = 4}, kernel(), upsample());
  std::mt19937 rng(3);
  const Mask sparse(g, 0.1, true, rng), dense(g, 1.0, true, rng);
  Context ctx{.device = Device::emulated};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    const auto plan = [&](const Mask& mask) {
      return emulated::kernels().block_conv2d_plan(ctx, g, mask.index, DType::bf16, pass);
    };
    EXPECT_EQ(plan(sparse).workspace_bytes, plan(dense).workspace_bytes);
    const double positions = upsample() == 2 && kernel() == 3 ? 16 : static_cast<double>(kernel() * kernel());
    EXPECT_EQ(plan(dense).executed_macs, 4 * 8 * 8 * 16 * positions * kB * kB);
    EXPECT_EQ(plan(sparse).executed_macs, 4 * 8 * 8 * 2 * positions * kB * kB);  // 10% of 16 cells
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, GpuBlockConvTest, testing::Combine(testing::Values(1, 3), testing::Values(1, 2)),
                         [](const auto& p) {
                           return "kernel_" + std::to_string(std::get<0>(p.param)) + "_upsample_" +
                                  std::to_string(std::get<1>(p.param));
                         });

}  // namespace
}  // namespace poise
