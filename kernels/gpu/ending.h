// The operations applied to a convolution's sums before they are stored (ending.cuh).
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// In this order: + bias; 0 where `mask`, the output of a ReLU, is not positive; + the previous value; max(0, .). NaN
// stays NaN. `mask` and `also_rectified` have the result's element type and layout.
struct Ending {
  const float* bias = nullptr;  // points to the first column's, or null
  const void* mask = nullptr;   // or null
  bool adds = false, relu = false;
  void* also_rectified = nullptr;  // or null: receives max(0, result)
};

}  // namespace poise::POISE_GPU
