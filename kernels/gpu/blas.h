// The vendor's matrix product behind one function: cuBLAS on CUDA, plain loops on the emulated device.
#pragma once
#include "kernels/core/context.h"

namespace poise::blas {

// c [m,n] = a b, row-major. a is [m,k], or [k,m] if transposed; b is [k,n], or [n,k] if transposed.
struct Gemm {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
};

// The workspace size that cuBLAS's manual recommends for Hopper, and the alignment that it requires.
constexpr size_t kCublasWorkspace = size_t{32} << 20, kCublasAlignment = 256;

// Bytes of workspace that gemm() needs for any product, at any address. gemm() allocates nothing else, so it can be
// captured.
size_t workspace_bytes(const Context& ctx);

// a and b have the same dtype, f32 or bf16; c has that dtype or f32. Sums are in f32. If the context's precision is
// tf32, f32 operands are rounded to tf32.
void gemm(Context& ctx, const Gemm& shape, const Tensor& a, const Tensor& b, Tensor& workspace, Tensor& c);

}  // namespace poise::blas
