// The device API of our kernels. A .cu file includes this header and the core headers, but no CUDA headers. It is
// compiled three times: with nvcc (namespace poise::cuda), as C++ for the emulator (poise::emulated), and as C++ for
// the checker, which finds races, missing barriers and uninitialised reads (poise::checked). Everything in a .cu or
// .cuh file is therefore in `namespace poise::POISE_GPU`.
//
// Kernels use directly from CUDA: __global__ __device__ __launch_bounds__ __restrict__; threadIdx blockIdx blockDim
// gridDim; __syncthreads, __syncthreads_or/and/count; __syncwarp, __shfl_sync, __shfl_up/down/xor_sync, __ballot_sync,
// __any_sync, __all_sync (but not __activemask, on purpose); __threadfence, __threadfence_block; atomicAdd/Max/CAS on
// integers; float math (sqrtf, rsqrtf, expf, tanhf, logf, log1pf, sinf, cosf, fmaf, fmaxf, fminf, fabsf ...);
// __float_as_uint, __uint_as_float, __ldg, __popc, __clz, __ffs, min, max. The rest goes through this header:
//
//   launch(ctx, {grid, block, shared_bytes}, kernel<...>, args...)      instead of <<<>>>
//   GPU_SHARED(name, float[4][32]);                                     instead of __shared__; aligned to 16 bytes
//   GPU_DYNAMIC_SHARED(name, Type);                                     a trivial struct at the start of dynamic memory
//   Vector<T, N>, load_vector, store_vector                             accesses of 16 (8, 4) bytes
//   cp_async, cp_async_commit, cp_async_wait                            global to shared memory, bypassing registers
//   ldmatrix_*, mma_*                                                   tensor cores
//
// Rules that keep a kernel emulatable: threads communicate through collectives with a mask, never by assumption; a
// barrier is at the same line for all threads of a block; no lane exits while a mask names it; no block waits for
// another; nothing depends on the order of blocks or threads; parameters are plain values; frames stay under 16 KiB.
#pragma once
#include "kernels/core/bf16.h"
#include "kernels/core/context.h"
#include "kernels/core/error.h"
#include "kernels/core/integer.h"

#if defined(__CUDACC__)
#define POISE_GPU cuda
#include "kernels/gpu/cuda/device_api.h"
#elif defined(POISE_CHECKED)
#define POISE_GPU checked
#include "kernels/gpu/emulated/device_api.h"
#else
#define POISE_GPU emulated
#include "kernels/gpu/emulated/device_api.h"
#endif

namespace poise::POISE_GPU {

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

__device__ inline int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }  // blocks are one-dimensional
__device__ inline int warp_id() { return static_cast<int>(threadIdx.x) / kWarp; }

// N neighbouring elements, aligned and accessed as one.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  T x[N];
  __device__ T& operator[](int i) { return x[i]; }
  __device__ const T& operator[](int i) const { return x[i]; }
};

template <int N, class T>
__device__ inline Vector<T, N> load_vector(const T* from) {
  static_assert(sizeof(T) * N <= 16);
  return *reinterpret_cast<const Vector<T, N>*>(aligned<sizeof(T) * N>(from));
}
template <int N, class T>
__device__ inline void store_vector(T* to, const Vector<T, N>& v) {
  static_assert(sizeof(T) * N <= 16);
  *reinterpret_cast<Vector<T, N>*>(aligned<sizeof(T) * N>(to)) = v;
}

// What a backend (cuda/device_api.h, emulated/device_api.h) provides. Lanes hold fragments in PTX's layout.
//
//   template <class... P, class... A> void launch(Context&, const LaunchShape&, void (*kernel)(P...), A&&...)
//   template <int Bytes, class T> T* aligned(T* p)        returns p, a multiple of Bytes; the emulator checks that
//
//   Copies Bytes (4, 8 or 16; both addresses are aligned to it), or writes zeros if !valid. The result is visible to
//   this thread after cp_async_wait, and to others after a barrier that follows it.
//   template <int Bytes> void cp_async(void* shared, const void* global, bool valid = true)
//   void cp_async_commit()                         closes a group
//   template <int N> void cp_async_wait()          waits for all groups except the latest N
//
//   Lane l passes the address of row l % 8 (16 bytes, aligned) of matrix l / 8; matrices are 8x8 elements of 16 bits.
//   void ldmatrix_x4(uint32_t (&r)[4], const void* row)           also _x2, and _trans of both
//
//   d += a b, accumulated in fp32.
//   void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
//   void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
//   uint32_t to_tf32(float)                        rounds to nearest (ties away), for the tensor core
//   uint32_t pack_bf16(float low, float high)      two elements, `low` in the low half

}  // namespace poise::POISE_GPU
