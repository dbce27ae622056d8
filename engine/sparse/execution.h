// Who decides how the layers of a network under masks compute (layer_execution.h): forced by the user, or by what is
// faster at the densities of the moment. Decisions fall when masks change and at no other time.
#pragma once
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/sparse/crossover.h"
#include "engine/sparse/layer_execution.h"
#include "engine/sparse/mask.h"

namespace poise {

enum class ExecutionChoice : uint8_t { automatic, dense, block };
std::vector<std::string> execution_choice_names();  // "auto", "dense", "block"
std::optional<ExecutionChoice> execution_choice_of(const std::string& name);

// One pass of one layer, and why.
struct ExecutionDecision {
  std::string layer;  // "G.block2.conv1"
  Pass pass = Pass::forward;
  Execution execution = Execution::dense;
  bool changed = false;
  double density = 1, speedup = 1;  // of block over dense: measured or estimated
  std::string reason;
  std::string to_string() const;  // "G.block2.conv1 forward: density 0.118, cell 16x16, 4.1x measured -> block"
};

class NetworkExecution {
 public:
  // Blocks for every masked layer whose cell has them. `network` and `masks` stay. Error(usage) if `block` is forced on
  // masks whose cells no kernel skips.
  NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice, const CrossoverTable& crossovers,
                   Device device, bool planning = false);
  ~NetworkExecution();
  NetworkExecution(const NetworkExecution&) = delete;
  NetworkExecution& operator=(const NetworkExecution&) = delete;

  // After masks changed, and before the first step: lists the blocks anew and decides for every layer. Layers that no
  // plan has asked to compute yet keep what they do. Waits for the device.
  std::vector<ExecutionDecision> update(Context& ctx);
  // What update() would decide from scratch for random masks of these densities, one per masked layer: for plans.
  std::vector<ExecutionDecision> predict(const Context& ctx, const std::vector<double>& densities) const;
  // What every layer does: u8 [layers, 3 passes] of the host. A resumed run goes on with the choices it was saved with.
  OwnedTensor& choices() { return choices_; }
  void restore(Context& ctx);  // from choices(), which somebody wrote
  // In a plan: everything on one path.
  void set_all(Execution execution);
  // From now on the gradients of dead weights are computed too, or not.
  void set_dense_weight_gradients(bool wanted);

  size_t memory_bytes() const;

 private:
  struct Layer;
  // `saved`: dense over executed multiply-adds.
  ExecutionDecision decide(const Layer& layer, Pass pass, double density, double saved, Execution before) const;

  const ExecutionChoice choice_;
  const CrossoverTable& crossovers_;
  std::deque<Layer> layers_;  // parameters point into it
  OwnedTensor choices_;
};

// The block that kernels skip for masks of this cell; 0 if there is none.
int64_t block_of(const Cell& cell);

}  // namespace poise
