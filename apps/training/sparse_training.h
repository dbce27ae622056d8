// The sparse part of a training run: the masks of both networks, the balance ratio, and when a policy (mask_policy.h)
// gets its turn.
//
// One iteration t, after its D steps and its G step (Adam has applied the masks, the moving average has followed):
//   1. t a multiple of br_every: the balance ratio is measured and queued
//   2. G's policy, if it is due
//   3. D's policy, if it is due
// The moving average is multiplied by a new mask here although it was updated before; weights that stay alive are not
// touched and all others are zero on both sides, so this equals averaging after the change.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/training/gan_step.h"
#include "apps/training/sparse_methods.h"

namespace poise {

// One tensor of the run's state, by name: "G.block2.conv1.weight", "G.adam_m.block2.conv1.weight", "D.block1.conv1.u".
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// A change of a network's masks, or the decision against one.
struct MaskEvent {
  int64_t iteration = 0;
  std::string network;                                 // "G", "D"
  std::string kind;                                    // "initial", or that of a MaskAction
  int64_t dropped = 0, grown = 0, alive = 0;           // weights
  double density = 1;                                  // alive / maskable
  double drop_fraction = 0;                            // of drop_grow; the step of raise and lower
  double balance_ratio = 0;                            // what the decision read; NaN: nothing
  std::vector<std::pair<std::string, double>> layers;  // densities of the masked layers
};

// What one pass of one layer computes with from an iteration on, and why.
struct ExecutionEvent {
  int64_t iteration = 0;
  ExecutionDecision decision;
};

struct SparseReport {
  BalanceReadings balance;  // NaN if never measured
  double density_g = 1, density_d = 1;
};

class SparseTraining {
 public:
  // Masks for the networks of `model`, whose weights lie in the slabs, computed with `ctx`; all of them stay where they
  // are. `real`: the shape of a minibatch of D, `activations` its type; labels if the model is conditional. Error(usage)
  // for an unknown method, or for an execution that the masks, the layers or the device do not allow.
  SparseTraining(const SparseOptions& options, GanModel& model, ParameterSlab& slab_g, ParameterSlab& slab_d,
                 Context& ctx, const Shape& real, DType activations, Memory memory);
  ~SparseTraining();

  Tensor mask(Network network) const;  // what Adam multiplies by: u8 [parameters / run]; empty without a policy
  void draw_masks();                   // once, when the weights have their initial values and a plan has run

  bool has_masks() const { return policies_.masks(); }
  bool measures_balance() const { return policies_.masks() && options_.br_every > 0; }
  bool balance_due(int64_t t) const { return measures_balance() && t % options_.br_every == 0; }
  Labelled real() { return {real_.tensor(), real_labels_.tensor()}; }  // D's minibatch, if the ratio is measured
  Tensor mean_g() const;  // [1]: where the G step leaves its images' mean logit; empty: not wanted
  // z of the G step just taken. Means over the ranks, unless null.
  void measure_balance(GanStep& step, const Labelled& z, Ranks* ranks);

  const NetworkMasks* masks(Network network) const;  // null without a policy
  // Does somebody read the gradients of dead weights in the iteration prepared last? Always without masks.
  bool reads_dense_gradients(Network network) const;

  // Before iteration t: turns the gradients of dead weights on or off, as t wants them. True if that is a change: what
  // the steps of the iteration before were is then no plan for those of t.
  bool prepare(int64_t t);
  // Steps 2 and 3 above. Takes the whole arena. True if a policy had its turn.
  bool update_masks(int64_t t);
  void plan_updates();  // in a plan: the most that update_masks takes of the arena

  SparseReport report() const;  // waits for the device
  std::vector<MaskEvent> take_events() { return std::exchange(events_, {}); }
  std::vector<ExecutionEvent> take_execution_events() { return std::exchange(execution_events_, {}); }

  std::vector<ExecutionDecision> predict_execution() const;  // in a plan, at the first densities
  bool set_all_executions(Execution execution);              // in a plan; false if no layer may take it

  void append_state(std::vector<NamedTensor>& all);
  void restored();  // what state tensors do not hold, after they were written

  size_t bytes() const;

 private:
  struct Side;
  void decide_execution(Side& side, int64_t t);
  void note(const Side& side, const MaskAction& action, int64_t t, double balance_ratio);
  double balance_ratio() const;  // that decisions read; NaN until the queue is full

  const SparseOptions options_;
  const MaskPolicies policies_;
  Context& ctx_;
  const CrossoverTable crossovers_;
  std::vector<std::unique_ptr<Side>> sides_;  // the networks under masks, G first
  BalanceQueue queue_;
  OwnedTensor real_, real_labels_;  // [B_D,H,W,C], [B_D] or empty
  OwnedTensor means_;               // a_pre, a_post, r
  // On the host, what networks remember besides their masks: G's target, D's target, D's density asked for. (No method's
  // policy for G goes by the density before.)
  OwnedTensor counters_;
  std::vector<MaskEvent> events_;
  std::vector<ExecutionEvent> execution_events_;
};

}  // namespace poise
