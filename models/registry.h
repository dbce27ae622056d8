// Looks up and builds networks by name.
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

// In sngan32 and biggan32 the width is the number of channels of every feature map. In all other models it is that of
// the largest feature map; the others have multiples of it. Any positive width is allowed, except that biggan64 needs
// widths that are multiples of 8 and a latent size that is a multiple of 5.
struct ModelOptions {
  std::string name = "sngan32";
  int64_t width_g = 256, width_d = 128;
  int64_t latent_size = 128;
  int64_t classes = 0;                    // of a conditional model; 0 for all others
  InitScheme init = InitScheme::pytorch;  // for the caller: make_model() leaves the weights uninitialised
};

struct GanModel {
  std::unique_ptr<Generator> generator;
  std::unique_ptr<Discriminator> discriminator;
};

std::vector<std::string> model_names();
// Height and width of the images that a model generates. Error(usage) for an unknown name.
int64_t image_side_of(const std::string& model);
// The sizes in which the papers train a model. Error(usage) for an unknown name.
ModelOptions published_model(const std::string& name);
// Throws Error(usage) for an unknown name (listing the known ones), sizes that the model does not support, or a number
// of classes that does not fit the model.
GanModel make_model(const ModelOptions& options);

}  // namespace poise
