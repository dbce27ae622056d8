// A generator as an ONNX model: z [N,latent], and labels i64 [N] of a conditional one, to images [N,3,H,W] in [-1, 1].
// Spectral norm is folded into the weights, batch norm reads the statistics that it is given.
#pragma once
#include "apps/export/channels_first.h"
#include "models/registry.h"

namespace poise {

// `ours`: every parameter and buffer of G, by path. Returns the bytes of the file.
std::string onnx_generator(const ModelOptions& model, const std::vector<NamedWeights>& ours, const StringMap& metadata,
                           const std::string& version);

}  // namespace poise
