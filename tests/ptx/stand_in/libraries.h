// Helpers for the stand-ins of CUDA's libraries: submit work to the runtime stand-in's streams and access its memory.
#pragma once
#include <cuda_runtime_api.h>
#include <library_types.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>

extern "C" {
int poise_stand_in_submit(void* stream, void (*work)(void*), void (*done)(void*), void* data);
void* poise_stand_in_memory(const void* device, size_t bytes);
void poise_stand_in_complain(const char* call, const char* why);
}

namespace poise::stand_in {

using Task = std::function<void()>;
inline bool submit(cudaStream_t stream, Task task) {
  return poise_stand_in_submit(
             stream, [](void* t) { (*static_cast<Task*>(t))(); }, [](void* t) { delete static_cast<Task*>(t); },
             new Task(std::move(task))) != 0;
}
template <class T>
T* memory(const void* device, size_t count) {
  return static_cast<T*>(poise_stand_in_memory(device, count * sizeof(T)));
}

inline size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

// Element i of an array of f32 or bf16.
inline float load(const void* array, cudaDataType type, size_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(array)[i];
  return std::bit_cast<float>(uint32_t{static_cast<const uint16_t*>(array)[i]} << 16);
}
inline void store(void* array, cudaDataType type, size_t i, float x) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(array)[i] = x;
    return;
  }
  const auto bits = std::bit_cast<uint32_t>(x);
  static_cast<uint16_t*>(array)[i] =
      std::isnan(x) ? uint16_t{0x7fff} : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float rounded_to_tf32(float x) { return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000) & ~0x1fffu); }

}  // namespace poise::stand_in
