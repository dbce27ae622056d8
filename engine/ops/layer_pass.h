// One pass of a layer with weights: which kernels compute it (the dense ones or one of the sparse paths,
// layer_execution.h), how much workspace that takes, and what it costs.
#pragma once
#include "engine/ops/check.h"
#include "engine/sparse/layer_execution.h"

namespace poise {

// The work of a convolution that is computed as `plan` says.
inline Work conv_work(const char* op, const Conv2dGeometry& geometry, const Conv2dPlan& plan, Pass pass) {
  return {.op = op, .pass = pass, .flops = 2 * geometry.macs(), .executed_flops = 2 * plan.executed_macs};
}

struct LayerPass {
  // As the kernel computes it. On a sparse path, a linear layer is a 1x1 convolution of one-pixel images.
  Conv2dGeometry geometry;
  Execution path;
  const LayerExecution* layer;  // null: dense
  size_t workspace_bytes;
  Work work;
  bool pools_sums;  // the layer does, even if its kernel does not

  // dense_plan(geometry) returns the Conv2dPlan of the dense kernel. `execution` may be null.
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
  // Does the kernel handle `adds` and the ReLU's gradient, and on a sparse path also `relu` and the `pool` of sums?
  bool finishes_results(const Context& ctx, DType dtype) const {
    return (is_dense() && ctx.kernels->conv2d_finishes(ctx)) ||
           (path == Execution::weights && weights_conv2d_finishes(dtype)) ||
           (path == Execution::block && block_conv2d_finishes(dtype, geometry));
  }
  // Can the kernel normalise x as it reads it? Dense ones do so in the forward pass only, and also write the value.
  bool normalises_input(const Context& ctx, DType dtype) const {
    return (is_dense() && work.pass == Pass::forward && ctx.kernels->conv2d_normalises(ctx, dtype)) ||
           (path == Execution::weights && weights_conv2d_normalises(dtype, geometry)) ||
           (path == Execution::block && block_conv2d_normalises(ctx.device, dtype));
  }
  // Can the kernel compute moments of its y, or sums of its dx?
  bool takes_sums(const Context& ctx, DType dtype) const {
    return (path == Execution::weights && weights_conv2d_takes_sums(dtype, geometry, work.pass)) ||
           (path == Execution::block && ctx.kernels->block_conv2d_takes_sums(ctx, geometry, dtype, work.pass));
  }
  // Is the kernel's y four times as large as the layer's, and still to be pooled?
  bool pools_output() const { return pools_sums && !is_dense() && geometry.pool == 1; }

  // Launches the kernel of the path. Sparse kernels take the geometry and their lists before `args`, a dense
  // convolution takes the geometry, and a dense linear layer takes `args` alone.
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
