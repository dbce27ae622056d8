// A matrix product with plain loops on the host, as work of an emulated stream.
#pragma once
#include "kernels/gpu/blas.h"

namespace poise::emulator {

void gemm(Context& ctx, const blas::Gemm& shape, const Tensor& a, const Tensor& b, const Tensor& c);

}  // namespace poise::emulator
