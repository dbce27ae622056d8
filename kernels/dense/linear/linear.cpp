// The linear layer as plain loops. All sums are taken in double, also for f32, and so are exact up to the final
// rounding: this file is the reference for the faster kernels.
#include "kernels/dense/linear/linear.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/core/widened.h"

namespace poise::cpu {
namespace {

constexpr int64_t kColumns = 256;  // columns of one task: their sums are 2 KiB of stack

// y[i] = sum_k a[k * a_stride] * b[k * b_stride + i] for i < columns <= kColumns: one row of a matrix product.
template <class T, class Y>
void row_of_product(int64_t k, int64_t columns, const T* a, int64_t a_stride, const T* b, int64_t b_stride, Y* y) {
  double sum[kColumns] = {};
  for (int64_t step = 0; step < k; ++step) {
    const double factor = static_cast<double>(computed(a[step * a_stride]));
    const T* row = b + step * b_stride;
    for (int64_t i = 0; i < columns; ++i) sum[i] += factor * static_cast<double>(computed(row[i]));
  }
  for (int64_t i = 0; i < columns; ++i) y[i] = stored<Y>(sum[i]);
}

int64_t column_blocks(int64_t columns) { return ceil_div(columns, kColumns); }

}  // namespace

// For linear_onednn.cpp, which multiplies f32 copies of bf16; these loops need no workspace.
size_t linear_plan(const Context&, const LinearGeometry& g, DType dtype, Pass) {
  return dtype == DType::bf16 ? widened_bytes({{g.n, g.in}, {g.out, g.in}, {g.n, g.out}}) : 0;
}

void linear_forward(Context&, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor&, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t n = x.shape[0], in = x.shape[1], out = weight.shape[0];
    const T* inputs = x.data<T>();
    const T* weights = weight.data<T>();
    const auto* biases = bias ? bias.data<Computed<T>>() : nullptr;
    T* outputs = y.data<T>();
    const int64_t blocks = column_blocks(out);
    simd_for(n * blocks, [=](int64_t task) {
      const int64_t row = task / blocks, first = task % blocks * kColumns, last = std::min(out, first + kColumns);
      for (int64_t o = first; o < last; ++o) {
        const double sum = dot(inputs + row * in, weights + o * in, in);
        outputs[row * out + o] = stored<T>(biases ? sum + static_cast<double>(biases[o]) : sum);
      }
    });
  });
}

void linear_backward_input(Context&, const Tensor& dy, const Tensor& weight, Tensor&, Tensor& dx) {
  dispatch_stored(dy.dtype, [&]<class T>() {
    const int64_t n = dy.shape[0], out = weight.shape[0], in = weight.shape[1];
    const T* grad_out = dy.data<T>();
    const T* weights = weight.data<T>();
    T* grad_in = dx.data<T>();
    const int64_t blocks = column_blocks(in);
    simd_for(n * blocks, [=](int64_t task) {
      const int64_t row = task / blocks, first = task % blocks * kColumns;
      row_of_product(out, std::min(kColumns, in - first), grad_out + row * out, 1, weights + first, in,
                     grad_in + row * in + first);
    });
  });
}

void linear_backward_weight(Context&, const Tensor& x, const Tensor& dy, Tensor&, Tensor& dweight, Tensor& dbias) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t n = x.shape[0], in = x.shape[1], out = dy.shape[1];
    const T* inputs = x.data<T>();
    const T* grad_out = dy.data<T>();
    auto* grad_weight = dweight.data<Computed<T>>();
    auto* grad_bias = dbias ? dbias.data<Computed<T>>() : nullptr;
    const int64_t blocks = column_blocks(in);
    simd_for(out * blocks, [=](int64_t task) {
      const int64_t o = task / blocks, first = task % blocks * kColumns;
      row_of_product(n, std::min(kColumns, in - first), grad_out + o, out, inputs + first, in,
                     grad_weight + o * in + first);
      if (grad_bias && first == 0) {
        double sum = 0;
        for (int64_t row = 0; row < n; ++row) sum += static_cast<double>(computed(grad_out[row * out + o]));
        grad_bias[o] = static_cast<Computed<T>>(sum);
      }
    });
  });
}

}  // namespace poise::cpu
