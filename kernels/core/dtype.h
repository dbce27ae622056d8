// Element types, devices and arithmetic precisions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/core/bf16.h"

namespace poise {

enum class DType : uint8_t { f32, f64, u8, i32, u64, bf16 };
// emulated: the CUDA kernels, run on the host (kernels/gpu/emulated).
enum class Device : uint8_t { cpu, cuda, emulated };
enum class Precision : uint8_t { fp32, tf32, bf16 };

// The storage type of activations and their gradients.
constexpr DType activation_dtype(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::u64:
      return 8;
    case DType::u8:
      return 1;
    case DType::bf16:
      return 2;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::u8:
      return "u8";
    case DType::i32:
      return "i32";
    case DType::u64:
      return "u64";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

constexpr const char* name_of(Device device) {
  switch (device) {
    case Device::cpu:
      return "cpu";
    case Device::cuda:
      return "cuda";
    case Device::emulated:
      return "emulated";
  }
  return "?";
}

constexpr const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
  }
  return "?";
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::u8;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, bf16>)
    return DType::bf16;
  else {
    static_assert(std::is_same_v<T, uint64_t>, "not an element type");
    return DType::u64;
  }
}

}  // namespace poise
