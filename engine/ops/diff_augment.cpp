// Differentiable augmentation of images.
#include "kernels/train/diff_augment.h"

#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var diff_augment(Var x, const DiffAugmentOptions& options) {
  Tape& t = *x.tape;
  check(t, x.shape().rank() == 4,
        [&] { return "diff_augment expects images [N,H,W,C] but got " + x.shape().to_string(); });
  const Tensor xv = x.value();
  Tensor y = t.alloc(x.shape(), x.dtype());
  t.launch({"diff_augment", Pass::forward}, t.ctx.kernels->diff_augment_forward, options, xv, y);
  return t.record(
      {.name = "diff_augment", .inputs = {x}, .output = y, .backward = [x, y, options](Grads& g) {
         Tensor dx = g.alloc(x);
         g.tape().launch({"diff_augment", Pass::backward}, g.kernels().diff_augment_backward, options, g.dy(), dx);
         g.add(x, dx);
       }});
}

}  // namespace poise
