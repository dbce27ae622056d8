// How many weights of each layer stay alive so that a network has a given density: alive / all maskable weights.
//
//   density_l = min(1, eps * scale_l),   eps such that  sum_l density_l * n_l = density * N
//
//   uniform  scale = 1
//   er       scale = (out + in) / (out * in)                             Erdos-Renyi (Mocanu et al. 2018)
//   erk      scale = (out + in + kh + kw) / (out * in * kh * kw)         with the kernel (Evci et al. 2020);
//                                                                        linear layers as er
//
// eps is found by making the layers with the largest scale dense, one group of equal scales at a time, until
// eps * scale <= 1 for all others. Small layers (the first, the last, 1x1 shortcuts) thus stay dense or nearly so.
#pragma once
#include <string>
#include <vector>

#include "engine/io/enum_names.h"
#include "engine/sparse/cell.h"

namespace poise {

// A weight that a mask may thin out: conv [C_out,kh,kw,C_in] or linear [out,in].
struct MaskableLayer {
  std::string path;  // inside its network: "block2.conv1"
  Shape shape;
};

enum class DensityRule : uint8_t { uniform, er, erk };
template <>
struct EnumNames<DensityRule> {
  static constexpr NamedValue<DensityRule> all[] = {
      {DensityRule::uniform, "uniform"}, {DensityRule::er, "er"}, {DensityRule::erk, "erk"}};
};

struct LayerDensity {
  double density = 1;                  // by the formula; alive_cells / cells is the value after rounding
  int64_t cells = 0, alive_cells = 0;  // if the cell does not divide the layer, these count its weights
  bool divisible = true;               // false: the cell does not divide the layer, which therefore stays dense
};

// One entry per layer. The alive weights of all layers are round(density * N), give or take half of the smallest cell
// among the sparse layers; each layer has at least one alive cell. Error(usage) for a density outside (0, 1], below the
// share of the layers that the cell does not divide, or less than half of the lowest one that is possible.
std::vector<LayerDensity> layer_densities(const std::vector<MaskableLayer>& layers, DensityRule rule, double density,
                                          const Cell& cell);

}  // namespace poise
