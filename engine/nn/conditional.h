// Class-conditional layers: batch norm whose scale and shift depend on a class, or on a vector.
#pragma once
#include "engine/nn/layers.h"

namespace poise {

// What a pass of a generator is conditioned on: one of the two.
struct Condition {
  Tensor labels = {};  // i32 [N]
  Var vector = {};     // [N, size]
};

struct ConditionalNormOptions {
  int64_t classes = 0;      // > 0: scale and shift are rows of tables [classes, channels]
  int64_t vector_size = 0;  // > 0: linear maps of the vector, without bias, under spectral norm
  BatchNormOptions batch_norm;
  double spectral_norm_eps = 1e-12;
};

// y = (1 + gain[n,c]) xhat + bias[n,c], xhat the normalised x; followed by a ReLU if batch_norm.relu. x, y [N,H,W,C].
// The maps are never masked.
class ConditionalBatchNorm2d : public Module {
 public:
  ConditionalBatchNorm2d(Module& parent, const std::string& name, int64_t channels,
                         const ConditionalNormOptions& options);
  Var operator()(Var x, const Condition& condition);

  std::unique_ptr<Embedding> gain_table, bias_table;  // "gain", "bias", if they depend on a class
  std::unique_ptr<Linear> gain_map, bias_map;         // "gain", "bias", if they depend on a vector
  StateBuffer running_mean, running_var;

 private:
  BatchNormOptions options_;
};

}  // namespace poise
