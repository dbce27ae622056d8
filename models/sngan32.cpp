#include "models/sngan32.h"

namespace poise {
namespace {
constexpr BatchNormOptions kBatchNormRelu{.relu = true};
constexpr LayerOptions kSpectral{.spectral_norm = true};
constexpr LayerOptions kSpectralWithoutBias{.bias = false, .spectral_norm = true};
}  // namespace

Sngan32GenBlock::Sngan32GenBlock(Module& parent, const std::string& name, int64_t channels)
    : Module(parent, name),
      bn1(*this, "bn1", channels, kBatchNormRelu),
      conv1(*this, "conv1", channels, channels, upsampled(same_padding(3))),
      bn2(*this, "bn2", channels, kBatchNormRelu),
      conv2(*this, "conv2", channels, channels, same_padding(3)),
      shortcut(*this, "shortcut", channels, channels, upsampled(same_padding(1))) {}

Var Sngan32GenBlock::operator()(Var x) {
  Scope scope(*x.tape, path());
  Var h = conv2(bn2(conv1(bn1(x))));
  return add(h, shortcut(x));
}

Sngan32Generator::Sngan32Generator(int64_t width, int64_t latent)
    : Generator("G"),
      linear(*this, "linear", latent, 4 * 4 * width),
      block2(*this, "block2", width),
      block3(*this, "block3", width),
      block4(*this, "block4", width),
      bn_out(*this, "bn_out", width, kBatchNormRelu),
      conv_out(*this, "conv_out", width, 3, same_padding(3)),
      width_(width) {
  latent_size = latent;
  image_shape = {32, 32, 3};
}

Var Sngan32Generator::operator()(Var z, const Tensor&) {
  Scope scope(*z.tape, path());
  Var h = reshape(linear(z), {z.shape()[0], 4, 4, width_});
  h = block4(block3(block2(h)));
  return tanh(conv_out(bn_out(h)));
}

Sngan32DisBlock::Sngan32DisBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out,
                                 DisBlockKind kind)
    : Module(parent, name),
      conv1(*this, "conv1", c_in, c_out, same_padding(3), kSpectral),
      conv2(*this, "conv2", c_out, c_out, same_padding(3), kSpectral),
      kind_(kind) {
  if (kind != DisBlockKind::plain) {
    shortcut = std::make_unique<Conv2d>(*this, "shortcut", c_in, c_out, same_padding(1), kSpectral);
  }
}

Var Sngan32DisBlock::operator()(Var x) {
  Scope scope(*x.tape, path());
  Var h = conv2(relu(conv1(kind_ == DisBlockKind::first ? x : relu(x))));
  switch (kind_) {
    case DisBlockKind::first:
      return add(avg_pool_2x2(h), (*shortcut)(avg_pool_2x2(x)));
    case DisBlockKind::down:
      return add(avg_pool_2x2(h), avg_pool_2x2((*shortcut)(x)));
    case DisBlockKind::plain:
      break;
  }
  return add(h, x);
}

Sngan32Discriminator::Sngan32Discriminator(int64_t width)
    : Discriminator("D"),
      block1(*this, "block1", 3, width, DisBlockKind::first),
      block2(*this, "block2", width, width, DisBlockKind::down),
      block3(*this, "block3", width, width, DisBlockKind::plain),
      block4(*this, "block4", width, width, DisBlockKind::plain),
      linear(*this, "linear", width, 1, kSpectralWithoutBias) {}

Var Sngan32Discriminator::operator()(Var x, const Tensor&) {
  Scope scope(*x.tape, path());
  const NormalisedWeights normalised(*this, *x.tape);
  Var h = block4(block3(block2(block1(x))));
  return linear(sum_space(relu(h)));
}

}  // namespace poise
