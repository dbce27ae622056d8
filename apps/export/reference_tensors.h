// The tensors of a network under the names of the papers' PyTorch code, so that the classes of that code load them:
//
//   sngan32          lottery     l1, block2.b1 .c1 .b2 .c2 .c_sc, .., b5, c5;  block1.c1 .c2 .c_sc, .., l5
//   sngan32-resnet,  resnet.32,  linear, blocks.0.residual.0 .3 .4 .6, blocks.0.shortcut.1, .., output.0, output.2;
//   sngan48, sngan64 .48, .64    model.0.residual.0 .2, .shortcut.1, model.1.residual.1 .3, .shortcut.0, .., linear
//   dcgan32          dcgan.32    linear, main.0, main.2, ..;  main.0, main.2, .., linear
//   biggan32         biggan.32   linear, blocks.0.bn1 .residual1.2 .bn2 .residual2.1 .shortcut.1, ..,
//                                output_layer.0, .2;  blocks.0.residual.0 .2, .shortcut.1, .., classifier, embedding
//   biggan64         biggan.64   shared, linear0, blocks.0.0.bn1 .conv2d1 .bn2 .conv2d2 .conv2d0, .., blocks.3.0 (the
//                                attention), blocks.4.0, bn4, conv2d5;  blocks.0.0, blocks.1.0 (attention), ..,
//                                linear1, embedding
//
// dcgan32: in that code, G has biases in front of batch norms. Ours has none, so these become zeros. Its G ends in a
// transposed convolution, which equals a convolution with its kernel rotated by 180 degrees. Its D has other widths.
#pragma once
#include "apps/export/channels_first.h"

namespace poise {

// "block2.conv1" of G of sngan32 -> "block2.c1". Error(usage) for a model without names.
std::string reference_layer(const std::string& model, const std::string& network, const std::string& layer);

// `ours`: as for channels_first().
std::vector<NamedWeights> reference_tensors(const std::string& model, const std::string& network,
                                            const std::vector<NamedWeights>& ours, SpectralNormForm form);

}  // namespace poise
