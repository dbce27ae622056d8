#include "kernels/gpu/emulated/blas.h"

#include <vector>

#include "kernels/gpu/emulated/stream.h"

namespace poise::emulator {
namespace {

std::vector<float> floats(const Tensor& t) {
  std::vector<float> values(static_cast<size_t>(t.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = t.dtype == DType::bf16 ? to_float(t.data<bf16>()[i]) : t.data<float>()[i];
  }
  return values;
}

void multiply(const blas::Gemm& g, const Tensor& a, const Tensor& b, const Tensor& c) {
  const std::vector<float> left = floats(a), right = floats(b);
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < g.k; ++k) {
        const float x = left[static_cast<size_t>(g.transpose_a ? k * g.m + i : i * g.k + k)];
        const float y = right[static_cast<size_t>(g.transpose_b ? j * g.k + k : k * g.n + j)];
        sum += static_cast<double>(x) * static_cast<double>(y);
      }
      const float value = static_cast<float>(sum);
      if (c.dtype == DType::bf16) {
        c.data<bf16>()[i * g.n + j] = to_bf16(value);
      } else {
        c.data<float>()[i * g.n + j] = value;
      }
    }
  }
}

}  // namespace

void gemm(Context& ctx, const blas::Gemm& shape, const Tensor& a, const Tensor& b, const Tensor& c) {
  if (!ctx.stream) return multiply(shape, a, b, c);
  static_cast<Stream*>(ctx.stream)->submit([=] { multiply(shape, a, b, c); });
}

}  // namespace poise::emulator
