// What kernels of a GPU read and write on the emulated device, between guard zones, and how far the
// results are from loops in f64 on the same values. One by one, and as the operands and results of a layer.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/table.h"
#include "tests/support/precision_limits.h"

namespace poise {

// Device memory full of NaN, with guard zones on both sides.
class Guarded {
 public:
  Guarded(const Shape& shape, DType dtype)
      : buffer_(static_cast<size_t>(shape.elements()) * size_of(dtype) + 2 * kZone, Device::emulated) {
    std::memset(buffer_.bytes(), kCanary, buffer_.size());
    tensor = {.bytes = static_cast<char*>(buffer_.bytes()) + kZone,
              .shape = shape,
              .dtype = dtype,
              .device = Device::emulated};
    std::memset(tensor.bytes, kPoison, tensor.size_bytes());
  }
  bool intact() const {
    const auto* begin = static_cast<const unsigned char*>(buffer_.bytes());
    const size_t end = kZone + tensor.size_bytes();
    for (size_t i = 0; i < kZone; ++i) {
      if (begin[i] != kCanary || begin[end + i] != kCanary) return false;
    }
    return true;
  }
  bool operator==(const Guarded& other) const {
    return std::memcmp(tensor.bytes, other.tensor.bytes, tensor.size_bytes()) == 0;
  }
  Tensor tensor;

 private:
  static constexpr size_t kZone = 256;
  static constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;
  Buffer buffer_;
};

// Element i of a tensor f32, bf16 or f64.
inline double value(const Tensor& t, int64_t i) {
  if (t.dtype == DType::f64) return t.data<double>()[i];
  return static_cast<double>(t.dtype == DType::bf16 ? to_float(t.data<bf16>()[i]) : t.data<float>()[i]);
}

// `values` as a tensor f32 or bf16 of the device and, rounded in the same way, of the host.
struct Operand {
  Guarded device;
  OwnedTensor host;  // f64
  Operand(const Shape& shape, DType dtype, const std::vector<float>& values)
      : device(shape, dtype), host(shape, DType::f64, Device::cpu) {
    require(static_cast<size_t>(shape.elements()) == values.size(), "as many values as elements");
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const float x = values[static_cast<size_t>(i)];
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

inline void expect_near(const char* what, const Guarded& ours, const OwnedTensor& reference, Precision precision) {
  const double error = relative_error(ours.tensor, reference.tensor()), limit = limit_of(precision);
  EXPECT_FALSE(!(error <= limit)) << what << ": error " << error << ", limit " << limit;
}

// All passes of one layer.
struct LayerResults {
  Guarded y, dx, dweight, dbias;
  bool operator==(const LayerResults&) const = default;
  bool intact() const { return y.intact() && dx.intact() && dweight.intact() && dbias.intact(); }
};
struct LayerReference {
  OwnedTensor y, dx, dweight, dbias;  // f64
};

inline void expect_near(const LayerResults& ours, const LayerReference& reference, Precision precision) {
  expect_near("y", ours.y, reference.y, precision);
  expect_near("dx", ours.dx, reference.dx, precision);
  expect_near("dweight", ours.dweight, reference.dweight, precision);
  expect_near("dbias", ours.dbias, reference.dbias, precision);
}

// What a layer reads, in the precision's element type; biases are f32.
struct LayerOperands {
  Operand x, weight, bias, dy;

  // run_passes(forward, input, weight, results) calls every pass with its workspace, of workspace_bytes(Pass).
  template <class WorkspaceBytes, class RunPasses>
  LayerResults run(const WorkspaceBytes& workspace_bytes, const RunPasses& run_passes) const {
    LayerResults r{like(dy), like(x), {weight.device.tensor.shape, DType::f32}, like(bias)};
    const auto workspace = [&](Pass pass) { return Guarded({static_cast<int64_t>(workspace_bytes(pass))}, DType::u8); };
    Guarded forward = workspace(Pass::forward), for_input = workspace(Pass::backward_input);
    Guarded for_weight = workspace(Pass::backward_weight);
    run_passes(forward.tensor, for_input.tensor, for_weight.tensor, r);
    EXPECT_TRUE(forward.intact() && for_input.intact() && for_weight.intact()) << "wrote outside of a workspace";
    EXPECT_TRUE(r.intact()) << "wrote outside of a result";
    EXPECT_TRUE(x.device.intact() && weight.device.intact() && bias.device.intact() && dy.device.intact());
    return r;
  }

 private:
  static Guarded like(const Operand& operand) { return {operand.device.tensor.shape, operand.device.tensor.dtype}; }
};

inline LayerReference conv2d_reference(const Conv2dGeometry& g, const LayerOperands& operands) {
  const auto undefined = [](const Shape& shape) { return OwnedTensor(shape, DType::f64, Device::cpu); };
  LayerReference r{undefined(g.y_shape()), undefined(g.x_shape()), undefined(g.weight_shape()), undefined({g.c_out})};
  const Tensor &x = operands.x.host.tensor(), &w = operands.weight.host.tensor(), &dy = operands.dy.host.tensor();
  Context ctx;
  Tensor none;
  cpu::conv2d_forward(ctx, g, x, w, operands.bias.host.tensor(), none, r.y.tensor());
  cpu::conv2d_backward_input(ctx, g, dy, w, none, r.dx.tensor());
  cpu::conv2d_backward_weight(ctx, g, x, dy, none, r.dweight.tensor(), r.dbias.tensor());
  return r;
}

}  // namespace poise
