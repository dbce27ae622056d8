// How one layer with a mask computes now: by the dense kernels, which multiply its zeros, by our kernels that skip dead
// blocks, or by the vendor's (kernels/sparse/cusparse/cusparse_conv2d.h). Decided per pass when masks change (execution.h) and
// read by the ops.
#pragma once
#include <string>
#include <vector>

#include "kernels/sparse/block/block_conv2d.h"

namespace poise {

enum class Execution : uint8_t { dense, block, cusparse };
const char* name_of(Execution execution);

struct LayerExecution {
  BlockIndex index;           // of the blocks that our kernels skip
  BlockIndex cusparse_index;  // of blocks as large as cells are, if cuSPARSE is a choice
  Execution forward = Execution::dense, backward_input = Execution::dense, backward_weight = Execution::dense;
  // In this step the gradients of dead weights are wanted as well: a mask update is going to rank them.
  bool dense_weight_gradient = false;
  // The largest convolution that the layer was asked for so far. An op notes it in a plan; decisions read it.
  Conv2dGeometry geometry;

  Execution of(Pass pass) const {
    return pass == Pass::forward ? forward : pass == Pass::backward_input ? backward_input : backward_weight;
  }
  void set(Pass pass, Execution execution) {
    (pass == Pass::forward ? forward : pass == Pass::backward_input ? backward_input : backward_weight) = execution;
  }
  // The blocks that this pass walks, null if it is dense.
  const BlockIndex* blocks(Pass pass) const {
    if (pass == Pass::backward_weight && dense_weight_gradient) return nullptr;
    const Execution execution = of(pass);
    return execution == Execution::dense ? nullptr : execution == Execution::block ? &index : &cusparse_index;
  }
  void note(const Conv2dGeometry& asked) {
    if (asked.macs() > geometry.macs()) geometry = asked;
  }
};

}  // namespace poise
