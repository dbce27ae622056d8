#include "kernels/gpu/blas.h"

#include "kernels/gpu/emulated/blas.h"
#ifdef POISE_HAVE_CUDA
#include "kernels/gpu/cuda/blas.h"
#endif

namespace poise::blas {

size_t workspace_bytes(const Context& ctx) {
  return ctx.device == Device::cuda ? kCublasWorkspace + kCublasAlignment : 0;
}

void gemm(Context& ctx, const Gemm& shape, const Tensor& a, const Tensor& b, [[maybe_unused]] Tensor& workspace,
          Tensor& c) {
  if (ctx.device == Device::emulated) return emulator::gemm(ctx, shape, a, b, c);
#ifdef POISE_HAVE_CUDA
  if (ctx.device == Device::cuda) return cuda::gemm(ctx, shape, a, b, workspace, c);
#endif
  require(false, "blas::gemm runs on GPUs");
}

}  // namespace poise::blas
