// Kernels that each use one feature of CUDA and write what they got.
#pragma once
#include "kernels/core/context.h"

namespace poise {

enum class TestShuffle { index, up, down, exclusive_or };

#define POISE_COLLECTIVE_KERNELS                                                                       \
  /* y[block] = x[block] reversed, through shared memory */                                            \
  void reverse_through_shared(Context&, int blocks, int threads, const int* x, int* y);                \
  /* y[i] = the value that thread i of one block gets from its warp */                                 \
  void shuffle(Context&, TestShuffle kind, int threads, int operand, int width, const int* x, int* y); \
  /* y[4i..] = ballot, any, all of x != 0 over the half-warp of thread i, and popc of the ballot */    \
  void votes(Context&, int threads, const int* x, int* y);                                             \
  /* y[3i..] = __syncthreads_or, _and, _count of x != 0 */                                             \
  void block_votes(Context&, int threads, const int* x, int* y);                                       \
  /* y[linear index of the thread in the grid] = packed threadIdx and blockIdx */                      \
  void indices(Context&, int gx, int gy, int gz, int bx, int by, int bz, uint64_t* y);                 \
  /* y[0] += sum of x, y[1] = max, y[2] = number of threads that won a compare-and-swap from 0 */      \
  void atomics(Context&, int blocks, int threads, const int* x, int* y);                               \
  /* y[i] = number of threads of the grid that took a ticket before thread i */                        \
  void tickets(Context&, int blocks, int threads, int* counter, int* y);                               \
  /* y[i] = arithmetic with CUDA's function names: see the test */                                     \
  void arithmetic(Context&, float* y);                                                                 \
  /* does nothing, with `shared_bytes` of dynamic shared memory */                                     \
  void empty(Context&, int gx, int gy, int bx, size_t shared_bytes);                                   \
  /* y[round] = 1 if static shared memory was NaN when a block began, for all blocks */                \
  void fresh_shared_memory(Context&, int blocks, int* y);                                              \
  /* `rounds` barriers or shuffles, for benchmarks */                                                  \
  void barriers(Context&, int blocks, int threads, int rounds, int* y);                                \
  void shuffles(Context&, int blocks, int threads, int rounds, int* y);                                \
  void scale_and_add(Context&, int n, float scale, const float* x, float* y);

namespace emulated {
POISE_COLLECTIVE_KERNELS
}
namespace checked {
POISE_COLLECTIVE_KERNELS
}
#undef POISE_COLLECTIVE_KERNELS

}  // namespace poise
