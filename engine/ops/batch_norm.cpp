// Batch normalisation as the tape's mode says, with an optional ReLU.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

// A constant vector in place of an absent parameter.
Var constant_vector(Var x, double value) {
  Tape& t = *x.tape;
  Tensor all = t.alloc({x.shape().back()}, parameter_dtype(x.dtype()));
  t.launch({"fill", Pass::forward}, t.ctx.kernels->fill, value, all);
  return t.constant(all);
}

}  // namespace

Var batch_norm(Var x, Var gamma, Var beta, Tensor running_mean, Tensor running_var, const BatchNormOptions& options) {
  Tape& t = *x.tape;
  const char* const op = gamma.tape ? "batch_norm" : kBatchNormWithoutAffine;
  if (!gamma.tape) gamma = constant_vector(x, 1), beta = constant_vector(x, 0);
  check_parameter("batch_norm", x, gamma);
  check_parameter("batch_norm", x, beta);
  const Shape channels{x.shape().back()};
  check(t,
        gamma.shape() == channels && beta.shape() == channels && running_mean.shape == channels &&
            running_var.shape == channels,
        [&] {
          return "batch_norm expects gamma, beta and running statistics " + channels.to_string() + " for input " +
                 x.shape().to_string() + " but got gamma " + gamma.shape().to_string();
        });
  const bool batch_statistics = t.mode != Mode::evaluate_running;
  check(t, !batch_statistics || x.shape().rows() > 1, [&] {
    return "batch_norm expects more than one value per channel to take statistics of but got " + x.shape().to_string();
  });
  BatchNormOptions o = options;
  if (t.batch_norm_momentum >= 0) o.momentum = t.batch_norm_momentum;
  if (t.mode != Mode::evaluate_running) o.ranks = t.batch_norm_ranks;
  const size_t workspace_bytes = batch_norm_workspace(x.shape().rows(), channels[0], o.ranks ? o.ranks->size() : 1);
  const Tensor xv = x.value(), taken = t.records_gradients() ? Tensor{} : t.take_if_spent(x);
  const Tensor y = taken ? taken : t.alloc(x.shape(), x.dtype());
  const Tensor mean = t.alloc(channels, gamma.dtype()), inv_std = t.alloc(channels, gamma.dtype());
  const Tape::ChannelSums moments = t.take_sums(x);
  BatchNormStatistics statistics{.x = xv,
                                 .moments = moments.known ? moments.memory : Tensor{},
                                 .running_mean = running_mean,
                                 .running_var = running_var,
                                 .mean = mean,
                                 .inv_std = inv_std};
  if (batch_statistics) {
    if (t.mode != Mode::train) statistics.running_mean = statistics.running_var = {};
    Arena::Workspace workspace(*t.ctx.arena, workspace_bytes);
    Work work{op, Pass::forward};
    if (moments.known) work.bytes = static_cast<double>(moments.memory.size_bytes());  // x is not read
    t.launch(work, t.ctx.kernels->batch_norm_batch_statistics, o, statistics, workspace);
  } else {
    t.launch({op, Pass::forward}, t.ctx.kernels->batch_norm_running_statistics, o, statistics);
  }
  if (moments.memory) t.ctx.arena->recycle(moments.memory);
  return t.record_unwritten(
      {.name = op,
       .inputs = {x, gamma, beta},
       .output = y,
       .saved = {mean, inv_std},
       .backward =
           [=](Grads& g) {
             const Tape::ChannelSums sums = g.take_sums();
             const BatchNormBackwardOperands backward{.x = xv,
                                                      .gamma = gamma.value(),
                                                      .beta = beta.value(),
                                                      .mean = mean,
                                                      .inv_std = inv_std,
                                                      .dy = g.dy(),
                                                      .sums = sums.known ? sums.memory : Tensor{},
                                                      .dx = g.wants(x) ? g.dy() : Tensor{},
                                                      .dgamma = g.alloc(gamma),
                                                      .dbeta = g.alloc(beta)};
             Arena::Workspace workspace(*g.ctx().arena, workspace_bytes);
             g.tape().launch({op, Pass::backward}, g.kernels().batch_norm_backward, o, batch_statistics, backward,
                             workspace);
             if (sums.memory) g.ctx().arena->recycle(sums.memory);
             g.add_or_recycle(gamma, backward.dgamma);
             g.add_or_recycle(beta, backward.dbeta);
             if (backward.dx) g.move_dy_to(x, x.shape());
           }},
      x, xv, {.gamma = gamma.value(), .beta = beta.value(), .mean = mean, .inv_std = inv_std, .relu = options.relu});
}

}  // namespace poise
