// Execution weight by weight is for the CPU only: a GPU keeps single weights masked and computes densely.
#include "kernels/gpu/table.h"

namespace poise::POISE_GPU {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorKind::usage, "execution = weights needs --device cpu but this is a GPU; use execution = auto or block");
}

}  // namespace

void build_weight_index(Context&, const Tensor&, WeightIndex&) { refuse(); }
Conv2dPlan weights_conv2d_plan(const Context&, const Conv2dGeometry&, const WeightIndex&, DType, Pass) { refuse(); }
void weights_conv2d_forward(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput&, const Tensor&,
                            const Tensor&, Tensor&, const LayerOutput&) {
  refuse();
}
void weights_conv2d_backward_input(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor&, const Tensor&,
                                   Tensor&, const InputGradient&) {
  refuse();
}
void weights_conv2d_backward_weight(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput&,
                                    const Tensor&, Tensor&, Tensor&, Tensor&) {
  refuse();
}

}  // namespace poise::POISE_GPU
