// Execution weight by weight is the CPU's: a GPU keeps single weights masked and computes densely.
#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorKind::usage, "execution = weights needs --device cpu but this is a GPU; use execution = auto or block");
}

void build_weight_index(Context&, const Tensor&, WeightIndex&) { refuse(); }
Conv2dPlan weights_conv2d_plan(const Context&, const Conv2dGeometry&, const WeightIndex&, DType, Pass) { refuse(); }
void weights_conv2d_forward(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor&, const Tensor&,
                            const Tensor&, Tensor&, Tensor&) {
  refuse();
}
void weights_conv2d_backward_input(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor&, const Tensor&,
                                   Tensor&, Tensor&) {
  refuse();
}
void weights_conv2d_backward_weight(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor&, const Tensor&,
                                    Tensor&, Tensor&, Tensor&) {
  refuse();
}

}  // namespace

void add_weights_conv2d_kernels(KernelTable& table) {
  table.build_weight_index = build_weight_index;
  table.weights_conv2d_plan = weights_conv2d_plan;
  table.weights_conv2d_forward = weights_conv2d_forward;
  table.weights_conv2d_backward_input = weights_conv2d_backward_input;
  table.weights_conv2d_backward_weight = weights_conv2d_backward_weight;
}

}  // namespace poise::POISE_GPU
