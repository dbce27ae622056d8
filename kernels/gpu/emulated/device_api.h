// Implements kernels/gpu/gpu.h on the host: the kernels of a .cu file are compiled as C++ and run by the emulator. See
// also scheduler.h (how the threads of a block take turns on one processor), collectives.cpp, shared_memory.h,
// async_copy.cpp, tensor_core.cpp, and checker.h for what namespace `checked` adds.
#pragma once
#include <tuple>
#include <utility>

#include "kernels/gpu/emulated/device.h"
#include "kernels/gpu/emulated/launch.h"
#include "kernels/gpu/emulated/shared_memory.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// One object per block. The static represents the declaration: a template has one per instantiation, as in CUDA.
#define GPU_SHARED(name, ...)                                                                                        \
  static constinit ::poise::emulator::SharedVariable gpu_shared_##name{                                              \
      #name, sizeof(::poise::POISE_GPU::SharedType<__VA_ARGS__>),                                                    \
      alignof(::poise::POISE_GPU::SharedType<__VA_ARGS__>)};                                                         \
  static_assert(std::is_trivial_v<::poise::POISE_GPU::SharedType<__VA_ARGS__>>, "shared memory has no constructor"); \
  static_assert(alignof(::poise::POISE_GPU::SharedType<__VA_ARGS__>) <= 128);                                        \
  auto& name = *static_cast<::poise::POISE_GPU::SharedType<__VA_ARGS__>*>(gpu_shared_##name.address())

#define GPU_DYNAMIC_SHARED(name, ...)                                                \
  static_assert(std::is_trivial_v<__VA_ARGS__>, "shared memory has no constructor"); \
  auto& name = *static_cast<::poise::POISE_GPU::SharedType<__VA_ARGS__>*>(           \
      ::poise::emulator::dynamic_shared_memory(sizeof(::poise::POISE_GPU::SharedType<__VA_ARGS__>)))

namespace poise::POISE_GPU {

using namespace emulator::device;

template <class T>
using SharedType = T;

// The C library's fmaf has the same bits, but is a call, for which all sums of a product of tiles are spilled: half of
// the time of emulated fp32 training. Not used by the checker, which would check the read of has_fma.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(POISE_CHECKED)
static const bool has_fma = __builtin_cpu_supports("fma");
inline float fmaf(float a, float b, float c) {
  if (!has_fma) return ::fmaf(a, b, c);
  asm("vfmadd231ss %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
  return c;
}
#endif

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
};

// A context together with the line of the launch: the argument is converted at the call.
struct LaunchContext {
  LaunchContext(Context& c, emulator::Site s = emulator::Site::current()) : ctx(c), site(s) {}
  Context& ctx;
  emulator::Site site;
};

template <class... P, class... A>
void launch(LaunchContext at, const LaunchShape& shape, void (*kernel)(P...), A&&... args) {
  using Arguments = std::tuple<P...>;
  struct Call {
    void (*kernel)(P...);
    Arguments arguments;
    static void run_thread(const void* call) {
      const Call& self = *static_cast<const Call*>(call);
      std::apply(self.kernel, self.arguments);
    }
  };
  const emulator::Launch what{.grid = shape.grid,
                              .block = shape.block,
                              .shared_bytes = shape.shared_bytes,
                              .kernel = reinterpret_cast<const void*>(kernel),
                              .run_thread = Call::run_thread,
                              .site = at.site,
#ifdef POISE_CHECKED
                              .checked = true
#else
                              .checked = false
#endif
  };
  emulator::launch(at.ctx, what, Call{kernel, Arguments(static_cast<P>(std::forward<A>(args))...)});
}

}  // namespace poise::POISE_GPU
