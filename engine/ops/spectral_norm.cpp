// weight / sigma, with sigma estimated by one power iteration per training pass (Miyato et al. 2018). All weights of a
// network are normalised in one kernel call and differentiated in another: each is a node, and all are one batch.
#include <vector>

#include "engine/ops/derived_weights.h"
#include "engine/ops/ops.h"
#include "engine/sparse/layer_execution.h"

namespace poise {
namespace {

// A pass with an iteration multiplies the weight by u once and by v twice; one without multiplies it by v once.
double forward_flops(const Tensor& weight, bool iterate) {
  return (iterate ? 6.0 : 2.0) * static_cast<double>(weight.elements());
}

const LayerExecution* execution_of(Var weight) { return weight.parameter() ? weight.parameter()->execution : nullptr; }

// The mask of the weight's layer if there is one and its runs are as long as the kernels can skip; otherwise empty.
Tensor mask_of(Var weight) {
  const LayerExecution* execution = execution_of(weight);
  const bool fits =
      execution && execution->mask && execution->mask.elements() * kLongestRun == weight.shape().elements();
  return fits ? execution->mask : Tensor{};
}

// Are gradients of dead weights needed? They are if the dense kernels compute the layer's weight gradient.
bool wants_dead(Var weight) {
  const LayerExecution* execution = execution_of(weight);
  return !execution || execution->now(Pass::backward_weight) == Execution::dense;
}

int64_t padded(int64_t elements) {  // so that every slice starts on a cache line
  return static_cast<int64_t>(align_up(static_cast<size_t>(elements) * size_of(DType::bf16)) / size_of(DType::bf16));
}

// Allocates memory for a bf16 copy of every y, if activations are bf16.
void allocate_narrow(Tape& t, std::vector<SpectralNormLayer>& layers) {
  if (activation_dtype(t.ctx.precision) != DType::bf16) return;
  int64_t elements = 0;
  for (const SpectralNormLayer& l : layers) elements += padded(l.y.elements());
  const Tensor all = t.alloc({elements}, DType::bf16);
  int64_t first = 0;
  for (SpectralNormLayer& l : layers) {
    l.narrow = all.slice(first, l.y.elements()).reshaped(l.y.shape);
    first += padded(l.y.elements());
  }
  t.record({.name = "spectral_norm", .output = all});
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
          .mask = mask_of(operand.weight),
          .u_used = t.alloc({out}, w.dtype),
          .v_used = t.alloc({rest}, w.dtype),
          .sigma = t.alloc({1}, w.dtype),
          .y = t.alloc(w.shape, w.dtype)};
}

// `g` belongs to the first node of a batch. Layers that no gradient has reached are skipped.
void differentiate(Grads& g) {
  std::vector<SpectralNormGradient> layers;
  std::vector<int> reached;
  double flops = 0;
  for (int i = 0; i < g.node().batch; ++i) {
    const Grads of_layer = g.of_batch(i);
    if (!of_layer.dy() || !of_layer.wants(of_layer.node().inputs[0])) continue;
    const Node& n = of_layer.node();
    layers.push_back({.y = n.output,
                      .u_used = n.saved[0],
                      .v_used = n.saved[1],
                      .sigma = n.saved[2],
                      .dy = of_layer.dy(),
                      .mask = wants_dead(n.inputs[0]) ? Tensor{} : mask_of(n.inputs[0]),
                      .dweight = of_layer.alloc(n.inputs[0])});
    reached.push_back(i);
    flops += 4.0 * static_cast<double>(n.output.elements());
  }
  {
    Arena::Workspace workspace(*g.ctx().arena, spectral_norm_backward_workspace(layers.size()));
    g.tape().launch(arithmetic_work("spectral_norm", Pass::backward, flops), g.kernels().spectral_norm_backward,
                    std::span<const SpectralNormGradient>(layers), workspace);
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const Grads of_layer = g.of_batch(reached[i]);
    of_layer.add(of_layer.node().inputs[0], layers[i].dweight);
  }
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
  allocate_narrow(t, layers);
  {
    Arena::Workspace workspace(*t.ctx.arena, spectral_norm_workspace(layers));
    t.launch(arithmetic_work("spectral_norm", Pass::forward, flops), t.ctx.kernels->spectral_norm_forward, iterate,
             std::span<const SpectralNormLayer>(layers), workspace);
  }
  DerivedWeights derived(t);
  for (size_t i = 0; i < layers.size(); ++i) derived.add_convolution(operands[i].parameter, layers[i].y);
  derived.make();
  const int count = static_cast<int>(layers.size());
  for (int i = 0; i < count; ++i) {
    const SpectralNormLayer& l = layers[i];
    operands[i].y = t.record({.name = "spectral_norm",
                              .inputs = {operands[i].weight},
                              .output = l.y,
                              .saved = {l.u_used, l.v_used, l.sigma},
                              .batch = t.in_batches ? count : 1,
                              .place = t.in_batches ? i : 0,
                              .backward = differentiate});
    t.set_forms(operands[i].y, l.narrow, derived.of(static_cast<size_t>(i)));
  }
}

Var spectral_norm(Var weight, Tensor u, Tensor v, double eps) {
  Tape& t = *weight.tape;
  SpectralNormOperand operand{.weight = weight, .u = u, .v = v, .eps = eps, .layer = &t.scope()};
  spectral_norm(t, {&operand, 1});
  return operand.y;
}

}  // namespace poise
