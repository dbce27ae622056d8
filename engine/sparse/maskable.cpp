#include "engine/sparse/maskable.h"

namespace poise {

bool is_maskable(const Parameter& parameter, MaskableHead head) {
  if (parameter.role != ParameterRole::weight) return false;
  const bool is_head = parameter.shape.rank() == 2 && parameter.shape[0] == 1;
  return !is_head || head == MaskableHead::masked_like_paper_code;
}

std::vector<MaskableLayer> maskable_layers(Module& network, MaskableHead head) {
  std::vector<MaskableLayer> layers;
  network.for_each_parameter([&](Parameter& parameter) {
    if (!is_maskable(parameter, head)) return;
    layers.push_back({parameter.path.substr(0, parameter.path.rfind('.')), parameter.shape});
  });
  return layers;
}

}  // namespace poise
