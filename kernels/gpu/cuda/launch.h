// Launches a type-erased kernel. Contains no device code, so that both compilers can read it.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/core/context.h"

namespace poise::cuda {

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
};

// Throws Error(runtime) with the kernel's launch error.
void launch_raw(Context& ctx, const LaunchShape& shape, const void* kernel, void** arguments);

}  // namespace poise::cuda
