// Kernels with one tensor-core instruction each: all lanes load their inputs from the test and store their results.
#pragma once
#include "kernels/core/context.h"

namespace poise {

enum class TestLoad { x2, x2_trans, x4, x4_trans };

#define POISE_FRAGMENT_KERNELS                                                                           \
  /* r [32 lanes][4]: registers after loading x, 32 rows of 8 16-bit elements; lane l addresses row l */ \
  void load_fragments(Context&, TestLoad kind, const uint16_t* x, uint32_t* r);                          \
  /* d [32][4] += fragments a [32][4] times b [32][2] */                                                 \
  void multiply_fragments_bf16(Context&, const uint32_t* a, const uint32_t* b, float* d);                \
  void multiply_fragments_tf32(Context&, const uint32_t* a, const uint32_t* b, float* d);

namespace emulated {
POISE_FRAGMENT_KERNELS
}
namespace checked {
POISE_FRAGMENT_KERNELS
}
namespace cuda {
POISE_FRAGMENT_KERNELS
}
#undef POISE_FRAGMENT_KERNELS

}  // namespace poise
