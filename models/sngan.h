// SNGAN (Miyato et al. 2018) with residual blocks: G with batch norm, D with spectral norm on every layer, in the sizes
// that the sparse-GAN papers train.
//
//   sngan32         "lottery" (Chen et al. 2021, "GANs Can Play Lottery Tickets Too"), CIFAR-10. D ends in a sum over
//                   space and a linear layer without bias. Widths 256, 128: G 4,276,739 and D 1,053,824 parameters.
//   sngan32-resnet  the same, but D ends in a mean over space and a linear layer with bias (Chen et al. 2020, "GNGAN");
//                   there initialised by kaiming.
//   sngan48         STL-10 at 48x48. G halves its channels at each block, 8 times the width to once; D doubles them, to
//                   16 times, and ends as that of sngan32-resnet. Width 64: G 4,878,083 and D 19,542,721 parameters.
//   sngan64         64x64: sngan48 with one more block in G, whose channels go from 16 times the width to once, on a first
//                   map of 4x4 (as the 64x64 network of Miyato and Koyama 2018). Width 64: G 12,220,675 and D 19,542,721
//                   parameters.
//
// Names in the papers' code: sngan32's blocks are block2..4 in G and block1..4 in D there too, with layers b1, c1, b2,
// c2 and c_sc for bn1, conv1, bn2, conv2 and shortcut, l1 and l5 for linear, c5 for conv_out; sngan48's block2..4 are
// blocks.0..2, its D's block1..5 are block0..4, and so on for sngan64. Layouts and spectral norm: as models/biggan.h says.
#pragma once
#include "models/registry.h"
#include "models/residual_blocks.h"

namespace poise {

// z [N,latent] -> linear -> [N,bottom,bottom,channels[0]]
//   -> a block per further entry of `channels`, each doubling height and width
//   -> bn, relu, conv3x3, tanh -> [N,size,size,3].
class SnganGenerator : public Generator {
 public:
  SnganGenerator(int64_t bottom, const std::vector<int64_t>& channels, int64_t latent_size);
  Var operator()(Var z, const Tensor& labels) override;

  Linear linear;
  std::vector<std::unique_ptr<GenBlock>> blocks;  // "block2", "block3", ..
  BatchNorm2d bn_out;
  Conv2d conv_out;

 private:
  int64_t bottom_, channels_;
};

enum class DisHead : uint8_t { sum_without_bias, mean_with_bias };

struct DisStage {
  int64_t channels;
  DisBlockKind kind;
};

// [N,H,W,3] -> blocks -> relu -> sum or mean over space -> linear -> [N,1].
class SnganDiscriminator : public Discriminator {
 public:
  SnganDiscriminator(const std::vector<DisStage>& stages, DisHead head);
  Var operator()(Var x, const Tensor& labels) override;

  std::vector<std::unique_ptr<DisBlock>> blocks;  // "block1", "block2", ..
  Linear linear;

 private:
  DisHead head_;
};

}  // namespace poise
