// SNGAN (Miyato et al. 2018) with residual blocks, in the sizes that the sparse-GAN papers train. G has batch norm, D
// has spectral norm on every layer.
//
//   sngan32         "lottery" (Chen et al. 2021, "GANs Can Play Lottery Tickets Too"), CIFAR-10. D ends in a sum over
//                   space and a linear layer without bias. Widths 256, 128: G 4,276,739 and D 1,053,824 parameters.
//   sngan32-resnet  The same, but D ends in a mean over space and a linear layer with bias (Wu et al. 2021, "GNGAN",
//                   which initialises it with the kaiming scheme).
//   sngan48         STL-10 at 48x48. G's blocks halve its channels, from 8 times the width to the width. D's blocks
//                   double them, up to 16 times. D ends as in sngan32-resnet. Width 64: G 4,878,083 and D 19,542,721
//                   parameters.
//   sngan64         64x64. Like sngan48, but G has one more block, from 16 times the width, and its first map is 4x4
//                   (as in the network of Miyato and Koyama 2018). Width 64: G 12,220,675 and D 19,542,721 parameters.
//
// Names in the papers' code: sngan32's blocks have the same names there (block2..4 in G, block1..4 in D); their layers
// are called b1, c1, b2, c2 and c_sc for bn1, conv1, bn2, conv2 and shortcut. l1 and l5 are linear, c5 is conv_out.
// sngan48's block2..4 are blocks.0..2 there, its D's block1..5 are block0..4, and so on for sngan64. models/biggan.h
// describes the layouts and spectral norm.
#pragma once
#include "models/registry.h"
#include "models/residual_blocks.h"

namespace poise {

// z [N,latent] -> linear -> [N,bottom,bottom,channels[0]]
//   -> one block for each further entry of `channels`; each doubles height and width
//   -> bn, relu, conv3x3, tanh -> [N,size,size,3].
class SnganGenerator : public Generator {
 public:
  SnganGenerator(int64_t bottom, const std::vector<int64_t>& channels, int64_t latent_size);
  Var operator()(Var z, const Tensor& labels) override;

  Linear linear;
  std::vector<std::unique_ptr<GenBlock>> blocks;  // "block2", "block3", ...
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

  std::vector<std::unique_ptr<DisBlock>> blocks;  // "block1", "block2", ...
  Linear linear;

 private:
  DisHead head_;
};

}  // namespace poise
