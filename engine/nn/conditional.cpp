#include "engine/nn/conditional.h"

#include <utility>

namespace poise {

ConditionalBatchNorm2d::ConditionalBatchNorm2d(Module& parent, const std::string& name, int64_t channels,
                                               const ConditionalNormOptions& options)
    : Module(parent, name), options_(options.batch_norm) {
  require((options.classes > 0) != (options.vector_size > 0),
          "conditional batch norm takes either classes or a vector");
  if (options.classes > 0) {
    gain_table = std::make_unique<Embedding>(*this, "gain", options.classes, channels);
    bias_table = std::make_unique<Embedding>(*this, "bias", options.classes, channels);
  } else {
    const LayerOptions map{
        .bias = false, .spectral_norm = true, .spectral_norm_eps = options.spectral_norm_eps, .maskable = false};
    gain_map = std::make_unique<Linear>(*this, "gain", options.vector_size, channels, map);
    bias_map = std::make_unique<Linear>(*this, "bias", options.vector_size, channels, map);
  }
  add_buffer(running_mean, "running_mean", {channels}, BufferRole::zeros);
  add_buffer(running_var, "running_var", {channels}, BufferRole::ones);
}

Var ConditionalBatchNorm2d::operator()(Var x, const Condition& condition) {
  Tape& tape = *x.tape;
  Scope scope(tape, path());
  BatchNormOptions without_relu = options_;
  without_relu.relu = false;
  Var gain, bias;
  if (gain_table) {
    gain = (*gain_table)(tape, condition.labels, x.dtype());
    bias = (*bias_table)(tape, condition.labels, x.dtype());
  } else {
    gain = (*gain_map)(condition.vector);
    bias = (*bias_map)(condition.vector);
  }
  Var normalised = batch_norm(x, Var{}, Var{}, running_mean.value, running_var.value, without_relu);
  return channel_modulation(normalised, gain, bias, options_.relu);
}

}  // namespace poise
