// Two-dimensional convolution, optionally of an input enlarged 2x or with means of 2x2 outputs
// (kernels/dense/conv2d/conv2d.h).
#include <optional>
#include <utility>

#include "engine/ops/layer_weight.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

Conv2dGeometry geometry_of(Var x, Var weight, const Conv2dOptions& o) {
  const Shape xs = x.shape(), ws = weight.shape();
  check(*x.tape, xs.rank() == 4 && ws.rank() == 4 && xs[3] == ws[3], [&] {
    return "conv2d expects input [N,H,W," + (ws.rank() == 4 ? std::to_string(ws[3]) : "C_in") + "] for weight " +
           ws.to_string() + " [C_out,kh,kw,C_in] but got " + xs.to_string();
  });
  check(*x.tape, ws[1] == o.kh && ws[2] == o.kw, [&] {
    return "conv2d expects a weight with a " + std::to_string(o.kh) + "x" + std::to_string(o.kw) + " kernel but got " +
           ws.to_string();
  });
  const Conv2dGeometry geometry = o.geometry(xs, ws[0]);
  check(*x.tape, geometry.enlargement_allowed(), [&] {
    return std::string(
        "conv2d expects upsample 1, or upsample 2 with stride 1 and a 1x1 or 3x3 kernel that keeps the "
        "size (padding 0 or 1); use upsample_nearest_2x before any other");
  });
  check(*x.tape, geometry.pooling_allowed(), [&] {
    return std::string(
        "conv2d expects pool 1, or pool 2 without upsample and ReLU, with stride 1, a 1x1 or 3x3 kernel that keeps the "
        "size, "
        "and at least 2x2 pixels; use avg_pool_2x2 after any other convolution");
  });
  check(*x.tape, geometry.h * o.upsample + 2 * o.pad_h >= o.kh && geometry.w * o.upsample + 2 * o.pad_w >= o.kw, [&] {
    return "conv2d expects an input at least as large as its " + std::to_string(o.kh) + "x" + std::to_string(o.kw) +
           " kernel (after padding " + std::to_string(o.pad_h) + "," + std::to_string(o.pad_w) + ") but got " +
           xs.to_string();
  });
  return geometry;
}

// What the forward pass leaves for the backward pass. Allocations from the bottom of the arena must not depend on the
// paths of passes, as a plan runs all passes on one path while masks mix them. So what only some paths need is scratch.
struct Convolution {
  Var x, weight, bias, residual;
  Conv2dGeometry geometry;
  const LayerExecution* execution;
  Tensor pooled_x;        // empty if x is not pooled
  Tensor y, y_rectified;  // y_rectified is empty if it is not needed
  Tensor moments;         // of y; empty if they are not needed
  bool y_holds_residual;  // until the results are added to it
  LayerWeight w;

  LayerInput input_of(const LayerPass& pass) const {
    if (pooled_x) return pooled_x;
    if (!pass.normalises_input(x.tape->ctx, x.dtype())) return x.value();
    return x.tape->layer_input(x, /*writes=*/pass.is_dense());
  }
  const Shape& input_shape() const { return pooled_x ? pooled_x.shape : x.shape(); }
  LayerPass pass_of(const Context& ctx, Pass pass) const { return pass_of(ctx, geometry, x.dtype(), pass, execution); }
  static LayerPass pass_of(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, Pass pass,
                           const LayerExecution* execution) {
    return LayerPass(ctx, "conv2d", geometry, dtype, pass, execution,
                     [&](const Conv2dGeometry& form) { return ctx.kernels->conv2d_plan(ctx, form, dtype, pass); });
  }

  // Returns whether the moments were computed.
  bool forward(Tape& t) {
    LayerPass pass = pass_of(t.ctx, Pass::forward);
    const KernelTable& k = *t.ctx.kernels;
    const Tensor b = bias.tape ? bias.value() : Tensor{};
    const bool finished = pass.finishes_results(t.ctx, y.dtype);
    pass.geometry.adds = y_holds_residual && finished && !pass.pools_output();
    const bool complete = finished && pass.is_dense() && (!residual.tape || pass.geometry.adds);
    const Tensor beside = complete ? y_rectified : Tensor{};  // where the kernel writes max(0, y), if it does
    Sums sums;
    std::optional<Arena::Scratch> results;  // used where the results may not be written to y yet
    if (y_holds_residual && !pass.geometry.adds) results.emplace(*t.ctx.arena, y.shape, y.dtype);
    Tensor result = results ? results->tensor() : y;
    if (pass.pools_output()) sums.emplace(*t.ctx.arena, pass.geometry.y_shape(), y.dtype);
    const bool takes_moments = moments && pass.takes_sums(t.ctx, y.dtype) && !sums && (finished || !geometry.relu) &&
                               (!residual.tape || pass.geometry.adds);
    {
      Arena::Workspace workspace(*t.ctx.arena, pass.workspace_bytes);
      Tensor out = sums ? sums->tensor() : result;
      if (pass.is_dense()) {
        t.launch(pass.work, k.conv2d_forward, pass.geometry, input_of(pass), w.read_by(pass), b, beside, workspace,
                 out);
      } else {
        pass.launch_sparse(t, k.block_conv2d_forward, k.cusparse_conv2d_forward, k.weights_conv2d_forward,
                           input_of(pass), w.value, b, workspace, LayerOutput(out, takes_moments ? moments : Tensor{}));
      }
    }
    if (geometry.relu && !pass.is_dense() && !finished) {
      t.launch({"leaky_relu", Pass::forward}, k.leaky_relu_forward, 0.0f, y, y);
    }
    if (sums) t.launch({"avg_pool_2x2", Pass::forward}, k.avg_pool_2x2_forward, sums->tensor(), result);
    if (residual.tape && !pass.geometry.adds) {
      t.launch({"add", Pass::forward}, k.add, result, y_holds_residual ? y : residual.value(), y);
    }
    if (y_rectified && !beside) {
      t.launch({"leaky_relu", Pass::forward}, k.leaky_relu_forward, 0.0f, y, y_rectified);
    }
    return takes_moments;
  }

  void backward(Grads& g) const {
    Tape& t = g.tape();
    Tensor dy = g.dy();
    if (geometry.relu && !g.dy_is_before_relu()) {
      t.launch({"leaky_relu", Pass::backward}, g.kernels().leaky_relu_backward, 0.0f, y, dy, dy);
    }
    const LayerPass of_weight = pass_of(g.ctx(), Pass::backward_weight),
                    of_input = pass_of(g.ctx(), Pass::backward_input);
    const bool wants_weight = g.wants(weight) || g.wants(bias), wants_input = g.wants(x);
    {
      // The gradient of the sums, for passes that compute sums; it is kept for the second pass only if both do.
      Sums dsums;
      if (wants_weight) backward_weight(g, of_weight, gradient_of_output(t, of_weight, dy, dsums));
      if (!of_input.pools_output()) dsums.reset();
      if (wants_input) backward_input(g, of_input, gradient_of_output(t, of_input, dy, dsums));
    }
    if (g.wants(residual)) g.move_dy_to(residual, residual.shape());
  }

 private:
  using Sums = std::optional<Arena::Scratch>;

  // The gradient of what the kernel of this pass calls y.
  static Tensor gradient_of_output(Tape& t, const LayerPass& pass, const Tensor& dy, Sums& dsums) {
    if (!pass.pools_output()) return dy;
    if (!dsums) {
      dsums.emplace(*t.ctx.arena, pass.geometry.y_shape(), dy.dtype);
      t.launch({"avg_pool_2x2", Pass::backward}, t.ctx.kernels->avg_pool_2x2_backward, dy, dsums->tensor());
    }
    return dsums->tensor();
  }

  void backward_weight(Grads& g, const LayerPass& pass, const Tensor& dy) const {
    const KernelTable& k = g.kernels();
    Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
    {
      Arena::Workspace workspace(*g.ctx().arena, pass.workspace_bytes);
      if (pass.is_dense()) {
        g.tape().launch(pass.work, k.conv2d_backward_weight, pass.geometry, input_of(pass).x, dy, workspace, dw, db);
      } else {
        pass.launch_sparse(g.tape(), k.block_conv2d_backward_weight, k.cusparse_conv2d_backward_weight,
                           k.weights_conv2d_backward_weight, input_of(pass), dy, workspace, dw, db);
      }
    }
    g.add_or_recycle(weight, dw);
    if (db) g.add(bias, db);
  }

  // Must come after the last pass that reads x.
  void backward_input(Grads& g, LayerPass pass, const Tensor& dy) const {
    Tape& t = g.tape();
    const bool finished = pass.finishes_results(g.ctx(), dy.dtype) && !geometry.pools_input();
    // The memory for sums does not depend on the path. They are for the batch normalisation that made x.
    const LayerInput* const normalised = geometry.pools_input() || !execution ? nullptr : g.normalised_input(x);
    Tensor sums;
    if (normalised && g.kernels().block_conv2d_takes_sums(g.ctx(), {}, dy.dtype, Pass::backward_input)) {
      sums = t.alloc({2, x.shape().back()}, DType::f64);
    }
    Grads::ReluGradient relu;
    if (!geometry.pools_input()) relu = g.take_over_relu(x, finished && pass.is_dense());
    const Tensor rectified = relu.adds ? x.value() : relu.memory;
    pass.geometry.adds = relu.adds;
    pass.geometry.masks = rectified && finished;
    Tensor dx = rectified ? relu.memory : g.alloc(x);
    std::optional<Arena::Scratch> results;  // used where the results may not be written to dx
    if (geometry.pools_input() || (rectified && !finished)) results.emplace(*g.ctx().arena, input_shape(), dy.dtype);
    const Tensor result = results ? results->tensor() : dx;
    const bool takes_sums = sums && pass.takes_sums(g.ctx(), dy.dtype);
    launch_backward_input(t, pass, dy, finished ? rectified : Tensor{},
                          takes_sums ? InputGradient(result, *normalised, sums) : result);
    if (geometry.pools_input()) {
      t.launch({"avg_pool_2x2", Pass::backward}, t.ctx.kernels->avg_pool_2x2_backward, result, dx);
    } else if (results) {
      t.launch({"leaky_relu", Pass::backward}, t.ctx.kernels->leaky_relu_backward, 0.0f, dx, result, dx);
    }
    if (!rectified) g.add(x, dx);
    if (sums) t.set_sums(x, {sums, takes_sums});
  }

  // rectified: x if the kernel is to apply the gradient of its ReLU, otherwise empty.
  void launch_backward_input(Tape& t, const LayerPass& pass, const Tensor& dy, const Tensor& rectified,
                             const InputGradient& out) const {
    const KernelTable& k = *t.ctx.kernels;
    const Tensor read = w.read_by(pass);
    Arena::Workspace workspace(*t.ctx.arena, pass.workspace_bytes);
    if (pass.is_dense()) {
      Tensor dx = out.dx;
      return t.launch(pass.work, k.conv2d_backward_input, pass.geometry, dy, read, rectified, workspace, dx);
    }
    pass.launch_sparse(t, k.block_conv2d_backward_input, k.cusparse_conv2d_backward_input,
                       k.weights_conv2d_backward_input, dy, read, workspace, out);
  }
};

}  // namespace

Var conv2d(Var x, Var weight, Var bias, const Conv2dOptions& options, LayerExecution* execution, Var residual,
           Next next) {
  Tape& t = *x.tape;
  check_parameter("conv2d", x, weight);
  const Conv2dGeometry geometry = geometry_of(x, weight, options);
  check_bias("conv2d", x, weight, bias);
  if (residual.tape) {
    check_operands("conv2d", x, residual);
    check(t, residual.shape() == geometry.y_shape() && !geometry.relu, [&] {
      return "conv2d without ReLU expects a residual " + geometry.y_shape().to_string() + " but got " +
             residual.shape().to_string() + (geometry.relu ? " and a ReLU" : "");
    });
  }
  if (execution && t.records_gradients()) execution->note(geometry);
  Tensor pooled_x;
  if (geometry.pools_input()) {
    pooled_x = t.alloc(geometry.sparse_form().x_shape(), x.dtype());
    t.launch({"avg_pool_2x2", Pass::forward}, t.ctx.kernels->avg_pool_2x2_forward, x.value(), pooled_x);
  }
  const bool only_residual = residual.tape && residual.id != x.id;
  const Tensor taken = only_residual ? t.take_if_unread(residual) : Tensor{};
  const Tensor y = taken ? taken : t.alloc(geometry.y_shape(), x.dtype());  // [N,H',W',C_out]
  // Memory must not depend on the path (see Convolution), so it is allocated if any path of the device takes moments.
  const bool takes_moments = next == Next::batch_norm && t.mode != Mode::evaluate_running && execution &&
                             t.ctx.kernels->block_conv2d_takes_sums(t.ctx, {}, x.dtype(), Pass::forward);
  Convolution convolution{.x = x,
                          .weight = weight,
                          .bias = bias,
                          .residual = residual,
                          .geometry = geometry,
                          .execution = execution,
                          .pooled_x = pooled_x,
                          .y = y,
                          .y_rectified = next == Next::relu ? t.alloc(y.shape, y.dtype) : Tensor{},
                          .moments = takes_moments ? t.alloc({2, y.shape.back()}, DType::f64) : Tensor{},
                          .y_holds_residual = static_cast<bool>(taken),
                          .w = LayerWeight(weight, x.dtype())};
  const bool known = convolution.forward(t);
  const Var result = t.record({.name = "conv2d",
                               .inputs = {x, weight, bias, residual},
                               .output = y,
                               .saved = {convolution.w.saved_for(x), pooled_x},
                               .reads_output = geometry.relu,
                               .is_rectified = geometry.relu,
                               .backward = [convolution](Grads& g) { convolution.backward(g); }});
  t.set_rectified(result, convolution.y_rectified);
  t.set_sums(result, {convolution.moments, known});
  return result;
}

}  // namespace poise
