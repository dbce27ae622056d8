// A generator as an ONNX model. It maps z [N,latent] and, if it is conditional, labels i64 [N] to images [N,3,H,W] in
// [-1, 1]. Spectral norm is folded into the weights; batch norm uses the running statistics among `ours`.
#pragma once
#include "apps/export/channels_first.h"
#include "models/registry.h"

namespace poise {

// `ours`: every parameter and buffer of G, by path. Returns the bytes of the file.
std::string onnx_generator(const ModelOptions& model, const std::vector<NamedWeights>& ours, const StringMap& metadata,
                           const std::string& version);

}  // namespace poise
