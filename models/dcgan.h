// The plain convolutional SNGAN for 32x32 images (Miyato et al. 2018, table 3): G with batch norm, D with spectral norm
// on every layer and leaky ReLU of slope 0.1.
//
//   G  z -> linear [N,4,4,8w] -> bn, relu
//      -> three times (4x4 transposed convolution of stride 2, bn, relu) to 4w, 2w, w
//      -> conv3x3, tanh -> [N,32,32,3]
//   D  three times (conv3x3, then conv4x4 of stride 2) to w, 2w, 4w; conv3x3 to 8w -> linear of [N,4*4*8w] -> [N,1]
//
// The paper uses width 64 in both. Layers followed by batch norm have no bias, because the norm would remove it.
#pragma once
#include "models/registry.h"

namespace poise {

class DcganGenerator : public Generator {
 public:
  DcganGenerator(int64_t width, int64_t latent_size);
  Var operator()(Var z, const Tensor& labels) override;

  Linear linear;
  BatchNorm2d bn1;
  ConvTranspose2d conv1;
  BatchNorm2d bn2;
  ConvTranspose2d conv2;
  BatchNorm2d bn3;
  ConvTranspose2d conv3;
  BatchNorm2d bn4;
  Conv2d conv_out;

 private:
  int64_t width_;
};

class DcganDiscriminator : public Discriminator {
 public:
  explicit DcganDiscriminator(int64_t width);
  Var operator()(Var x, const Tensor& labels) override;

  Conv2d conv1, conv2, conv3, conv4, conv5, conv6, conv7;
  Linear linear;
};

}  // namespace poise
