#include "models/residual_blocks.h"

#include "models/layer_options.h"

namespace poise {
namespace {

constexpr PoolWindow kHalves{.size = 2, .stride = 2};

bool halves(DisBlockKind kind) { return kind == DisBlockKind::first || kind == DisBlockKind::down; }

LayerOptions without_bias(LayerOptions layer) {
  layer.bias = false;
  return layer;
}
}  // namespace

GenBlock::GenBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out)
    : Module(parent, name),
      bn1(*this, "bn1", c_in, kBatchNormRelu),
      conv1(*this, "conv1", c_in, c_out, upsampled(same_padding(3))),
      bn2(*this, "bn2", c_out, kBatchNormRelu),
      conv2(*this, "conv2", c_out, c_out, same_padding(3)),
      shortcut(*this, "shortcut", c_in, c_out, upsampled(same_padding(1))) {}

Var GenBlock::operator()(Var x) {
  Scope scope(*x.tape, path());
  Var h = bn2(spent(conv1(bn1(x), Var{}, Next::batch_norm)));
  return conv2(h, shortcut(x), Next::batch_norm);
}

ConditionalGenBlock::ConditionalGenBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out,
                                         const ConditionalNormOptions& norm, const LayerOptions& layer)
    : Module(parent, name),
      bn1(*this, "bn1", c_in, norm),
      conv1(*this, "conv1", c_in, c_out, upsampled(same_padding(3)), layer),
      bn2(*this, "bn2", c_out, norm),
      conv2(*this, "conv2", c_out, c_out, same_padding(3), layer),
      shortcut(*this, "shortcut", c_in, c_out, upsampled(same_padding(1)), layer) {}

Var ConditionalGenBlock::operator()(Var x, const Condition& condition) {
  Scope scope(*x.tape, path());
  Var h = bn2(conv1(bn1(x, condition), Var{}, Next::batch_norm), condition);
  return conv2(h, shortcut(x), Next::batch_norm);  // before attention (biggan64's block3) the statistics go unused
}

DisBlock::DisBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, DisBlockKind kind,
                   const LayerOptions& layer)
    : Module(parent, name),
      conv1(*this, "conv1", c_in, c_out, rectified(same_padding(3)), layer),
      conv2(*this, "conv2", c_out, c_out, halves(kind) ? pooled(same_padding(3)) : same_padding(3), layer),
      kind_(kind) {
  if (kind == DisBlockKind::plain) return;
  const Conv2dOptions conv = kind == DisBlockKind::down ? pooled(same_padding(1)) : same_padding(1);
  shortcut = std::make_unique<Conv2d>(*this, "shortcut", c_in, c_out, conv, layer);
}

Var DisBlock::operator()(Var x, Next next) {
  Scope scope(*x.tape, path());
  Var h = conv1(kind_ == DisBlockKind::first ? x : relu(x));
  if (!shortcut) return conv2(h, x, next);
  return conv2(h, (*shortcut)(kind_ == DisBlockKind::first ? avg_pool_2x2(x) : x), next);
}

SelfAttention::SelfAttention(Module& parent, const std::string& name, int64_t channels, LayerOptions layer)
    : Module(parent, name),
      theta(*this, "theta", channels, channels / 8, same_padding(1), without_bias(layer)),
      phi(*this, "phi", channels, channels / 8, same_padding(1), without_bias(layer)),
      g(*this, "g", channels, channels / 2, same_padding(1), without_bias(layer)),
      out(*this, "out", channels / 2, channels, same_padding(1), without_bias(layer)) {
  add_parameter(gate, "gate", {1}, ParameterRole::gate, 1, 1);
}

Var SelfAttention::operator()(Var x) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  const Shape s = x.shape();
  const auto as_matrices = [&](Var v) { return reshape(v, {s[0], v.shape()[1] * v.shape()[2], v.shape()[3]}); };
  Var queries = as_matrices(theta(x)), keys = as_matrices(max_pool(phi(x), kHalves));  // [N,HW,C/8], [N,HW/4,C/8]
  Var weights = softmax(batched_matmul(queries, keys, /*transpose_b=*/true));          // [N,HW,HW/4]
  Var attended = batched_matmul(weights, as_matrices(max_pool(g(x), kHalves)));        // [N,HW,C/2]
  Var o = out(reshape(attended, {s[0], s[1], s[2], s[3] / 2}));
  return gated_add(x, o, tape.parameter(gate));
}

}  // namespace poise
