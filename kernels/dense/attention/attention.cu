// Simple kernels for self-attention on the GPU: it is about 1% of the arithmetic of the networks that use it.
//
// batched_matmul: a block of 16x16 threads computes a 64x64 tile of one image's product in f32 on CUDA cores, taking 16
// summands at a time from shared memory; thread (r, q) owns rows r, r+16, ... and columns q, q+16, ... of the tile.
// That is 2 m n k FLOPs per image: for 64 images of 1024 x 256 x 20, 0.7 GFLOP, 20 us at 35 TFLOP/s. softmax: a warp
// per row, three reads and a write. gated_add: element-wise; the gate's gradient is summed in two passes of fixed
// order. Predicted; not yet measured on a GPU.
#include "kernels/dense/attention/attention.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kEdge = 16, kThreads = kEdge * kEdge, kTile = 64, kPerThread = kTile / kEdge;

// Tiles of op(a) and op(b), summands first. The extra column makes threads that access one column hit different banks.
struct ProductTiles {
  float a[kEdge][kTile + 1], b[kEdge][kTile + 1];
};

// tile[k][i] = matrix(first + i, first_k + k), zero outside. With k_fastest, consecutive summands are neighbours in
// memory.
template <bool k_fastest, class T>
__device__ inline void load_tile(float (&tile)[kEdge][kTile + 1], const T* matrix, int first, int rows, int first_k,
                                 int depth) {
#pragma unroll
  for (int step = 0; step < kTile * kEdge / kThreads; ++step) {
    const int t = static_cast<int>(threadIdx.x) + step * kThreads;
    const int k = k_fastest ? t % kEdge : t / kTile, i = k_fastest ? t / kEdge : t % kTile;
    const int row = first + i, summand = first_k + k;
    const bool inside = row < rows && summand < depth;
    const int64_t at = k_fastest ? int64_t{row} * depth + summand : int64_t{summand} * rows + row;
    tile[k][i] = inside ? to_float(matrix[at]) : 0.0f;
  }
}

// Grid {tiles of columns, tiles of rows, images}.
template <class T, bool transpose_a, bool transpose_b>
__global__ __launch_bounds__(kThreads) void batched_matmul_kernel(int m, int n, int depth, const T* a, const T* b,
                                                                  T* c) {
  GPU_SHARED(tiles, ProductTiles);
  const int64_t image = blockIdx.z;
  const T *left = a + image * m * depth, *right = b + image * depth * n;
  const int first_row = static_cast<int>(blockIdx.y) * kTile, first_column = static_cast<int>(blockIdx.x) * kTile;
  const int r = static_cast<int>(threadIdx.x) / kEdge, q = static_cast<int>(threadIdx.x) % kEdge;
  float sum[kPerThread][kPerThread] = {};
  for (int first_k = 0; first_k < depth; first_k += kEdge) {
    load_tile<!transpose_a>(tiles.a, left, first_row, m, first_k, depth);
    load_tile<transpose_b>(tiles.b, right, first_column, n, first_k, depth);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kEdge; ++k) {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
          sum[i][j] = fmaf(tiles.a[k][r + i * kEdge], tiles.b[k][q + j * kEdge], sum[i][j]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) {
      const int row = first_row + r + i * kEdge, column = first_column + q + j * kEdge;
      if (row < m && column < n) c[(image * m + row) * n + column] = from_float<T>(sum[i][j]);
    }
  }
}

constexpr int kWarps = 4;  // rows per block of softmax

__device__ inline float warp_max(float v) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, offset));
  return v;
}

template <class T>
__global__ __launch_bounds__(kWarps* kWarp) void softmax_forward_kernel(int64_t rows, int n, const T* x, T* y) {
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp_id();
  if (row >= rows) return;  // the whole warp
  const T* from = x + row * n;
  T* to = y + row * n;
  float largest = to_float(from[0]);
  for (int i = lane_id(); i < n; i += kWarp) largest = fmaxf(largest, to_float(from[i]));
  largest = warp_max(largest);
  float sum = 0;  // fmaxf ignores a NaN, but this sum does not
  for (int i = lane_id(); i < n; i += kWarp) sum += expf(to_float(from[i]) - largest);
  sum = warp_sum(sum);
  for (int i = lane_id(); i < n; i += kWarp) to[i] = from_float<T>(expf(to_float(from[i]) - largest) / sum);
}

template <class T>
__global__ __launch_bounds__(kWarps* kWarp) void softmax_backward_kernel(int64_t rows, int n, const T* y, const T* dy,
                                                                         T* dx) {
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp_id();
  if (row >= rows) return;  // the whole warp
  float inner = 0;
  for (int i = lane_id(); i < n; i += kWarp) inner += to_float(y[row * n + i]) * to_float(dy[row * n + i]);
  inner = warp_sum(inner);
  for (int i = lane_id(); i < n; i += kWarp) {
    dx[row * n + i] = from_float<T>(to_float(y[row * n + i]) * (to_float(dy[row * n + i]) - inner));
  }
}

template <class T, int N>
__global__ void gated_add_forward_kernel(int64_t n, const T* x, const T* o, const float* gate, T* y) {
  const float g = *gate;
  map_elements<N>(
      n, [=](float value, float other) { return fmaf(g, other, value); }, y, x, o);
}

// Writes one partial sum of dy o per block; sum_partial_kernel adds them up.
template <class T>
__global__ __launch_bounds__(kThreads) void gated_add_backward_kernel(int64_t n, const T* o, const float* gate,
                                                                      const T* dy, float* partial, T* grad_o) {
  GPU_SHARED(shared, float[kThreads / kWarp]);
  const float g = *gate;
  float sum = 0;
  for_each_element(n, [&](int64_t i) {
    const float upstream = to_float(dy[i]);
    sum += upstream * to_float(o[i]);
    grad_o[i] = from_float<T>(g * upstream);
  });
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

static_assert(kGatedAddPartialSums == kThreads);
__global__ __launch_bounds__(kThreads) void sum_partial_kernel(const float* partial, float* total) {
  GPU_SHARED(shared, float[kThreads / kWarp]);
  const float sum = block_sum(partial[threadIdx.x], shared);
  if (threadIdx.x == 0) *total = sum;
}

LaunchShape by_rows(int64_t rows) {
  return {.grid = static_cast<uint32_t>(ceil_div<int64_t>(rows, kWarps)), .block = kWarps * kWarp};
}

}  // namespace

void batched_matmul(Context& ctx, bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b, Tensor& c) {
  const auto images = static_cast<uint32_t>(c.shape[0]);
  const auto m = static_cast<int>(c.shape[1]), n = static_cast<int>(c.shape[2]);
  const auto depth = static_cast<int>(transpose_a ? a.shape[1] : a.shape[2]);
  const LaunchShape shape{
      .grid = {static_cast<uint32_t>(ceil_div(n, kTile)), static_cast<uint32_t>(ceil_div(m, kTile)), images},
      .block = kThreads};
  dispatch_stored(c.dtype, [&]<class T>() {
    const auto run = [&](auto* kernel) {
      launch(ctx, shape, kernel, m, n, depth, a.data<T>(), b.data<T>(), c.data<T>());
    };
    if (transpose_a) {
      transpose_b ? run(batched_matmul_kernel<T, true, true>) : run(batched_matmul_kernel<T, true, false>);
    } else {
      transpose_b ? run(batched_matmul_kernel<T, false, true>) : run(batched_matmul_kernel<T, false, false>);
    }
  });
}

void softmax_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const int64_t rows = x.shape.rows();
  dispatch_stored(x.dtype, [&]<class T>() {
    launch(ctx, by_rows(rows), softmax_forward_kernel<T>, rows, static_cast<int>(x.shape.back()), x.data<T>(),
           y.data<T>());
  });
}

void softmax_backward(Context& ctx, const Tensor& y, const Tensor& dy, Tensor& dx) {
  const int64_t rows = y.shape.rows();
  dispatch_stored(y.dtype, [&]<class T>() {
    launch(ctx, by_rows(rows), softmax_backward_kernel<T>, rows, static_cast<int>(y.shape.back()), y.data<T>(),
           dy.data<T>(), dx.data<T>());
  });
}

void gated_add_forward(Context& ctx, const Tensor& x, const Tensor& o, const Tensor& gate, Tensor& y) {
  const int64_t n = y.elements();
  dispatch_elementwise(y.dtype, {&x, &o, &y}, [&]<class T, int N>() {
    launch(ctx, elementwise(n / N), gated_add_forward_kernel<T, N>, n, x.data<T>(), o.data<T>(), gate.data<float>(),
           y.data<T>());
  });
}

void gated_add_backward(Context& ctx, const Tensor& o, const Tensor& gate, const Tensor& dy, Tensor& workspace,
                        Tensor& grad_o, Tensor& dgate) {
  auto* partial = static_cast<float*>(workspace.bytes);
  dispatch_stored(o.dtype, [&]<class T>() {
    launch(ctx, {.grid = static_cast<uint32_t>(kGatedAddPartialSums), .block = kThreads}, gated_add_backward_kernel<T>,
           o.elements(), o.data<T>(), gate.data<float>(), dy.data<T>(), partial, grad_o.data<T>());
  });
  launch(ctx, {.grid = 1, .block = kThreads}, sum_partial_kernel, partial, dgate.data<float>());
}

}  // namespace poise::POISE_GPU
