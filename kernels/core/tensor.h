// A tensor is a view: an address, a shape, an element type, a device. It neither owns memory nor counts references; an
// Arena or a Buffer (memory.h) owns the bytes. Always contiguous, last dimension fastest.
#pragma once
#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace poise {

struct Tensor {
  void* bytes = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;
#ifndef NDEBUG
  // Debug builds detect a tensor that outlives its step: the arena counts its resets, the tensor remembers the count.
  const uint64_t* arena_generation = nullptr;
  uint64_t born = 0;
#endif

  template <class T>
  T* data() const {
    require(dtype == dtype_of<T>(), "a tensor was accessed with the wrong element type");
#ifndef NDEBUG
    require(!arena_generation || *arena_generation == born, "a tensor was used after its arena was reset");
#endif
    return static_cast<T*>(bytes);
  }

  explicit operator bool() const { return bytes != nullptr; }
  int64_t elements() const { return shape.elements(); }
  size_t size_bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }

  // The same bytes with another shape of the same number of elements.
  Tensor reshaped(const Shape& to) const {
    require(to.elements() == elements(), "reshape keeps the number of elements");
    Tensor t = *this;
    t.shape = to;
    return t;
  }

  // Entries first .. first+count-1 of the slowest dimension.
  Tensor slice(int64_t first, int64_t count) const {
    require(shape.rank() > 0 && first >= 0 && first + count <= shape[0], "slice is inside the slowest dimension");
    Tensor t = *this;
    t.shape[0] = count;
    const int64_t stride = shape[0] == 0 ? 0 : elements() / shape[0];
    t.bytes = static_cast<char*>(bytes) + static_cast<size_t>(first * stride) * size_of(dtype);
    return t;
  }
};

}  // namespace poise
