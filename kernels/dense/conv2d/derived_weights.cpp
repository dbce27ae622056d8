#include "kernels/dense/conv2d/derived_weights.h"

#include "kernels/table.h"

namespace poise::cpu {

Shape conv2d_weight_shape(const Context&, const Conv2dGeometry& g, DType) { return g.weight_shape(); }

void derive_weights(Context& ctx, std::span<const DerivedWeight> weights) {
  for (const DerivedWeight& w : weights) {
    Tensor derived = w.derived;
    convert(ctx, w.weight, derived);
  }
}

}  // namespace poise::cpu
