// weight / sigma, sigma estimated by one power iteration per training pass (Miyato et al. 2018). All weights of a
// network are normalised in one kernel call, and each is a node of its own: a layer's gradient is its own affair.
#include <vector>

#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

// Iterating, a pass multiplies the weight with u, v and v; otherwise with v alone.
double forward_flops(const Tensor& weight, bool iterate) {
  return (iterate ? 6.0 : 2.0) * static_cast<double>(weight.elements());
}

SpectralNormLayer allocate(Tape& t, const SpectralNormOperand& operand) {
  const Tensor w = operand.weight.value();
  const int64_t out = w.shape[0], rest = w.elements() / w.shape[0];
  const Tensor &u = operand.u, &v = operand.v;
  check(t, u.shape == Shape{out} && v.shape == Shape{rest} && u.dtype == w.dtype && v.dtype == w.dtype, [&] {
    return "spectral_norm expects u " + Shape{out}.to_string() + " and v " + Shape{rest}.to_string() + " for weight " +
           w.shape.to_string() + " but got " + u.shape.to_string() + " and " + v.shape.to_string();
  });
  return {.eps = operand.eps,
          .weight = w,
          .u = u,
          .v = v,
          .u_used = t.alloc({out}, w.dtype),
          .v_used = t.alloc({rest}, w.dtype),
          .sigma = t.alloc({1}, w.dtype),
          .y = t.alloc(w.shape, w.dtype)};
}

Var record(Tape& t, Var weight, const SpectralNormLayer& l) {
  return t.record({.name = "spectral_norm",
                   .inputs = {weight},
                   .output = l.y,
                   .saved = {l.u_used, l.v_used, l.sigma},
                   .backward = [weight, y = l.y, u = l.u_used, v = l.v_used, sigma = l.sigma](Grads& g) {
                     Tensor dw = g.alloc(weight);
                     Arena::Workspace workspace(*g.ctx().arena, kSpectralNormBackwardWorkspace);
                     g.tape().launch(
                         arithmetic_work("spectral_norm", Pass::backward, 4.0 * static_cast<double>(y.elements())),
                         g.kernels().spectral_norm_backward, y, u, v, sigma, g.dy(), workspace, dw);
                     g.add(weight, dw);
                   }});
}

}  // namespace

void spectral_norm(Tape& t, std::span<SpectralNormOperand> operands) {
  const bool iterate = t.mode == Mode::train;
  std::vector<SpectralNormLayer> layers;
  double flops = 0;
  for (const SpectralNormOperand& operand : operands) {
    const Scope scope(t, *operand.layer);
    layers.push_back(allocate(t, operand));
    flops += forward_flops(layers.back().weight, iterate);
  }
  Arena::Workspace workspace(*t.ctx.arena, spectral_norm_workspace(layers));
  t.launch(arithmetic_work("spectral_norm", Pass::forward, flops), t.ctx.kernels->spectral_norm_forward, iterate,
           std::span<const SpectralNormLayer>(layers), workspace);
  for (size_t i = 0; i < layers.size(); ++i) {
    const Scope scope(t, *operands[i].layer);
    operands[i].y = record(t, operands[i].weight, layers[i]);
  }
}

Var spectral_norm(Var weight, Tensor u, Tensor v, double eps) {
  Tape& t = *weight.tape;
  SpectralNormOperand operand{.weight = weight, .u = u, .v = v, .eps = eps, .layer = &t.scope()};
  spectral_norm(t, {&operand, 1});
  return operand.y;
}

}  // namespace poise
