#include "kernels/sparse/cusparse/cusparse_conv2d.h"

#include "kernels/core/error.h"

namespace poise::cpu {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorKind::usage,
       "execution = cusparse needs --device cuda or emulated but this is the CPU; use execution = auto or block");
}

}  // namespace

Conv2dPlan cusparse_conv2d_plan(const Context&, const Conv2dGeometry&, const BlockIndex&, DType, Pass) { refuse(); }
void cusparse_conv2d_forward(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput&, const Tensor&,
                             const Tensor&, Tensor&, const LayerOutput&) {
  refuse();
}
void cusparse_conv2d_backward_input(Context&, const Conv2dGeometry&, const BlockIndex&, const Tensor&, const Tensor&,
                                    Tensor&, const InputGradient&) {
  refuse();
}
void cusparse_conv2d_backward_weight(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput&,
                                     const Tensor&, Tensor&, Tensor&, Tensor&) {
  refuse();
}

}  // namespace poise::cpu
