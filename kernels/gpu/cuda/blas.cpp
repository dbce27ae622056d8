// blas.h on cuBLAS.
#include "kernels/gpu/cuda/blas.h"

#include <cublas_v2.h>

#include <memory>

#include "kernels/gpu/cuda/handles.h"

namespace poise::cuda {
namespace {

void check(cublasStatus_t status, const char* call, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorKind::runtime, std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                               cublasGetStatusString(status) + " (" + cublasGetStatusName(status) + ")");
}

// One handle for the program: it knows the device, and is told stream and workspace before each call. (A stream of its
// own would bring cuBLAS's workspace with it.)
cublasHandle_t handle_for(const Context& ctx, const Tensor& workspace) {
  static cublasHandle_t handle = [] {
    cublasHandle_t h = nullptr;
    check(cublasCreate(&h), "cublasCreate");
    return h;
  }();
  check(cublasSetStream(handle, stream_of(ctx)), "cublasSetStream");
  void* aligned = workspace.bytes;
  size_t bytes = workspace.size_bytes();
  require(std::align(blas::kCublasAlignment, blas::kCublasWorkspace, aligned, bytes), "a workspace of cuBLAS's size");
  check(cublasSetWorkspace(handle, aligned, blas::kCublasWorkspace), "cublasSetWorkspace");
  return handle;
}

cudaDataType type_of(const Tensor& t) {
  require(t.dtype == DType::f32 || t.dtype == DType::bf16, "matrix products are f32 or bf16");
  return t.dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

}  // namespace

// cuBLAS reads matrices column by column: a row-major matrix is the transpose of what it sees, and c^T = b^T a^T.
void gemm(Context& ctx, const blas::Gemm& shape, const Tensor& a, const Tensor& b, Tensor& workspace, Tensor& c) {
  constexpr float kOne = 1, kZero = 0;
  const auto m = static_cast<int>(shape.m), n = static_cast<int>(shape.n), k = static_cast<int>(shape.k);
  const bool tf32 = a.dtype == DType::f32 && ctx.precision == Precision::tf32;
  check(cublasGemmEx(handle_for(ctx, workspace), shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                     shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &kOne, b.bytes, type_of(b),
                     shape.transpose_b ? k : n, a.bytes, type_of(a), shape.transpose_a ? m : k, &kZero, c.bytes,
                     type_of(c), n, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

}  // namespace poise::cuda
