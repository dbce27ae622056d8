// Memory of the emulated device for tests, with a pattern around it that reveals out-of-bounds writes.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/gpu/emulated/device_memory.h"

namespace poise {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n, emulator::Contents contents = emulator::Contents::defined)
      : n_(n), elements_(n + 2 * kRoom) {
    std::memset(elements_.data(), kPattern, elements_.size() * sizeof(T));
    std::fill_n(data(), n, T{});
    emulator::register_memory(data(), n * sizeof(T), contents);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }
  ~DeviceArray() { emulator::unregister_memory(data()); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return elements_.data() + kRoom; }
  T& operator[](size_t i) { return data()[i]; }
  size_t size() const { return n_; }
  std::vector<T> values() { return {data(), data() + n_}; }

  // Whether the pattern around the memory is unchanged.
  bool intact() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(elements_.data());
    const size_t begin = kRoom * sizeof(T), end = begin + n_ * sizeof(T);
    for (size_t i = 0; i < elements_.size() * sizeof(T); ++i) {
      if ((i < begin || i >= end) && bytes[i] != kPattern) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kRoom = 512;  // a multiple of 16 bytes, which preserves alignment
  static constexpr int kPattern = 0x5a;
  size_t n_;
  std::vector<T> elements_;
};

}  // namespace poise
