// Implements kernels/gpu/sparse.h with cuSPARSE (BSR SpMM and SDDMM). Descriptors are created for each call: they are a
// few words on the host, and calls are part of captured steps, where host time does not matter.
#include "kernels/gpu/sparse.h"

#include <cusparse.h>

#include "kernels/gpu/cuda/handles.h"
#include "kernels/gpu/cuda/shared_library.h"

namespace poise::cuda {
namespace {

struct Cusparse {
  SharedLibrary cusparse{"a block-sparse product on the GPU", "libcusparse.so." + std::to_string(CUSPARSE_VER_MAJOR),
                         "CUDA's libcusparse " + std::to_string(CUSPARSE_VER_MAJOR)};
  decltype(&cusparseCreate) create = cusparse["cusparseCreate"];
  decltype(&cusparseSetStream) set_stream = cusparse["cusparseSetStream"];
  decltype(&cusparseCreateBsr) create_bsr = cusparse["cusparseCreateBsr"];
  decltype(&cusparseCreateDnMat) create_dense = cusparse["cusparseCreateDnMat"];
  decltype(&cusparseDestroyDnMat) destroy_dense = cusparse["cusparseDestroyDnMat"];
  decltype(&cusparseDestroySpMat) destroy_sparse = cusparse["cusparseDestroySpMat"];
  decltype(&cusparseSpMM_bufferSize) spmm_buffer_size = cusparse["cusparseSpMM_bufferSize"];
  decltype(&cusparseSpMM) spmm = cusparse["cusparseSpMM"];
  decltype(&cusparseSDDMM_bufferSize) sddmm_buffer_size = cusparse["cusparseSDDMM_bufferSize"];
  decltype(&cusparseSDDMM) sddmm = cusparse["cusparseSDDMM"];
  decltype(&cusparseGetErrorName) error_name = cusparse["cusparseGetErrorName"];
  decltype(&cusparseGetErrorString) error_string = cusparse["cusparseGetErrorString"];
};

void check(cusparseStatus_t status, const char* call, const char* file = __builtin_FILE(),
           int line = __builtin_LINE()) {
  if (status == CUSPARSE_STATUS_SUCCESS) return;
  fail(ErrorKind::runtime, std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                               opened<Cusparse>().error_string(status) + " (" + opened<Cusparse>().error_name(status) +
                               ")");
}

// One handle for the program. It is bound to the device; the stream is set before each call.
cusparseHandle_t handle_for(const Context& ctx) {
  static cusparseHandle_t handle = [] {
    cusparseHandle_t h = nullptr;
    check(opened<Cusparse>().create(&h), "cusparseCreate");
    return h;
  }();
  check(opened<Cusparse>().set_stream(handle, stream_of(ctx)), "cusparseSetStream");
  return handle;
}

cudaDataType type_of(const Tensor& t) {
  require(t.dtype == DType::f32 || t.dtype == DType::bf16, "block-sparse products are f32 or bf16");
  return t.dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

// For size queries: such a matrix has no memory, but must have an address.
void* address_of(const Tensor& t) {
  static char somewhere[16];
  return t.bytes ? t.bytes : somewhere;
}

struct DenseMatrix {
  DenseMatrix(const Tensor& t, int64_t rows, int64_t cols, cusparseOrder_t order) {
    const int64_t leading = order == CUSPARSE_ORDER_ROW ? cols : rows;
    check(opened<Cusparse>().create_dense(&descriptor, rows, cols, leading, address_of(t), type_of(t), order),
          "cusparseCreateDnMat");
  }
  ~DenseMatrix() { opened<Cusparse>().destroy_dense(descriptor); }
  DenseMatrix(const DenseMatrix&) = delete;
  DenseMatrix& operator=(const DenseMatrix&) = delete;
  cusparseDnMatDescr_t descriptor = nullptr;
};

struct SparseMatrix {
  explicit SparseMatrix(const gpu::BlockSparse& a) {
    check(opened<Cusparse>().create_bsr(&descriptor, a.rows / a.block, a.cols / a.block, a.columns.elements(), a.block,
                                        a.block, address_of(a.row_offsets), address_of(a.columns), address_of(a.values),
                                        CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO,
                                        type_of(a.values), CUSPARSE_ORDER_ROW),
          "cusparseCreateBsr");
  }
  ~SparseMatrix() { opened<Cusparse>().destroy_sparse(descriptor); }
  SparseMatrix(const SparseMatrix&) = delete;
  SparseMatrix& operator=(const SparseMatrix&) = delete;
  cusparseSpMatDescr_t descriptor = nullptr;
};

constexpr float kOne = 1, kZero = 0;
constexpr auto kPlain = CUSPARSE_OPERATION_NON_TRANSPOSE;

// Calls call(handle, a, b^T, c^T) with the descriptors for c^T = a b^T: a tensor with contiguous rows is its transpose
// with contiguous columns.
template <class Call>
void with_spmm(Context& ctx, const gpu::BlockSparse& a, const Tensor& b, const Tensor& c, const Call& call) {
  const SparseMatrix sparse(a);
  const DenseMatrix right(b, b.shape[1], b.shape[0], CUSPARSE_ORDER_COL);
  const DenseMatrix result(c, c.shape[1], c.shape[0], CUSPARSE_ORDER_COL);
  call(handle_for(ctx), sparse.descriptor, right.descriptor, result.descriptor);
}

size_t spmm_workspace(Context& ctx, const gpu::BlockSparse& a, const Tensor& b, const Tensor& c) {
  size_t bytes = 0;
  with_spmm(ctx, a, b, c, [&](auto handle, auto sparse, auto right, auto result) {
    check(opened<Cusparse>().spmm_buffer_size(handle, kPlain, kPlain, &kOne, sparse, right, &kZero, result, CUDA_R_32F,
                                              CUSPARSE_SPMM_BSR_ALG1, &bytes),
          "cusparseSpMM_bufferSize");
  });
  return bytes == 0 ? 1 : bytes;
}

void spmm(Context& ctx, const gpu::BlockSparse& a, const Tensor& b, Tensor& workspace, Tensor& c) {
  with_spmm(ctx, a, b, c, [&](auto handle, auto sparse, auto right, auto result) {
    check(opened<Cusparse>().spmm(handle, kPlain, kPlain, &kOne, sparse, right, &kZero, result, CUDA_R_32F,
                                  CUSPARSE_SPMM_BSR_ALG1, workspace.bytes),
          "cusparseSpMM");
  });
}

template <class Call>
void with_sddmm(Context& ctx, const Tensor& x, const Tensor& y, const gpu::BlockSparse& a, const Call& call) {
  const DenseMatrix left(x, x.shape[1], x.shape[0], CUSPARSE_ORDER_COL);
  const DenseMatrix right(y, y.shape[0], y.shape[1], CUSPARSE_ORDER_ROW);
  const SparseMatrix sparse(a);
  call(handle_for(ctx), left.descriptor, right.descriptor, sparse.descriptor);
}

size_t sddmm_workspace(Context& ctx, const Tensor& x, const Tensor& y, const gpu::BlockSparse& a) {
  size_t bytes = 0;
  with_sddmm(ctx, x, y, a, [&](auto handle, auto left, auto right, auto sparse) {
    check(opened<Cusparse>().sddmm_buffer_size(handle, kPlain, kPlain, &kOne, left, right, &kZero, sparse, CUDA_R_32F,
                                               CUSPARSE_SDDMM_ALG_DEFAULT, &bytes),
          "cusparseSDDMM_bufferSize");
  });
  return bytes == 0 ? 1 : bytes;
}

void sddmm(Context& ctx, const Tensor& x, const Tensor& y, bool add, Tensor& workspace, gpu::BlockSparse& a) {
  with_sddmm(ctx, x, y, a, [&](auto handle, auto left, auto right, auto sparse) {
    check(opened<Cusparse>().sddmm(handle, kPlain, kPlain, &kOne, left, right, add ? &kOne : &kZero, sparse, CUDA_R_32F,
                                   CUSPARSE_SDDMM_ALG_DEFAULT, workspace.bytes),
          "cusparseSDDMM");
  });
}

}  // namespace

const gpu::SparseProducts& sparse_products() {
  static constexpr gpu::SparseProducts table{spmm_workspace, spmm, sddmm_workspace, sddmm};
  return table;
}

}  // namespace poise::cuda
