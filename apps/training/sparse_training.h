// The sparse part of a training run: the masks of both networks, the balance ratio, and the calls of the policies
// (mask_policy.h).
//
// Iteration t, after its D steps and its G step (Adam has applied the masks and updated the moving average):
//   1. if t is a multiple of br_every: the balance ratio is measured and queued
//   2. G's policy, if it is due
//   3. D's policy, if it is due
// Here the moving average is updated first and then multiplied by the new mask. This equals averaging after the change,
// because weights that stay alive are not touched and all others are zero either way.
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
  std::string kind;                                    // "initial", or MaskAction::kind
  int64_t dropped = 0, grown = 0, alive = 0;           // weights
  double density = 1;                                  // alive / maskable
  double drop_fraction = 0;                            // as in MaskAction
  double balance_ratio = 0;                            // that the decision depended on; NaN: none
  std::vector<std::pair<std::string, double>> layers;  // densities of the masked layers
};

// The execution path of one pass of one layer, from an iteration on, and why.
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
  // Creates masks for the networks of `model`, whose weights are stored in the slabs, and computes with `ctx`; all of
  // these must outlive this object. `real`: the shape of D's minibatch, `activations` its type. Error(usage) for an
  // unknown method, or for an execution that the masks, the layers or the device do not allow.
  SparseTraining(const SparseOptions& options, GanModel& model, ParameterSlab& slab_g, ParameterSlab& slab_d,
                 Context& ctx, const Shape& real, DType activations, Memory memory);
  ~SparseTraining();

  Tensor mask(Network network) const;  // the mask that Adam applies: u8 [parameters / run]; empty without a policy
  void draw_masks();                   // call once, after the weights are initialised and a plan has run

  bool has_masks() const { return policies_.masks(); }
  bool measures_balance() const { return policies_.masks() && options_.br_every > 0; }
  bool balance_due(int64_t t) const { return measures_balance() && t % options_.br_every == 0; }
  Labelled real() { return {real_.tensor(), real_labels_.tensor()}; }  // D's minibatch, if the ratio is measured
  Tensor mean_g() const;  // [1]: for the mean logit of the G step's images; empty: not needed
  // `z`: the latents of the last G step. Measures means over the ranks, unless null.
  void measure_balance(GanStep& step, const Labelled& z, Ranks* ranks);

  const NetworkMasks* masks(Network network) const;  // null without a policy
  // Are the gradients of dead weights read in the iteration that was prepared last? Always true without masks.
  bool reads_dense_gradients(Network network) const;

  // Call this before iteration t: turns gradients of dead weights on or off as t needs them. Returns true if that is a
  // change, which invalidates captured steps.
  bool prepare(int64_t t);
  // Runs steps 2 and 3 above. Resets the arena. Returns true if a policy was due.
  bool update_masks(int64_t t);
  void plan_updates();  // in a plan: takes the most that update_masks needs of the arena

  SparseReport report() const;  // waits for the device
  std::vector<MaskEvent> take_events() { return std::exchange(events_, {}); }
  std::vector<ExecutionEvent> take_execution_events() { return std::exchange(execution_events_, {}); }

  std::vector<ExecutionDecision> predict_execution() const;  // in a plan, at the first densities
  bool set_all_executions(Execution execution);              // in a plan; false if no layer may take it

  void append_state(std::vector<NamedTensor>& all);
  void restored();  // call after the state tensors were written: derives everything that depends on them

  size_t bytes() const;

 private:
  struct Side;
  void decide_execution(Side& side, int64_t t);
  void note(const Side& side, const MaskAction& action, int64_t t, double balance_ratio);
  double balance_ratio() const;  // for decisions; NaN until the queue is full

  const SparseOptions options_;
  const MaskPolicies policies_;
  Context& ctx_;
  const CrossoverTable crossovers_;
  std::vector<std::unique_ptr<Side>> sides_;  // the networks with masks, G first
  BalanceQueue queue_;
  OwnedTensor real_, real_labels_;  // [B_D,H,W,C], [B_D] or empty
  OwnedTensor means_;               // a_pre, a_post, r
  // On the host, the state of the networks in addition to their masks: G's target, D's target, D's requested density.
  // (No policy for G depends on the previous density.)
  OwnedTensor counters_;
  std::vector<MaskEvent> events_;
  std::vector<ExecutionEvent> execution_events_;
};

}  // namespace poise
