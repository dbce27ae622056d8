// One pass of a layer with weights: who computes it (the dense kernels or one of the sparse paths, layer_execution.h),
// how much workspace that takes, and what it costs.
#pragma once
#include "engine/ops/check.h"
#include "engine/sparse/layer_execution.h"

namespace poise {

// Of a convolution, computed as `plan` says.
inline Work conv_work(const char* op, const Conv2dGeometry& geometry, const Conv2dPlan& plan, Pass pass) {
  return {.op = op, .pass = pass, .flops = 2 * geometry.macs(), .executed_flops = 2 * plan.executed_macs};
}

struct LayerPass {
  // Of the kernel. On a sparse path, a linear layer is a 1x1 convolution of images of one pixel.
  Conv2dGeometry geometry;
  Execution path;
  const LayerExecution* layer;  // null: dense
  size_t workspace_bytes;
  Work work;
  bool pools_sums;  // of the layer

  // dense_plan(geometry): the Conv2dPlan of the dense kernel. `execution` may be null.
  template <class DensePlan>
  LayerPass(const Context& ctx, const char* op, const Conv2dGeometry& convolution, DType dtype, Pass pass,
            const LayerExecution* execution, const DensePlan& dense_plan)
      : path(execution ? execution->now(pass) : Execution::dense), layer(execution) {
    geometry = is_dense() ? convolution.dense_form() : sparse_form_on(path, convolution);
    if (convolution.pools_sums() && path == Execution::block && block_conv2d_pools(ctx.device, dtype))
      geometry.pool = 2;
    const Conv2dPlan plan = is_dense() ? dense_plan(geometry) : sparse_plan(*ctx.kernels, ctx, dtype, pass);
    workspace_bytes = plan.workspace_bytes;
    work = conv_work(op, convolution, plan, pass);
    pools_sums = convolution.pools_sums();
  }
  bool is_dense() const { return path == Execution::dense; }
  // Does the kernel see to `adds` and to the ReLU's gradient, and on a sparse path to `relu`, and to `pool` of sums?
  bool finishes_results(const Context& ctx, DType dtype) const {
    return (is_dense() && ctx.kernels->conv2d_finishes(ctx)) ||
           (path == Execution::weights && weights_conv2d_finishes(dtype)) ||
           (path == Execution::block && block_conv2d_finishes(dtype, geometry));
  }
  // May the kernel be given a normalisation of x? A dense one, of a forward pass, writes the value.
  bool normalises_input(const Context& ctx, DType dtype) const {
    return (is_dense() && work.pass == Pass::forward && ctx.kernels->conv2d_normalises(ctx, dtype)) ||
           (path == Execution::weights && weights_conv2d_normalises(dtype, geometry)) ||
           (path == Execution::block && block_conv2d_normalises(ctx.device, dtype));
  }
  // May the kernel be asked for moments of what it calls y, or for sums of its dx?
  bool takes_sums(const Context& ctx, DType dtype) const {
    return (path == Execution::weights && weights_conv2d_takes_sums(dtype, geometry, work.pass)) ||
           (path == Execution::block && ctx.kernels->block_conv2d_takes_sums(ctx, geometry, dtype, work.pass));
  }
  // The kernel's y is four times as large.
  bool pools_output() const { return pools_sums && !is_dense() && geometry.pool == 1; }

  // The kernel of the path. Sparse ones are given the geometry and their lists before `args`, a dense convolution the
  // geometry, a dense linear layer the arguments alone.
  template <class Blocks, class Weights, class Dense, class... Args>
  void launch(Tape& tape, Blocks* block, Blocks* cusparse, Weights* weights, Dense* dense, Args&&... args) const {
    if (!is_dense()) return launch_sparse(tape, block, cusparse, weights, args...);
    if constexpr (std::is_invocable_v<Dense*, Context&, Args&...>) {
      tape.launch(work, dense, args...);
    } else {
      tape.launch(work, dense, geometry, args...);
    }
  }

  template <class Blocks, class Weights, class... Args>
  void launch_sparse(Tape& tape, Blocks* block, Blocks* cusparse, Weights* weights, Args&&... args) const {
    if (path == Execution::weights) return tape.launch(work, weights, geometry, layer->weights, args...);
    if (path == Execution::block) return tape.launch(work, block, geometry, layer->index, args...);
    tape.launch(work, cusparse, geometry, layer->cusparse_index, args...);
  }

 private:
  Conv2dPlan sparse_plan(const KernelTable& k, const Context& ctx, DType dtype, Pass pass) const {
    if (path == Execution::weights) return k.weights_conv2d_plan(ctx, geometry, layer->weights, dtype, pass);
    if (path == Execution::block) return k.block_conv2d_plan(ctx, geometry, layer->index, dtype, pass);
    return k.cusparse_conv2d_plan(ctx, geometry, layer->cusparse_index, dtype, pass);
  }
};

}  // namespace poise
