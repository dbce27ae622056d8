#include "models/sngan.h"

#include "models/layer_options.h"

namespace poise {
namespace {

std::vector<std::unique_ptr<GenBlock>> gen_blocks(Module& parent, const std::vector<int64_t>& channels) {
  std::vector<std::unique_ptr<GenBlock>> blocks;
  for (size_t i = 1; i < channels.size(); ++i) {
    blocks.push_back(std::make_unique<GenBlock>(parent, "block" + std::to_string(i + 1), channels[i - 1], channels[i]));
  }
  return blocks;
}

std::vector<std::unique_ptr<DisBlock>> dis_blocks(Module& parent, const std::vector<DisStage>& stages) {
  std::vector<std::unique_ptr<DisBlock>> blocks;
  int64_t c_in = 3;
  for (const DisStage& stage : stages) {
    blocks.push_back(std::make_unique<DisBlock>(parent, "block" + std::to_string(blocks.size() + 1), c_in,
                                                stage.channels, stage.kind, kSpectral));
    c_in = stage.channels;
  }
  return blocks;
}

}  // namespace

SnganGenerator::SnganGenerator(int64_t bottom, const std::vector<int64_t>& channels, int64_t latent)
    : Generator("G"),
      linear(*this, "linear", latent, bottom * bottom * channels[0]),
      blocks(gen_blocks(*this, channels)),
      bn_out(*this, "bn_out", channels.back(), kBatchNormRelu),
      conv_out(*this, "conv_out", channels.back(), 3, same_padding(3)),
      bottom_(bottom),
      channels_(channels[0]) {
  latent_size = latent;
  const int64_t size = bottom << blocks.size();
  image_shape = {size, size, 3};
}

Var SnganGenerator::operator()(Var z, const Tensor&) {
  Scope scope(*z.tape, path());
  Var h = reshape(linear(z), {z.shape()[0], bottom_, bottom_, channels_});
  for (auto& block : blocks) h = (*block)(h);
  return tanh(conv_out(bn_out(spent(h))));
}

SnganDiscriminator::SnganDiscriminator(const std::vector<DisStage>& stages, DisHead head)
    : Discriminator("D"),
      blocks(dis_blocks(*this, stages)),
      linear(*this, "linear", stages.back().channels, 1,
             {.bias = head == DisHead::mean_with_bias, .spectral_norm = true}),
      head_(head) {}

Var SnganDiscriminator::operator()(Var x, const Tensor&) {
  Scope scope(*x.tape, path());
  const NormalisedWeights normalised(*this, *x.tape);
  for (auto& block : blocks) x = (*block)(x, Next::relu);
  Var h = relu(x);
  return linear(head_ == DisHead::mean_with_bias ? mean_space(h) : sum_space(h));
}

}  // namespace poise
