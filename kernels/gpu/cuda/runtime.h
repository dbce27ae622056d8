// The CUDA backend of gpu::Runtime. Only in builds with CUDA.
#pragma once
#include <string>

#include "kernels/gpu/runtime.h"

namespace poise::cuda {

gpu::Runtime& runtime();
std::string why_unavailable();

}  // namespace poise::cuda
