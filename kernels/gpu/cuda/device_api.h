// Implements kernels/gpu/gpu.h on CUDA. All PTX of the project is in this file.
#pragma once
#include <cuda_runtime.h>

#include <tuple>
#include <utility>

#include "kernels/gpu/cuda/launch.h"

#define GPU_SHARED(name, ...) __shared__ __align__(16)::poise::cuda::SharedType<__VA_ARGS__> name
#define GPU_DYNAMIC_SHARED(name, ...)                                  \
  extern __shared__ __align__(128) unsigned char gpu_dynamic_shared[]; \
  __VA_ARGS__& name = *reinterpret_cast<__VA_ARGS__*>(gpu_dynamic_shared)

namespace poise::cuda {

template <class T>
using SharedType = T;

template <class... P, class... A>
void launch(Context& ctx, const LaunchShape& shape, void (*kernel)(P...), A&&... args) {
  std::tuple<P...> values(static_cast<P>(std::forward<A>(args))...);
  std::apply(
      [&](auto&... value) {
        void* arguments[] = {static_cast<void*>(&value)..., nullptr};
        launch_raw(ctx, shape, reinterpret_cast<const void*>(kernel), arguments);
      },
      values);
}

template <int Bytes, class T>
__device__ inline T* aligned(T* p) {
  return p;
}

template <int Bytes>
__device__ inline void cp_async(void* shared, const void* global, bool valid = true) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(bytes) : "memory");
  } else {
    static_assert(Bytes == 8 || Bytes == 4);
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(global), "n"(Bytes), "r"(bytes)
                 : "memory");
  }
}
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#define POISE_LDMATRIX_4(name, trans)                                                     \
  __device__ inline void name(uint32_t(&r)[4], const void* row) {                         \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" trans ".shared.b16 {%0,%1,%2,%3}, [%4];" \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                         \
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))              \
                 : "memory");                                                             \
  }
#define POISE_LDMATRIX_2(name, trans)                                               \
  __device__ inline void name(uint32_t(&r)[2], const void* row) {                   \
    asm volatile("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0,%1}, [%2];" \
                 : "=r"(r[0]), "=r"(r[1])                                           \
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))        \
                 : "memory");                                                       \
  }
POISE_LDMATRIX_4(ldmatrix_x4, "")
POISE_LDMATRIX_4(ldmatrix_x4_trans, ".trans")
POISE_LDMATRIX_2(ldmatrix_x2, "")
POISE_LDMATRIX_2(ldmatrix_x2_trans, ".trans")
#undef POISE_LDMATRIX_4
#undef POISE_LDMATRIX_2

#define POISE_MMA(name, shape_and_types)                                                                          \
  __device__ inline void name(float(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2]) {                       \
    asm volatile("mma.sync.aligned." shape_and_types ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                 \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                             \
  }
POISE_MMA(mma_m16n8k16_bf16, "m16n8k16.row.col.f32.bf16.bf16")
POISE_MMA(mma_m16n8k8_tf32, "m16n8k8.row.col.f32.tf32.tf32")
#undef POISE_MMA

__device__ inline uint32_t to_tf32(float x) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ inline uint32_t pack_bf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

}  // namespace poise::cuda
