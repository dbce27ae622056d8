// Layers: parameters, their shapes, and the op that uses them.
#pragma once
#include "engine/nn/module.h"
#include "engine/ops/ops.h"

namespace poise {

struct LayerOptions {
  bool bias = true;
  bool spectral_norm = false;
  double spectral_norm_eps = 1e-12;
  bool maskable = true;  // may masks thin out the weight?
};

// A weight, with spectral normalisation if the layer has it.
class Weight {
 public:
  // [out,...], divided by sigma if normalised: by the network's live NormalisedWeights or, if there is none, here.
  Var operator()(Tape& tape);
  Parameter parameter;  // the raw weight
  StateBuffer u, v;     // [out], [rest]; unused without spectral norm
  bool normalised = false;
  double eps = 1e-12;

 private:
  friend class NormalisedWeights;
  Var current_;
};

// For one forward pass of a network under spectral norm: normalises all its weights at once, and provides the results
// to its layers for as long as it lives. Such a network makes one before it calls its first layer.
class NormalisedWeights {
 public:
  NormalisedWeights(Module& network, Tape& tape);
  ~NormalisedWeights();
  NormalisedWeights(const NormalisedWeights&) = delete;
  NormalisedWeights& operator=(const NormalisedWeights&) = delete;

 private:
  std::vector<Weight*> weights_;
};

// Base of the layers below that can have spectral norm.
class WeightedLayer : public Module {
 protected:
  using Module::Module;
  // Registers the raw weight and, under spectral norm, its vectors u and v.
  void add_weight(Weight& weight, const LayerOptions& options, const Shape& shape, ParameterRole role, int64_t fan_in,
                  int64_t fan_out);
};

// y = x w^T + b.   x [N,in], y [N,out].
class Linear : public WeightedLayer {
 public:
  Linear(Module& parent, const std::string& name, int64_t in, int64_t out, const LayerOptions& options = {});
  Var operator()(Var x);
  Weight weight;
  Parameter bias;

 private:
  LayerOptions options_;
};

// Square or rectangular kernel, zero padding; see kernels/dense/conv2d/conv2d.h.   x [N,H,W,C_in], y [N,H',W',C_out].
class Conv2d : public WeightedLayer {
 public:
  Conv2d(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, const Conv2dOptions& conv,
         const LayerOptions& options = {});
  Var operator()(Var x, Var residual = {}, Next next = Next::any);  // residual: added to the result; see conv2d()
  Weight weight;
  Parameter bias;

 private:
  Conv2dOptions conv_;
  LayerOptions options_;
};

// A transposed convolution, for strides that enlarge; see engine/ops/ops.h.   x [N,H,W,C_in], weight
// [C_in,kh,kw,C_out], y [N,H',W',C_out]. No bias, no spectral norm.
class ConvTranspose2d : public Module {
 public:
  ConvTranspose2d(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, const Conv2dOptions& conv);
  Var operator()(Var x);
  Weight weight;

 private:
  Conv2dOptions conv_;
};

// A vector for each class; never masked.   labels i32 [N], y [N,size] of type `dtype`.
class Embedding : public WeightedLayer {
 public:
  Embedding(Module& parent, const std::string& name, int64_t classes, int64_t size, const LayerOptions& options = {});
  Var operator()(Tape& tape, const Tensor& labels, DType dtype);
  Weight weight;  // [classes,size]
};

// kernel x kernel, stride 1, with the padding that keeps the size.
Conv2dOptions same_padding(int64_t kernel);
// The same on an input enlarged 2x by nearest neighbour.
Conv2dOptions upsampled(Conv2dOptions conv);
// The same with the output averaged over 2x2.
Conv2dOptions pooled(Conv2dOptions conv);
// The same with the output rectified.
Conv2dOptions rectified(Conv2dOptions conv);

class BatchNorm2d : public Module {
 public:
  BatchNorm2d(Module& parent, const std::string& name, int64_t channels, const BatchNormOptions& options = {});
  Var operator()(Var x);
  Parameter gamma, beta;
  StateBuffer running_mean, running_var;

 private:
  BatchNormOptions options_;
};

}  // namespace poise
