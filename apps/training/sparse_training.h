// The sparse part of a training run: the masks of both networks, the balance ratio, and who changes what when.
//
// One iteration t, after its D steps and its G step (Adam has applied the masks, the moving average has followed):
//   1. t a multiple of balance_every: the balance ratio is measured and queued
//   2. G's mask: drop and grow, or post-hoc pruning
//   3. D's mask: the controller decides by the queue
// The moving average is multiplied by a new mask here although it was updated before; weights that stay alive are not
// touched and all others are zero on both sides, so this equals averaging after the change.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/training/gan_step.h"
#include "apps/training/sparse_methods.h"
#include "engine/sparse/density_control.h"

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
  std::string kind;                                    // "initial", "drop_grow", "raise", "lower", "prune", "none"
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
  // `real`: the shape of a minibatch of D, `activations` its type, `labelled` if its classes matter. `step`: the slabs
  // and results of the run; receives the masks. Everything stays where it is.
  SparseTraining(const SparseOptions& options, GanStep& step, const Shape& real, DType activations, bool labelled,
                 Device device, bool planning);
  ~SparseTraining();

  void draw_masks();  // once, when the weights have their initial values and a plan has run

  bool measures_balance() const { return method_.masks && options_.br_every > 0; }
  bool balance_due(int64_t t) const { return measures_balance() && t % options_.br_every == 0; }
  Labelled real() { return {real_.tensor(), real_labels_.tensor()}; }  // D's minibatch, if the ratio is measured
  void measure_balance(const Labelled& z);                             // z of the G step just taken

  // Does iteration t end with an update of this network's mask, that is: does it need dense weight gradients?
  bool update_due(Network network, int64_t t) const;
  // Before iteration t: are gradients of dead weights wanted in it?
  void prepare(int64_t t);
  // Steps 2 and 3 above. Takes the whole arena. True if masks changed.
  bool update_masks(int64_t t);
  void plan_updates();  // in a plan: the most that update_masks takes of the arena

  SparseReport report() const;  // waits for the device
  std::vector<MaskEvent> take_events() { return std::exchange(events_, {}); }
  std::vector<ExecutionEvent> take_execution_events() { return std::exchange(execution_events_, {}); }

  std::vector<ExecutionDecision> predict_execution(Network network) const;  // in a plan, at the initial densities
  void set_all_executions(Execution execution);                             // in a plan

  void append_state(std::vector<NamedTensor>& all);
  void restored();  // what state tensors do not hold, after somebody wrote them

  size_t bytes() const;

 private:
  struct Masked;
  Context& ctx() const { return step_.tape->ctx; }
  DropSchedule drop_schedule() const;
  DensityControl density_control() const;
  void prune_g(int64_t t);
  void rewire(Masked& network, const PruneGrow& how, int64_t t);
  void control_d(int64_t t);
  void decide_execution(Masked& network, int64_t t);
  void note(Masked& network, const char* kind, int64_t t, const MaskChange& change, double drop_fraction);

  const SparseOptions options_;
  const SparseMethod& method_;
  const int64_t prune_at_;
  GanStep& step_;
  const CrossoverTable crossovers_;
  std::unique_ptr<Masked> g_, d_;  // null without a mask
  BalanceQueue queue_;
  OwnedTensor real_, real_labels_;  // [B_D,H,W,C], [B_D] or empty
  OwnedTensor means_;               // a_pre, a_post, r
  OwnedTensor counters_;            // on the host: what the controllers remember
  std::vector<MaskEvent> events_;
  std::vector<ExecutionEvent> execution_events_;
};

}  // namespace poise
