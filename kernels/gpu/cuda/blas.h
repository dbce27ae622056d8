// Matrix products on cuBLAS. Only in builds with CUDA.
#pragma once
#include "kernels/gpu/blas.h"

namespace poise::cuda {

void gemm(Context& ctx, const blas::Gemm& shape, const Tensor& a, const Tensor& b, Tensor& workspace, Tensor& c);

}  // namespace poise::cuda
