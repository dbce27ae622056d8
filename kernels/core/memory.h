// Device memory that lives as long as its owner, and copies between host and device.
#pragma once
#include <memory>

#include "kernels/core/integer.h"
#include "kernels/core/tensor.h"

namespace poise {

constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register; every tensor starts at a multiple of it
// The most weights that one mask byte covers (kernels/sparse/masks/mask.h): loops may skip dead runs of this length.
constexpr int64_t kLongestRun = kAlignment / sizeof(float);
constexpr size_t align_up(size_t bytes) { return ceil_div(bytes, kAlignment) * kAlignment; }

// Zero-filled memory on one device. Throws Error(runtime), naming the size, if there is not enough.
class Buffer {
 public:
  Buffer() = default;
  Buffer(size_t bytes, Device device);
  void* bytes() const { return bytes_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<void, void (*)(void*)> bytes_{nullptr, nullptr};
  size_t size_ = 0;
};

// A Buffer together with the tensor that covers it.
class OwnedTensor {
 public:
  OwnedTensor() = default;
  OwnedTensor(const Shape& shape, DType dtype, Device device)
      : buffer_(static_cast<size_t>(shape.elements()) * size_of(dtype), device),
        tensor_{.bytes = buffer_.bytes(), .shape = shape, .dtype = dtype, .device = device} {}
  const Tensor& tensor() const { return tensor_; }
  Tensor& tensor() { return tensor_; }
  explicit operator bool() const { return static_cast<bool>(tensor_); }

 private:
  Buffer buffer_;
  Tensor tensor_;
};

void copy_from_host(const Tensor& to, const void* from);  // all of `to`
void copy_to_host(void* to, const Tensor& from);          // all of `from`; waits for the device

}  // namespace poise
