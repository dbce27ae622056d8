// Options of layers that several models share.
#pragma once
#include "engine/nn/layers.h"

namespace poise {

inline constexpr BatchNormOptions kBatchNormRelu{.relu = true};
inline constexpr LayerOptions kSpectral{.spectral_norm = true};

}  // namespace poise
