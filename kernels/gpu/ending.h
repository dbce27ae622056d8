// What becomes of a convolution's sum on its way to memory (ending.cuh).
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// In this order: + bias; zero where `mask`, the output of a ReLU, is not positive; + what is there; no less than 0. A NaN stays
// one. The elements of `mask` and `also_rectified` are of the result's type and at their places.
struct Ending {
  const float* bias = nullptr;  // of the first column, or null
  const void* mask = nullptr;   // or null
  bool adds = false, relu = false;
  void* also_rectified = nullptr;  // or null: receives the result, no less than 0
};

}  // namespace poise::POISE_GPU
