// One pass of a convolution, or of a linear layer as a 1x1 convolution of one-pixel images, on whatever path its layer
// takes now.
#pragma once
#include "engine/sparse/layer_execution.h"
#include "engine/tape/tape.h"

namespace poise {

struct SparsePass {
  Execution path;  // dense: none of the functions below may be called
  const LayerExecution* layer;

  SparsePass(const LayerExecution* execution, Pass pass)
      : path(execution ? execution->now(pass) : Execution::dense), layer(execution) {}
  bool dense() const { return path == Execution::dense; }

  Conv2dPlan plan(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, Pass pass) const {
    const KernelTable& k = *ctx.kernels;
    if (path == Execution::weights) return k.weights_conv2d_plan(ctx, geometry, layer->weights, dtype, pass);
    const auto planner = path == Execution::block ? k.block_conv2d_plan : k.cusparse_conv2d_plan;
    return planner(ctx, geometry, layer->blocks(path), dtype, pass);
  }
  // kernel(ctx, geometry, lists, args...)
  template <class Blocks, class Weights, class... Args>
  void launch(Tape& tape, const Work& work, const Conv2dGeometry& geometry, Blocks* block, Blocks* cusparse,
              Weights* weights, Args&&... args) const {
    if (path == Execution::weights) return tape.launch(work, weights, geometry, layer->weights, args...);
    tape.launch(work, path == Execution::block ? block : cusparse, geometry, layer->blocks(path), args...);
  }
};

}  // namespace poise
