// The networks by name.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/init.h"
#include "engine/nn/layers.h"

namespace poise {

// `labels`: the class of each image, i32 [N] on the device, 0 .. classes-1; ignored (and best empty) by networks that
// are not conditional.
class Generator : public Module {
 public:
  using Module::Module;
  virtual Var operator()(Var z, const Tensor& labels) = 0;  // [N, latent_size] -> images [N,H,W,C] in [-1, 1]
  int64_t latent_size = 128;
  int64_t classes = 0;  // 0: not conditional
  Shape image_shape;    // [H,W,C]
};

class Discriminator : public Module {
 public:
  using Module::Module;
  virtual Var operator()(Var x, const Tensor& labels) = 0;  // [N,H,W,C] -> logits [N,1]
  int64_t classes = 0;
};

// Widths: channels of every feature map of sngan32 and biggan32; of the largest feature map, whose channels the others
// have multiples of, in all other models. Any will do; biggan64 needs multiples of 8, and of 5 in its latent size.
struct ModelOptions {
  std::string name = "sngan32";
  int64_t width_g = 256, width_d = 128;
  int64_t latent_size = 128;
  int64_t classes = 0;                    // that a conditional model tells apart; 0 for all others
  InitScheme init = InitScheme::pytorch;  // how its weights are to start; make_model() leaves them unset
};

struct GanModel {
  std::unique_ptr<Generator> generator;
  std::unique_ptr<Discriminator> discriminator;
};

std::vector<std::string> model_names();
// Height and width of the images that a model makes. Error(usage) for an unknown name.
int64_t image_side_of(const std::string& model);
// The sizes in which the papers train a model. Error(usage) for an unknown name.
ModelOptions published_model(const std::string& name);
// Throws Error(usage) for an unknown name (listing the known ones), a width that the model cannot have, or
// classes where there can be none.
GanModel make_model(const ModelOptions& options);

}  // namespace poise
