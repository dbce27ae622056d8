// Which parameters a mask may thin out: the weights of convolutions and linear layers. Everything else stays dense:
// biases, batch norm, embeddings, the maps of conditional batch norm, attention gates (their roles say so), and the
// last linear layer of a discriminator, a single row in which each weight applies to a whole channel.
//
// The papers' code masks that row too (and its ERK keeps it dense, so only N changes, by less than 0.02%);
// masked_like_paper_code is for counts that have to agree with theirs.
#pragma once
#include "engine/nn/module.h"
#include "engine/sparse/density.h"

namespace poise {

enum class MaskableHead : uint8_t { dense, masked_like_paper_code };

bool is_maskable(const Parameter& parameter, MaskableHead head = MaskableHead::dense);

// In module order, with paths of layers: "block2.conv1" for the parameter block2.conv1.weight.
std::vector<MaskableLayer> maskable_layers(Module& network, MaskableHead head = MaskableHead::dense);

}  // namespace poise
