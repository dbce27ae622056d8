// The networks by name.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/layers.h"

namespace poise {

class Generator : public Module {
 public:
  using Module::Module;
  virtual Var operator()(Var z) = 0;  // [N, latent_size] -> images [N,H,W,C] in [-1, 1]
  int64_t latent_size = 128;
  Shape image_shape;  // [H,W,C]
};

class Discriminator : public Module {
 public:
  using Module::Module;
  virtual Var operator()(Var x) = 0;  // [N,H,W,C] -> logits [N,1]
};

struct ModelOptions {
  std::string name = "sngan32";
  int64_t width_g = 256, width_d = 128;
  int64_t latent_size = 128;
};

struct GanModel {
  std::unique_ptr<Generator> generator;
  std::unique_ptr<Discriminator> discriminator;
};

std::vector<std::string> model_names();
// Throws Error(usage) for an unknown name (listing the known ones) or a width that the model cannot have.
GanModel make_model(const ModelOptions& options);

}  // namespace poise
