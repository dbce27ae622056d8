// Everything that a launch needs: the device and its kernels, the memory of the step, and the state that changes from
// step to step. A plain bundle of pointers; the program that owns the parts outlives it.
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/profile.h"
#include "kernels/core/step_state.h"

namespace poise {

struct KernelTable;

namespace gpu {
class Stream;  // kernels/gpu/runtime.h
}

// How matrix products are computed on a GPU. The defaults choose by shape; benchmarks and tests force a choice.
enum class LinearMethod : uint8_t { by_shape, tiles, blas };  // our tiles, or the vendor's library (kernels/gpu/blas.h)
struct GemmChoice {
  LinearMethod linear = LinearMethod::by_shape;
  int block = 0;   // edge length of an output block, 64 or 128
  int splits = 0;  // parts into which the sum is split
};

struct Context {
  Device device = Device::cpu;
  Precision precision = Precision::fp32;
  const KernelTable* kernels = nullptr;
  Arena* arena = nullptr;
  StepState* step = nullptr;      // device memory
  gpu::Stream* stream = nullptr;  // where launches go; null on the CPU
  Profile* profile = nullptr;     // null: do not measure
  GemmChoice gemm;
  bool synchronous = false;  // wait after each launch, so that an asynchronous error names its layer (POISE_SYNC=1)
  bool planning = false;     // kernels do nothing; shapes, memory and work are still accounted for
};

}  // namespace poise
