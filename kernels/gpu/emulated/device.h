// What CUDA provides to every kernel, for emulated ones: indices, barriers, warp collectives, atomics, arithmetic.
// Names and meaning are CUDA's; the bodies are in scheduler.cpp, collectives.cpp, atomics.cpp, async_copy.cpp and
// tensor_core.cpp.
//
// The parameter `site`, which CUDA does not have, is filled in by the compiler with the line of the call, so that every
// report can name it.
#pragma once
#include <math.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

namespace poise::emulator {

using Site = std::source_location;

namespace device {

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {}
};

// The indices of the running thread.
struct Indices {
  uint3 thread, block;
  dim3 block_extent, grid_extent;
};
extern Indices indices;
inline constexpr const uint3& threadIdx = indices.thread;
inline constexpr const uint3& blockIdx = indices.block;
inline constexpr const dim3& blockDim = indices.block_extent;
inline constexpr const dim3& gridDim = indices.grid_extent;

// --- Barriers and fences ---

void __syncthreads(Site site = Site::current());
int __syncthreads_or(int predicate, Site site = Site::current());
int __syncthreads_and(int predicate, Site site = Site::current());
int __syncthreads_count(int predicate, Site site = Site::current());
void __syncwarp(uint32_t mask = 0xffffffffu, Site site = Site::current());
void __threadfence();
void __threadfence_block();

// --- Warp collectives ---

enum class ShuffleKind : uint8_t { index, up, down, exclusive_or };
uint64_t shuffle(ShuffleKind kind, uint32_t mask, uint64_t value, int operand, int width, Site site);

// For any trivially copyable value of up to eight bytes, like CUDA's overloads.
template <class T>
T shuffle_value(ShuffleKind kind, uint32_t mask, T value, int operand, int width, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(kind, mask, bits, operand, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, Site site = Site::current()) {
  return shuffle_value(ShuffleKind::index, mask, value, lane, width, site);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, Site site = Site::current()) {
  return shuffle_value(ShuffleKind::up, mask, value, static_cast<int>(delta), width, site);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, Site site = Site::current()) {
  return shuffle_value(ShuffleKind::down, mask, value, static_cast<int>(delta), width, site);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, Site site = Site::current()) {
  return shuffle_value(ShuffleKind::exclusive_or, mask, value, lane_mask, width, site);
}

uint32_t __ballot_sync(uint32_t mask, int predicate, Site site = Site::current());
int __any_sync(uint32_t mask, int predicate, Site site = Site::current());
int __all_sync(uint32_t mask, int predicate, Site site = Site::current());

// --- Atomics, on integers only: sums of floats would depend on the order of threads. They return the old value. ---

int atomicAdd(int* address, int value, Site site = Site::current());
unsigned atomicAdd(unsigned* address, unsigned value, Site site = Site::current());
unsigned long long atomicAdd(unsigned long long* address, unsigned long long value, Site site = Site::current());
int atomicMax(int* address, int value, Site site = Site::current());
unsigned atomicMax(unsigned* address, unsigned value, Site site = Site::current());
unsigned long long atomicMax(unsigned long long* address, unsigned long long value, Site site = Site::current());
int atomicCAS(int* address, int compare, int value, Site site = Site::current());
unsigned atomicCAS(unsigned* address, unsigned compare, unsigned value, Site site = Site::current());
unsigned long long atomicCAS(unsigned long long* address, unsigned long long compare, unsigned long long value,
                             Site site = Site::current());

// --- Asynchronous copies and tensor cores: see gpu.h ---

void copy_async(void* shared, const void* global, int bytes, bool valid, Site site);
template <int Bytes>
void cp_async(void* shared, const void* global, bool valid = true, Site site = Site::current()) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  copy_async(shared, global, Bytes, valid, site);
}
void cp_async_commit();
void wait_for_copies(int groups_in_flight);
template <int N>
void cp_async_wait() {
  wait_for_copies(N);
}

void ldmatrix_x2(uint32_t (&r)[2], const void* row, Site site = Site::current());
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, Site site = Site::current());
void ldmatrix_x4(uint32_t (&r)[4], const void* row, Site site = Site::current());
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, Site site = Site::current());
void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site = Site::current());
void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site = Site::current());
uint32_t to_tf32(float x);
uint32_t pack_bf16(float low, float high);

// --- Memory ---

[[noreturn]] void report_misaligned(const void* address, int bytes);
// Returns the address, which must be a multiple of Bytes.
template <int Bytes, class T>
T* aligned(T* address) {
  if (reinterpret_cast<uintptr_t>(address) % Bytes != 0) report_misaligned(address, Bytes);
  return address;
}
template <class T>
T __ldg(const T* address) {
  return *address;
}

// --- Arithmetic with other names in C++ ---

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(uint32_t x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<uint32_t>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  static_assert(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>);
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return fmin(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  static_assert(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>);
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return fmax(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

}  // namespace device
}  // namespace poise::emulator
