// libcublas for programs that run on the stand-in: cublasGemmEx on the CPU, with the checks that the manual states.
#include <cublas_v2.h>

#include <algorithm>
#include <vector>

#include "tests/ptx/stand_in/libraries.h"

using namespace poise::stand_in;

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
};

namespace {

cublasStatus_t refuse(cublasStatus_t status, const char* call, const std::string& why) {
  poise_stand_in_complain(call, why.c_str());
  return status;
}

struct Matrix {
  const void* values;
  cudaDataType type;
  int leading;
  bool transposed;
};

float element(const Matrix& m, int row, int col) {
  const auto r = static_cast<size_t>(m.transposed ? col : row), c = static_cast<size_t>(m.transposed ? row : col);
  return load(m.values, m.type, r + c * static_cast<size_t>(m.leading));
}

// C = alpha A B + beta C, column by column.
void multiply(int m, int n, int k, float alpha, const Matrix& a, const Matrix& b, float beta, void* c,
              cudaDataType type, int leading, bool tf32) {
  const auto read = [&](const Matrix& from, int rows, int cols) {
    std::vector<double> values(static_cast<size_t>(rows) * static_cast<size_t>(cols));
    for (int col = 0; col < cols; ++col) {
      for (int row = 0; row < rows; ++row) {
        const float x = element(from, row, col);
        values[static_cast<size_t>(col) * static_cast<size_t>(rows) + static_cast<size_t>(row)] =
            static_cast<double>(tf32 ? rounded_to_tf32(x) : x);
      }
    }
    return values;
  };
  const std::vector<double> left = read(a, m, k), right = read(b, k, n);
  std::vector<double> sum(static_cast<size_t>(m));
  for (int col = 0; col < n; ++col) {
    std::fill(sum.begin(), sum.end(), 0);
    for (int l = 0; l < k; ++l) {
      const double x = right[static_cast<size_t>(col) * static_cast<size_t>(k) + static_cast<size_t>(l)];
      const double* from = left.data() + static_cast<size_t>(l) * static_cast<size_t>(m);
      for (size_t row = 0; row < sum.size(); ++row) sum[row] += x * from[row];
    }
    for (size_t row = 0; row < sum.size(); ++row) {
      const size_t at = row + static_cast<size_t>(col) * static_cast<size_t>(leading);
      const float before = beta == 0 ? 0 : beta * load(c, type, at);
      store(c, type, at, alpha * static_cast<float>(sum[row]) + before);
    }
  }
}

bool known(cudaDataType a, cudaDataType b, cudaDataType c) {
  return a == b &&
         ((a == CUDA_R_32F && c == CUDA_R_32F) || (a == CUDA_R_16BF && (c == CUDA_R_16BF || c == CUDA_R_32F)));
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

// Setting a stream resets the workspace to the library's own.
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  constexpr const char* kCall = "cublasSetWorkspace";
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, kCall, "the workspace is not aligned to 256 bytes");
  }
  if (!poise_stand_in_memory(workspace, bytes)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, kCall, "the workspace is not in one piece of device memory");
  }
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  constexpr const char* kCall = "cublasGemmEx";
  if (!known(a_type, b_type, c_type)) return refuse(CUBLAS_STATUS_NOT_SUPPORTED, kCall, "incompatible types");
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if ((!tf32 && compute != CUBLAS_COMPUTE_32F) || (tf32 && a_type != CUDA_R_32F)) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, kCall, "this arithmetic is not known here");
  }
  const bool ta = transa == CUBLAS_OP_T, tb = transb == CUBLAS_OP_T;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) ||
      ldc < std::max(1, m)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, kCall, "sizes or leading dimensions");
  }
  if (!handle->workspace)
    return refuse(CUBLAS_STATUS_ALLOC_FAILED, kCall, "expected a workspace set with cublasSetWorkspace");
  const auto extent = [](int leading, int cols, cudaDataType type) {
    return static_cast<size_t>(leading) * static_cast<size_t>(cols) * size_of(type);
  };
  const void* left = poise_stand_in_memory(a, extent(lda, ta ? m : k, a_type));
  const void* right = poise_stand_in_memory(b, extent(ldb, tb ? k : n, b_type));
  void* result = poise_stand_in_memory(c, extent(ldc, n, c_type));
  if (!left || !right || !result) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, kCall, "a matrix is not in one piece of device memory");
  }
  const float x = *static_cast<const float*>(alpha), y = *static_cast<const float*>(beta);
  const Matrix first{left, a_type, lda, ta}, second{right, b_type, ldb, tb};
  unsigned char* scratch =
      static_cast<unsigned char*>(poise_stand_in_memory(handle->workspace, handle->workspace_bytes));
  const size_t scratch_bytes = std::min<size_t>(handle->workspace_bytes, 4096);
  const bool done = submit(handle->stream, [=] {
    std::fill_n(scratch, scratch_bytes, static_cast<unsigned char>(0xee));  // the library may overwrite it
    multiply(m, n, k, x, first, second, y, result, c_type, ldc, tf32);
  });
  return done ? CUBLAS_STATUS_SUCCESS : refuse(CUBLAS_STATUS_INVALID_VALUE, kCall, "no such stream");
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    default:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}
const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }

}  // extern "C"
