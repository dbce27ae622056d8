// libcusparse for programs that run on the stand-in: products of block-sparse (BSR) and dense matrices, on the CPU.
#include <cusparse.h>

#include <algorithm>
#include <vector>

#include "tests/ptx/stand_in/libraries.h"

using namespace poise::stand_in;

struct cusparseContext {
  cudaStream_t stream = nullptr;
};
struct cusparseDnMatDescr {
  int64_t rows, cols, leading;
  void* values;
  cudaDataType type;
  cusparseOrder_t order;
};
struct cusparseSpMatDescr {
  int64_t block_rows, block_cols, blocks, block;
  void *row_offsets, *columns, *values;
  cudaDataType type;
};

namespace {

constexpr size_t kWorkspace = 64;

cusparseStatus_t refuse(cusparseStatus_t status, const char* call, const std::string& why) {
  poise_stand_in_complain(call, why.c_str());
  return status;
}

// A dense matrix with its host address.
struct Dense {
  void* values;
  cudaDataType type;
  size_t row_step, col_step;
  float get(int64_t row, int64_t col) const {
    return load(values, type, static_cast<size_t>(row) * row_step + static_cast<size_t>(col) * col_step);
  }
  void set(int64_t row, int64_t col, float x) const {
    store(values, type, static_cast<size_t>(row) * row_step + static_cast<size_t>(col) * col_step, x);
  }
};
bool find(const cusparseDnMatDescr& m, Dense& dense) {
  const bool by_rows = m.order == CUSPARSE_ORDER_ROW;
  const auto leading = static_cast<size_t>(m.leading);
  const size_t elements = leading * static_cast<size_t>(by_rows ? m.rows : m.cols);
  dense = {poise_stand_in_memory(m.values, elements * size_of(m.type)), m.type, by_rows ? leading : 1,
           by_rows ? 1 : leading};
  return dense.values != nullptr;
}

struct Sparse {
  const int32_t *row_offsets, *columns;
  void* values;
};
bool find(const cusparseSpMatDescr& m, Sparse& sparse) {
  sparse.row_offsets = memory<int32_t>(m.row_offsets, static_cast<size_t>(m.block_rows) + 1);
  sparse.columns = memory<int32_t>(m.columns, static_cast<size_t>(m.blocks));
  sparse.values = poise_stand_in_memory(m.values, static_cast<size_t>(m.blocks * m.block * m.block) * size_of(m.type));
  return sparse.row_offsets && sparse.columns && sparse.values;
}

cusparseStatus_t check(const char* call, cusparseOperation_t a, cusparseOperation_t b, cudaDataType compute) {
  if (a != CUSPARSE_OPERATION_NON_TRANSPOSE || b != CUSPARSE_OPERATION_NON_TRANSPOSE || compute != CUDA_R_32F) {
    return refuse(CUSPARSE_STATUS_NOT_SUPPORTED, call, "only plain operands and sums in f32 are known here");
  }
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t check_types(const char* call, cudaDataType a, cudaDataType b, cudaDataType result) {
  if (a != b || (result != CUDA_R_32F && result != a)) {
    return refuse(CUSPARSE_STATUS_NOT_SUPPORTED, call, "incompatible types");
  }
  return CUSPARSE_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cusparseStatus_t cusparseCreate(cusparseHandle_t* handle) {
  *handle = new cusparseContext;
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroy(cusparseHandle_t handle) {
  delete handle;
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseSetStream(cusparseHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseCreateDnMat(cusparseDnMatDescr_t* m, int64_t rows, int64_t cols, int64_t leading, void* values,
                                     cudaDataType type, cusparseOrder_t order) {
  if (rows < 0 || cols < 0 || leading < (order == CUSPARSE_ORDER_ROW ? cols : rows) || !values) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, "cusparseCreateDnMat", "sizes, leading dimension or a null pointer");
  }
  *m = new cusparseDnMatDescr{rows, cols, leading, values, type, order};
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroyDnMat(cusparseConstDnMatDescr_t m) {
  delete m;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseCreateBsr(cusparseSpMatDescr_t* m, int64_t rows, int64_t cols, int64_t blocks,
                                   int64_t row_block, int64_t col_block, void* row_offsets, void* columns, void* values,
                                   cusparseIndexType_t offset_type, cusparseIndexType_t column_type,
                                   cusparseIndexBase_t base, cudaDataType type, cusparseOrder_t order) {
  constexpr const char* kCall = "cusparseCreateBsr";
  if (rows < 0 || cols < 0 || blocks < 0 || row_block <= 0 || !row_offsets || !columns || !values) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, kCall, "sizes or a null pointer");
  }
  if (row_block != col_block || offset_type != CUSPARSE_INDEX_32I || column_type != CUSPARSE_INDEX_32I ||
      base != CUSPARSE_INDEX_BASE_ZERO || order != CUSPARSE_ORDER_ROW) {
    return refuse(CUSPARSE_STATUS_NOT_SUPPORTED, kCall, "this layout is not known here");
  }
  *m = new cusparseSpMatDescr{rows, cols, blocks, row_block, row_offsets, columns, values, type};
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseDestroySpMat(cusparseConstSpMatDescr_t m) {
  delete m;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseSpMM_bufferSize(cusparseHandle_t, cusparseOperation_t, cusparseOperation_t, const void*,
                                         cusparseConstSpMatDescr_t, cusparseConstDnMatDescr_t, const void*,
                                         cusparseDnMatDescr_t, cudaDataType, cusparseSpMMAlg_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUSPARSE_STATUS_SUCCESS;
}

// C = alpha A B + beta C
cusparseStatus_t cusparseSpMM(cusparseHandle_t handle, cusparseOperation_t op_a, cusparseOperation_t op_b,
                              const void* alpha, cusparseConstSpMatDescr_t a, cusparseConstDnMatDescr_t b,
                              const void* beta, cusparseDnMatDescr_t c, cudaDataType compute, cusparseSpMMAlg_t,
                              void* workspace) {
  constexpr const char* kCall = "cusparseSpMM";
  if (const auto status = check(kCall, op_a, op_b, compute)) return status;
  if (const auto status = check_types(kCall, a->type, b->type, c->type)) return status;
  if (a->block_cols * a->block != b->rows || a->block_rows * a->block != c->rows || b->cols != c->cols) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, kCall, "incompatible sizes");
  }
  Sparse sparse;
  Dense right, result;
  if (!find(*a, sparse) || !find(*b, right) || !find(*c, result) || !poise_stand_in_memory(workspace, kWorkspace)) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, kCall, "an operand is not in one piece of device memory");
  }
  const float x = *static_cast<const float*>(alpha), y = *static_cast<const float*>(beta);
  const cusparseSpMatDescr shape = *a;
  const int64_t cols = c->cols;
  submit(handle->stream, [=] {
    const int64_t n = shape.block;
    std::vector<double> sums(static_cast<size_t>(n));
    for (int64_t row = 0; row < shape.block_rows; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        std::fill(sums.begin(), sums.end(), 0);
        for (int32_t i = sparse.row_offsets[row]; i < sparse.row_offsets[row + 1]; ++i) {
          for (int64_t s = 0; s < n; ++s) {
            const auto value = static_cast<double>(right.get(sparse.columns[i] * n + s, col));
            for (int64_t r = 0; r < n; ++r) {
              const auto at = static_cast<size_t>((int64_t{i} * n + r) * n + s);
              sums[static_cast<size_t>(r)] += static_cast<double>(load(sparse.values, shape.type, at)) * value;
            }
          }
        }
        for (int64_t r = 0; r < n; ++r) {
          const float before = y == 0 ? 0 : y * result.get(row * n + r, col);
          result.set(row * n + r, col, x * static_cast<float>(sums[static_cast<size_t>(r)]) + before);
        }
      }
    }
  });
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseSDDMM_bufferSize(cusparseHandle_t, cusparseOperation_t, cusparseOperation_t, const void*,
                                          cusparseConstDnMatDescr_t, cusparseConstDnMatDescr_t, const void*,
                                          cusparseSpMatDescr_t, cudaDataType, cusparseSDDMMAlg_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUSPARSE_STATUS_SUCCESS;
}

// C = alpha (A B) at the blocks of C, + beta C
cusparseStatus_t cusparseSDDMM(cusparseHandle_t handle, cusparseOperation_t op_a, cusparseOperation_t op_b,
                               const void* alpha, cusparseConstDnMatDescr_t a, cusparseConstDnMatDescr_t b,
                               const void* beta, cusparseSpMatDescr_t c, cudaDataType compute, cusparseSDDMMAlg_t,
                               void* workspace) {
  constexpr const char* kCall = "cusparseSDDMM";
  if (const auto status = check(kCall, op_a, op_b, compute)) return status;
  if (const auto status = check_types(kCall, a->type, b->type, c->type)) return status;
  if (c->block_rows * c->block != a->rows || c->block_cols * c->block != b->cols || a->cols != b->rows) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, kCall, "incompatible sizes");
  }
  Sparse sparse;
  Dense left, right;
  if (!find(*c, sparse) || !find(*a, left) || !find(*b, right) || !poise_stand_in_memory(workspace, kWorkspace)) {
    return refuse(CUSPARSE_STATUS_INVALID_VALUE, kCall, "an operand is not in one piece of device memory");
  }
  const float x = *static_cast<const float*>(alpha), y = *static_cast<const float*>(beta);
  const cusparseSpMatDescr shape = *c;
  const int64_t inner = a->cols;
  submit(handle->stream, [=] {
    const int64_t n = shape.block;
    std::vector<double> sums(static_cast<size_t>(n * n));
    for (int64_t row = 0; row < shape.block_rows; ++row) {
      for (int32_t i = sparse.row_offsets[row]; i < sparse.row_offsets[row + 1]; ++i) {
        std::fill(sums.begin(), sums.end(), 0);
        for (int64_t k = 0; k < inner; ++k) {
          for (int64_t r = 0; r < n; ++r) {
            const auto value = static_cast<double>(left.get(row * n + r, k));
            for (int64_t s = 0; s < n; ++s) {
              sums[static_cast<size_t>(r * n + s)] +=
                  value * static_cast<double>(right.get(k, sparse.columns[i] * n + s));
            }
          }
        }
        for (size_t e = 0; e < sums.size(); ++e) {
          const size_t at = static_cast<size_t>(int64_t{i} * n * n) + e;
          const float before = y == 0 ? 0 : y * load(sparse.values, shape.type, at);
          store(sparse.values, shape.type, at, x * static_cast<float>(sums[e]) + before);
        }
      }
    }
  });
  return CUSPARSE_STATUS_SUCCESS;
}

const char* cusparseGetErrorName(cusparseStatus_t status) {
  switch (status) {
    case CUSPARSE_STATUS_SUCCESS:
      return "CUSPARSE_STATUS_SUCCESS";
    case CUSPARSE_STATUS_INVALID_VALUE:
      return "CUSPARSE_STATUS_INVALID_VALUE";
    case CUSPARSE_STATUS_NOT_SUPPORTED:
      return "CUSPARSE_STATUS_NOT_SUPPORTED";
    default:
      return "CUSPARSE_STATUS_INTERNAL_ERROR";
  }
}
const char* cusparseGetErrorString(cusparseStatus_t status) { return cusparseGetErrorName(status); }

}  // extern "C"
