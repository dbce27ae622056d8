// SNGAN for 32x32 images, the "lottery" variant that the sparse-GAN papers train on CIFAR-10: residual G with batch
// norm, residual D with spectral norm (Miyato et al. 2018; sizes as in Chen et al. 2021, "GANs Can Play Lottery
// Tickets Too"). At widths 256 and 128: G 4,276,739 and D 1,053,824 parameters.
#pragma once
#include "models/registry.h"

namespace poise {

// h = conv2(relu(bn2(conv1(up(relu(bn1(x)))))));  y = h + shortcut(up(x)).   x [N,H,W,C], y [N,2H,2W,C].
// up() is nearest-neighbour enlargement by two, folded into the convolution that follows it; the ReLU into the norm.
class Sngan32GenBlock : public Module {
 public:
  Sngan32GenBlock(Module& parent, const std::string& name, int64_t channels);
  Var operator()(Var x);

  BatchNorm2d bn1;
  Conv2d conv1;
  BatchNorm2d bn2;
  Conv2d conv2, shortcut;
};

// z [N,128] -> linear -> [N,4,4,C] -> three blocks -> bn, relu, conv3x3, tanh -> [N,32,32,3].
class Sngan32Generator : public Generator {
 public:
  Sngan32Generator(int64_t width, int64_t latent_size);
  Var operator()(Var z, const Tensor& labels) override;

  Linear linear;
  Sngan32GenBlock block2, block3, block4;
  BatchNorm2d bn_out;
  Conv2d conv_out;

 private:
  int64_t width_;
};

enum class DisBlockKind : uint8_t {
  first,  // no ReLU in front; y = pool(conv2(relu(conv1(x)))) + shortcut(pool(x))
  down,   // y = pool(h) + pool(shortcut(x)): the 1x1 runs at full resolution, as in the papers' code
  plain,  // y = h + x
};

// h = conv2(relu(conv1(relu(x)))), spectral norm on every convolution.
class Sngan32DisBlock : public Module {
 public:
  Sngan32DisBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, DisBlockKind kind);
  Var operator()(Var x);

  Conv2d conv1, conv2;
  std::unique_ptr<Conv2d> shortcut;  // null for plain

 private:
  DisBlockKind kind_;
};

// [N,32,32,3] -> blocks (16, 8, 8, 8) -> relu -> sum over space -> linear without bias -> [N,1].
class Sngan32Discriminator : public Discriminator {
 public:
  explicit Sngan32Discriminator(int64_t width);
  Var operator()(Var x, const Tensor& labels) override;

  Sngan32DisBlock block1, block2, block3, block4;
  Linear linear;
};

}  // namespace poise
