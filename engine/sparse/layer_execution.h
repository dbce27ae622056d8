// How one layer with a mask computes now: with the dense kernels, which multiply its zeros, with our kernels that skip
// dead blocks, with the vendor's (kernels/sparse/cusparse/cusparse_conv2d.h), or weight by weight. Decided per pass
// when masks change (execution.h) and read by the ops.
#pragma once
#include <iterator>

#include "engine/io/enum_names.h"
#include "kernels/sparse/block/block_conv2d.h"
#include "kernels/sparse/weights/weights_conv2d.h"

namespace poise {

enum class Execution : uint8_t { dense, block, cusparse, weights };
template <>
struct EnumNames<Execution> {
  static constexpr NamedValue<Execution> all[] = {{Execution::dense, "dense"},
                                                  {Execution::block, "block"},
                                                  {Execution::cusparse, "cusparse"},
                                                  {Execution::weights, "weights"}};
};
constexpr size_t kExecutions = std::size(EnumNames<Execution>::all);

// A layer as a sparse path computes it. (For dense kernels this is Conv2dGeometry::dense_form().)
inline Conv2dGeometry sparse_form_on(Execution path, const Conv2dGeometry& layer) {
  return path == Execution::weights ? weights_form(layer) : layer.sparse_form();
}

struct LayerExecution {
  Tensor mask;                // u8, one byte per run of weights (kernels/sparse/masks/mask.h)
  BlockIndex index;           // of the alive blocks, for our kernels that skip dead ones
  BlockIndex cusparse_index;  // of blocks as large as cells allow, if cuSPARSE is a choice
  WeightIndex weights;        // if single weights are a choice
  Execution forward = Execution::dense, backward_input = Execution::dense, backward_weight = Execution::dense;
  // In this step the gradients of dead weights are needed too: a mask update is going to rank them.
  bool dense_weight_gradient = false;
  // The largest convolution that training has run in this layer; decisions depend on it. Ops note it only while
  // gradients are recorded, so that drawing samples between steps changes no decision.
  Conv2dGeometry geometry;

  // of(): what was decided; now(): what holds in this step.
  Execution of(Pass pass) const {
    return pass == Pass::forward ? forward : pass == Pass::backward_input ? backward_input : backward_weight;
  }
  Execution now(Pass pass) const {
    return pass == Pass::backward_weight && dense_weight_gradient ? Execution::dense : of(pass);
  }
  void set(Pass pass, Execution execution) {
    (pass == Pass::forward ? forward : pass == Pass::backward_input ? backward_input : backward_weight) = execution;
  }
  void note(const Conv2dGeometry& asked) {
    if (asked.macs() <= geometry.macs()) return;
    geometry = asked;
    geometry.relu = false;  // no decision depends on it
  }
};

}  // namespace poise
