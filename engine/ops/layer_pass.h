// One pass of a layer with weights: who computes it (the dense kernels, our block-sparse ones or the vendor's), how much
// workspace that takes, and what it costs.
#pragma once
#include "engine/ops/check.h"
#include "engine/sparse/layer_execution.h"

namespace poise {

// Of a convolution, computed as `plan` says.
inline Work conv_work(const char* op, const Conv2dGeometry& geometry, const Conv2dPlan& plan, Pass pass) {
  return {.op = op, .pass = pass, .flops = 2 * geometry.macs(), .executed_flops = 2 * plan.executed_macs};
}

struct LayerPass {
  Conv2dGeometry geometry;   // to skip dead blocks, a linear layer is a 1x1 convolution of images of one pixel
  const BlockIndex* blocks;  // null: dense
  bool through_cusparse;
  size_t workspace_bytes;
  Work work;

  // dense_plan(): the Conv2dPlan of the dense kernel. `execution` may be null.
  template <class DensePlan>
  LayerPass(const Context& ctx, const char* op, const Conv2dGeometry& convolution, DType dtype, Pass pass,
            const LayerExecution* execution, const DensePlan& dense_plan)
      : geometry(convolution),
        blocks(execution ? execution->blocks(pass) : nullptr),
        through_cusparse(blocks && execution->of(pass) == Execution::cusparse) {
    const auto block_plan = through_cusparse ? ctx.kernels->cusparse_conv2d_plan : ctx.kernels->block_conv2d_plan;
    const Conv2dPlan plan = blocks ? block_plan(ctx, geometry, *blocks, dtype, pass) : dense_plan();
    workspace_bytes = plan.workspace_bytes;
    work = conv_work(op, geometry, plan, pass);
  }

  // One of three kernels. Those that skip blocks are given the geometry and the blocks before `args`, a dense
  // convolution the geometry, a dense linear layer the arguments alone.
  template <class Block, class Dense, class... Args>
  void launch(Tape& tape, Block* block, Block* cusparse, Dense* dense, Args&&... args) const {
    if (blocks) return tape.launch(work, through_cusparse ? cusparse : block, geometry, *blocks, args...);
    if constexpr (std::is_invocable_v<Dense*, Context&, Args&...>) {
      tape.launch(work, dense, args...);
    } else {
      tape.launch(work, dense, geometry, args...);
    }
  }
};

}  // namespace poise
