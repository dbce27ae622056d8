#include "engine/nn/layers.h"

namespace poise {
namespace {

ParameterRole role_of(const LayerOptions& options) {
  return options.maskable ? ParameterRole::weight : ParameterRole::unmasked_weight;
}

}  // namespace

Var Weight::operator()(Tape& tape) {
  if (current_.tape) return current_;
  Var w = tape.parameter(parameter);
  return normalised ? spectral_norm(w, u.value, v.value, eps) : w;
}

NormalisedWeights::NormalisedWeights(Module& network, Tape& tape) {
  std::vector<SpectralNormOperand> operands;
  network.for_each_normalised_weight([&](const Module& layer, Weight& w) {
    weights_.push_back(&w);
    operands.push_back({.weight = tape.parameter(w.parameter),
                        .u = w.u.value,
                        .v = w.v.value,
                        .eps = w.eps,
                        .layer = &layer.path(),
                        .parameter = &w.parameter});
  });
  spectral_norm(tape, operands);
  for (size_t i = 0; i < weights_.size(); ++i) weights_[i]->current_ = operands[i].y;
}

NormalisedWeights::~NormalisedWeights() {
  for (Weight* w : weights_) w->current_ = {};
}

void WeightedLayer::add_weight(Weight& weight, const LayerOptions& options, const Shape& shape, ParameterRole role,
                               int64_t fan_in, int64_t fan_out) {
  weight.normalised = options.spectral_norm;
  weight.eps = options.spectral_norm_eps;
  add_parameter(weight.parameter, "weight", shape, role, fan_in, fan_out);
  if (!options.spectral_norm) return;
  add_buffer(weight.u, "u", Shape{shape[0]}, BufferRole::unit_random);
  add_buffer(weight.v, "v", Shape{shape.elements() / shape[0]}, BufferRole::unit_random);
  add_normalised_weight(weight);
}

Linear::Linear(Module& parent, const std::string& name, int64_t in, int64_t out, const LayerOptions& options)
    : WeightedLayer(parent, name), options_(options) {
  add_weight(weight, options, {out, in}, role_of(options), in, out);
  if (options.bias) add_parameter(bias, "bias", {out}, ParameterRole::bias, in, out);
}

Var Linear::operator()(Var x) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  Var w = weight(tape);
  return linear(x, w, options_.bias ? tape.parameter(bias) : Var{}, weight.parameter.execution);
}

Conv2d::Conv2d(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, const Conv2dOptions& conv,
               const LayerOptions& options)
    : WeightedLayer(parent, name), conv_(conv), options_(options) {
  const int64_t fan_in = c_in * conv.kh * conv.kw, fan_out = c_out * conv.kh * conv.kw;
  add_weight(weight, options, {c_out, conv.kh, conv.kw, c_in}, role_of(options), fan_in, fan_out);
  weight.parameter.convolution = conv.geometry({0, 0, 0, c_in}, c_out);
  if (options.bias) add_parameter(bias, "bias", {c_out}, ParameterRole::bias, fan_in, fan_out);
}

Var Conv2d::operator()(Var x, Var residual, Next next) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  Var w = weight(tape);
  return conv2d(x, w, options_.bias ? tape.parameter(bias) : Var{}, conv_, weight.parameter.execution, residual, next);
}

ConvTranspose2d::ConvTranspose2d(Module& parent, const std::string& name, int64_t c_in, int64_t c_out,
                                 const Conv2dOptions& conv)
    : Module(parent, name), conv_(conv) {
  // Fans as PyTorch counts them: fan_in is the kernel's area times C_out, fan_out is its area times C_in.
  add_parameter(weight.parameter, "weight", {c_in, conv.kh, conv.kw, c_out}, ParameterRole::weight,
                c_out * conv.kh * conv.kw, c_in * conv.kh * conv.kw);
}

Var ConvTranspose2d::operator()(Var x) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  return conv_transpose2d(x, weight(tape), conv_);
}

Embedding::Embedding(Module& parent, const std::string& name, int64_t classes, int64_t size,
                     const LayerOptions& options)
    : WeightedLayer(parent, name) {
  add_weight(weight, options, {classes, size}, ParameterRole::embedding, classes, size);
}

Var Embedding::operator()(Tape& tape, const Tensor& labels, DType dtype) {
  Scope scope(tape, path());
  return embedding(weight(tape), labels, dtype);
}

Conv2dOptions same_padding(int64_t kernel) {
  return {.kh = kernel, .kw = kernel, .pad_h = kernel / 2, .pad_w = kernel / 2};
}

Conv2dOptions upsampled(Conv2dOptions conv) {
  conv.upsample = 2;
  return conv;
}

Conv2dOptions pooled(Conv2dOptions conv) {
  conv.pool = 2;
  return conv;
}

Conv2dOptions rectified(Conv2dOptions conv) {
  conv.relu = true;
  return conv;
}

BatchNorm2d::BatchNorm2d(Module& parent, const std::string& name, int64_t channels, const BatchNormOptions& options)
    : Module(parent, name), options_(options) {
  add_parameter(gamma, "gamma", {channels}, ParameterRole::bn_gamma, channels, channels);
  add_parameter(beta, "beta", {channels}, ParameterRole::bn_beta, channels, channels);
  add_buffer(running_mean, "running_mean", {channels}, BufferRole::zeros);
  add_buffer(running_var, "running_var", {channels}, BufferRole::ones);
}

Var BatchNorm2d::operator()(Var x) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  Var g = tape.parameter(gamma), b = tape.parameter(beta);
  return batch_norm(x, g, b, running_mean.value, running_var.value, options_);
}

}  // namespace poise
