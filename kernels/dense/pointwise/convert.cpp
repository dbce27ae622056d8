#include "kernels/dense/pointwise/convert.h"

#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

template <class From, class To>
void convert_elements(const Tensor& from, Tensor& to) {
  const From* const x = from.data<From>();
  To* const y = to.data<To>();
  simd_chunks(from.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = from_float<To>(to_float(x[i]));
  });
}

}  // namespace

void convert(Context&, const Tensor& from, Tensor& to) {
  if (from.dtype == DType::f32 && to.dtype == DType::bf16) return convert_elements<float, bf16>(from, to);
  require(from.dtype == DType::bf16 && to.dtype == DType::f32, "convert supports f32 to bf16 and bf16 to f32");
  convert_elements<bf16, float>(from, to);
}

}  // namespace poise::cpu
