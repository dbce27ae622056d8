// Block-sparse convolution kernels of a GPU, on the emulated device, against the dense loops of the CPU in f64 on the
// same masked weights. Tests choose whose kernels: ours or cuSPARSE's.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/table.h"

namespace poise {

// The entries of a table that make up one path.
struct BlockPath {
  BlockConv2dPlanner* plan;
  BlockConv2dForward* forward;
  BlockConv2dBackwardInput* backward_input;
  BlockConv2dBackwardWeight* backward_weight;
};
inline BlockPath our_path(const KernelTable& k) {
  return {k.block_conv2d_plan, k.block_conv2d_forward, k.block_conv2d_backward_input, k.block_conv2d_backward_weight};
}
inline BlockPath cusparse_path(const KernelTable& k) {
  return {k.cusparse_conv2d_plan, k.cusparse_conv2d_forward, k.cusparse_conv2d_backward_input,
          k.cusparse_conv2d_backward_weight};
}

constexpr int64_t kB = 16;  // block, where a test does not say otherwise
constexpr size_t kGuard = 256;
constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;
constexpr Precision kAllPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16};

inline DType stored(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

inline double limit_of(Precision precision) {
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

inline double value(const Tensor& t, int64_t i) {
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
inline double relative_error(const Tensor& a, const Tensor& b) {
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
  OwnedTensor row_offsets, col_of_block, in_offsets, out_of_block;

  Mask(const Conv2dGeometry& g, double density, bool all_taps, std::mt19937& rng, int64_t block = kB)
      : bytes(g.weight_shape(), DType::u8, Device::cpu),
        index{.block = block, .out_blocks = g.c_out / block, .in_blocks = g.c_in / block, .taps = g.kh * g.kw},
        row_offsets({index.out_blocks + 1}, DType::i32, Device::emulated),
        col_of_block({index.capacity()}, DType::i32, Device::emulated),
        in_offsets({index.in_blocks + 1}, DType::i32, Device::emulated),
        out_of_block({index.capacity()}, DType::i32, Device::emulated) {
    index.row_offsets = row_offsets.tensor();
    index.col_of_block = col_of_block.tensor();
    index.in_offsets = in_offsets.tensor();
    index.out_of_block = out_of_block.tensor();
    const int64_t cells = index.capacity() / (all_taps ? index.taps : 1);
    std::vector<int64_t> chosen(static_cast<size_t>(cells));
    std::iota(chosen.begin(), chosen.end(), 0);
    std::shuffle(chosen.begin(), chosen.end(), rng);
    chosen.resize(density == kOneCell ? 1 : static_cast<size_t>(std::llround(density * static_cast<double>(cells))));
    for (const int64_t cell : chosen) {
      const int64_t pair = all_taps ? cell : cell / index.taps;
      for (int64_t tap = 0; tap < index.taps; ++tap) {
        if (!all_taps && tap != cell % index.taps) continue;
        for (int64_t o = 0; o < block; ++o) {
          const int64_t row = (pair / index.in_blocks * block + o) * index.taps + tap;
          std::memset(bytes.tensor().data<uint8_t>() + row * g.c_in + pair % index.in_blocks * block, 1,
                      static_cast<size_t>(block));
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
  Convolution(const Conv2dGeometry& geometry, double density, bool all_taps, Precision precision, uint32_t seed,
              int64_t block = kB)
      : g_(geometry),
        precision_(precision),
        rng_(seed),
        mask_(g_, density, all_taps, rng_, block),
        x_(g_.x_shape(), stored(precision), rng_),
        weight_(g_.weight_shape(), stored(precision), rng_, mask_.bytes.tensor().data<uint8_t>()),
        bias_({g_.c_out}, DType::f32, rng_),
        dy_(g_.y_shape(), stored(precision), rng_) {}

  Results run(const KernelTable& kernels, const GemmChoice& choice = {}, const BlockPath* other_path = nullptr) const {
    const BlockPath path = other_path ? *other_path : our_path(kernels);
    Context ctx{.device = Device::emulated, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const DType dtype = stored(precision_);
    Results r{{g_.y_shape(), dtype}, {g_.x_shape(), dtype}, {g_.weight_shape(), DType::f32}, {{g_.c_out}, DType::f32}};
    const auto workspace = [&](Pass pass) {
      const size_t bytes = path.plan(ctx, g_, mask_.index, dtype, pass).workspace_bytes;
      return Guarded({static_cast<int64_t>(bytes)}, DType::u8);
    };
    Guarded forward = workspace(Pass::forward), input = workspace(Pass::backward_input);
    Guarded weight = workspace(Pass::backward_weight);
    const Tensor &x = x_.device.tensor, &w = weight_.device.tensor, &dy = dy_.device.tensor;
    path.forward(ctx, g_, mask_.index, x, w, bias_.device.tensor, forward.tensor, r.y.tensor);
    path.backward_input(ctx, g_, mask_.index, dy, w, input.tensor, r.dx.tensor);
    path.backward_weight(ctx, g_, mask_.index, x, dy, weight.tensor, r.dweight.tensor, r.dbias.tensor);
    EXPECT_TRUE(forward.intact() && input.intact() && weight.intact()) << "wrote outside of a workspace";
    EXPECT_TRUE(r.y.intact() && r.dx.intact() && r.dweight.intact() && r.dbias.intact()) << "wrote outside of a result";
    EXPECT_TRUE(x_.device.intact() && weight_.device.intact() && dy_.device.intact());
    return r;
  }

  void expect_right(const Results& r) const {
    Context ctx;
    OwnedTensor y(g_.y_shape(), DType::f64, Device::cpu), dx(g_.x_shape(), DType::f64, Device::cpu);
    OwnedTensor dweight(g_.weight_shape(), DType::f64, Device::cpu),
        dbias(bias_.host.tensor().shape, DType::f64, Device::cpu);
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

}  // namespace poise
