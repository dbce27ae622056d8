#include "models/dcgan.h"

#include "models/layer_options.h"

namespace poise {
namespace {

constexpr LayerOptions kWithoutBias{.bias = false};
constexpr Conv2dOptions kHalve{.kh = 4, .kw = 4, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
constexpr float kSlope = 0.1f;

}  // namespace

DcganGenerator::DcganGenerator(int64_t width, int64_t latent)
    : Generator("G"),
      linear(*this, "linear", latent, 4 * 4 * 8 * width, kWithoutBias),
      bn1(*this, "bn1", 8 * width, kBatchNormRelu),
      conv1(*this, "conv1", 8 * width, 4 * width, kHalve),
      bn2(*this, "bn2", 4 * width, kBatchNormRelu),
      conv2(*this, "conv2", 4 * width, 2 * width, kHalve),
      bn3(*this, "bn3", 2 * width, kBatchNormRelu),
      conv3(*this, "conv3", 2 * width, width, kHalve),
      bn4(*this, "bn4", width, kBatchNormRelu),
      conv_out(*this, "conv_out", width, 3, same_padding(3)),
      width_(width) {
  latent_size = latent;
  image_shape = {32, 32, 3};
}

Var DcganGenerator::operator()(Var z, const Tensor&) {
  Scope scope(*z.tape, path());
  Var h = bn1(reshape(linear(z), {z.shape()[0], 4, 4, 8 * width_}));
  h = bn4(spent(conv3(bn3(spent(conv2(bn2(spent(conv1(h)))))))));
  return tanh(conv_out(h));
}

DcganDiscriminator::DcganDiscriminator(int64_t width)
    : Discriminator("D"),
      conv1(*this, "conv1", 3, width, same_padding(3), kSpectral),
      conv2(*this, "conv2", width, width, kHalve, kSpectral),
      conv3(*this, "conv3", width, 2 * width, same_padding(3), kSpectral),
      conv4(*this, "conv4", 2 * width, 2 * width, kHalve, kSpectral),
      conv5(*this, "conv5", 2 * width, 4 * width, same_padding(3), kSpectral),
      conv6(*this, "conv6", 4 * width, 4 * width, kHalve, kSpectral),
      conv7(*this, "conv7", 4 * width, 8 * width, same_padding(3), kSpectral),
      linear(*this, "linear", 4 * 4 * 8 * width, 1, kSpectral) {}

Var DcganDiscriminator::operator()(Var x, const Tensor&) {
  Scope scope(*x.tape, path());
  const NormalisedWeights normalised(*this, *x.tape);
  for (Conv2d* conv : {&conv1, &conv2, &conv3, &conv4, &conv5, &conv6, &conv7}) x = leaky_relu((*conv)(x), kSlope);
  const Shape s = x.shape();
  Var pixel = reshape(x, {s[0], 1, 1, s[1] * s[2] * s[3]});
  return linear(sum_space(pixel));  // over a single pixel: this only converts bf16 to f32
}

}  // namespace poise
