// The tensors of a network in the layouts of PyTorch and ONNX, still under the names of our layers:
//
//   convolution weights   [out,kh,kw,in] -> [out,in,kh,kw]; of transposed convolutions [in,kh,kw,out] -> [in,out,kh,kw]
//   G.linear              rows form a feature map: (h,w,c) -> (c,h,w); the same for columns of dcgan32's D.linear
//   batch norm            gamma, beta -> weight, bias
//   spectral norm         original: weight, u, v -> weight_orig, weight_u, weight_v, v in the order of the weight;
//                         folded: weight = weight / sigma, sigma = u W v
#pragma once
#include <string>
#include <vector>

#include "engine/sparse/compact_weights.h"

namespace poise {

enum class SpectralNormForm : uint8_t { original, folded };

// `ours`: every parameter and buffer of network "G" or "D" of the model, by path ("block2.conv1.weight").
std::vector<NamedWeights> channels_first(const std::string& model, const std::string& network,
                                         const std::vector<NamedWeights>& ours, SpectralNormForm form);

}  // namespace poise
