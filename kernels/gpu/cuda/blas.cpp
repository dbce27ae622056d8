// Implements kernels/gpu/blas.h with cuBLAS.
#include "kernels/gpu/cuda/blas.h"

#include <cublas_v2.h>

#include <memory>

#include "kernels/gpu/cuda/handles.h"
#include "kernels/gpu/cuda/shared_library.h"

namespace poise::cuda {
namespace {

// The header overloads cublasGemmEx; this is the version that the library exports.
using GemmEx = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k,
                              const void* alpha, const void* a, cudaDataType, int lda, const void* b, cudaDataType,
                              int ldb, const void* beta, void* c, cudaDataType, int ldc, cublasComputeType_t,
                              cublasGemmAlgo_t);

struct Cublas {
  SharedLibrary cublas{"a matrix product on the GPU", "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR),
                       "CUDA's libcublas " + std::to_string(CUBLAS_VER_MAJOR)};
  decltype(&cublasCreate_v2) create = cublas["cublasCreate_v2"];
  decltype(&cublasSetStream_v2) set_stream = cublas["cublasSetStream_v2"];
  decltype(&cublasSetWorkspace_v2) set_workspace = cublas["cublasSetWorkspace_v2"];
  GemmEx* gemm = cublas["cublasGemmEx"];
  decltype(&cublasGetStatusName) status_name = cublas["cublasGetStatusName"];
  decltype(&cublasGetStatusString) status_string = cublas["cublasGetStatusString"];
};

void check(cublasStatus_t status, const char* call, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorKind::runtime, std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                               opened<Cublas>().status_string(status) + " (" + opened<Cublas>().status_name(status) +
                               ")");
}

// One handle for the program. It is bound to the device; stream and workspace are set before each call. (Setting a
// stream resets the workspace to cuBLAS's own.)
cublasHandle_t handle_for(const Context& ctx, const Tensor& workspace) {
  static cublasHandle_t handle = [] {
    cublasHandle_t h = nullptr;
    check(opened<Cublas>().create(&h), "cublasCreate");
    return h;
  }();
  check(opened<Cublas>().set_stream(handle, stream_of(ctx)), "cublasSetStream");
  void* aligned = workspace.bytes;
  size_t bytes = workspace.size_bytes();
  require(std::align(blas::kCublasAlignment, blas::kCublasWorkspace, aligned, bytes), "a workspace of cuBLAS's size");
  check(opened<Cublas>().set_workspace(handle, aligned, blas::kCublasWorkspace), "cublasSetWorkspace");
  return handle;
}

cudaDataType type_of(const Tensor& t) {
  require(t.dtype == DType::f32 || t.dtype == DType::bf16, "matrix products are f32 or bf16");
  return t.dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

}  // namespace

// cuBLAS is column-major: it reads a row-major matrix as its transpose, and c^T = b^T a^T.
void gemm(Context& ctx, const blas::Gemm& shape, const Tensor& a, const Tensor& b, Tensor& workspace, Tensor& c) {
  constexpr float kOne = 1, kZero = 0;
  const auto m = static_cast<int>(shape.m), n = static_cast<int>(shape.n), k = static_cast<int>(shape.k);
  const bool tf32 = a.dtype == DType::f32 && ctx.precision == Precision::tf32;
  check(opened<Cublas>().gemm(handle_for(ctx, workspace), shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                              shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &kOne, b.bytes, type_of(b),
                              shape.transpose_b ? k : n, a.bytes, type_of(a), shape.transpose_a ? m : k, &kZero,
                              c.bytes, type_of(c), n, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                              CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

}  // namespace poise::cuda
