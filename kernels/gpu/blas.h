// The vendor's matrix product behind one function: cuBLAS on CUDA, plain loops on the emulated device.
#pragma once
#include "kernels/core/context.h"

namespace poise::blas {

// c [m,n] = a b, row-major: a [m,k], or [k,m] if it is to be read transposed; b [k,n], or [n,k].
struct Gemm {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
};

// What cuBLAS's manual recommends for Hopper, and the alignment that it asks for.
constexpr size_t kCublasWorkspace = size_t{32} << 20, kCublasAlignment = 256;

// Bytes of workspace for any product; gemm() is given as much, at any address. Nothing else is allocated, so it can be
// captured.
size_t workspace_bytes(const Context& ctx);

// a and b of one dtype, f32 or bf16; c of the same, or f32. Sums in f32; f32 operands are rounded to tf32 if the context's
// precision is tf32.
void gemm(Context& ctx, const Gemm& shape, const Tensor& a, const Tensor& b, Tensor& workspace, Tensor& c);

}  // namespace poise::blas
