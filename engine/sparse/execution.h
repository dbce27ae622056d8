// Who decides how the layers of a network under masks compute (layer_execution.h): forced by the user, or by what is
// faster at the densities of the moment. Decisions fall when masks change and at no other time.
#pragma once
#include <array>
#include <deque>
#include <string>
#include <vector>

#include "engine/io/enum_names.h"
#include "engine/sparse/crossover.h"
#include "engine/sparse/layer_execution.h"
#include "engine/sparse/mask.h"

namespace poise {

enum class ExecutionChoice : uint8_t { automatic, dense, block, cusparse, weights };
template <>
struct EnumNames<ExecutionChoice> {
  static constexpr NamedValue<ExecutionChoice> all[] = {{ExecutionChoice::automatic, "auto"},
                                                        {ExecutionChoice::dense, "dense"},
                                                        {ExecutionChoice::block, "block"},
                                                        {ExecutionChoice::cusparse, "cusparse"},
                                                        {ExecutionChoice::weights, "weights"}};
};

// The path of one pass by its speed-ups over dense execution, indexed by Execution (dense: 1; NaN: no choice), if it
// has been on `before`: the fastest, but a path is entered for a gain of 5% only, and left for dense when it gains
// nothing.
using PathNumbers = std::array<double, kExecutions>;
Execution choose_path(const PathNumbers& speedups, Execution before);

// One pass of one layer, and why.
struct ExecutionDecision {
  std::string layer;  // "G.block2.conv1"
  Pass pass = Pass::forward;
  Execution execution = Execution::dense;
  bool changed = false;
  double density = 1;
  // Over dense, of the path taken, or of the fastest sparse one if dense is taken. Measured or estimated; NaN: neither.
  double speedup = 1;
  std::string reason;
  std::string to_string() const;  // "G.block2.conv1 forward: density 0.118, cell 16x16, 4.1x measured -> block"
};

class NetworkExecution {
 public:
  // `network` and `masks` stay. Error(usage) if a path is forced on masks whose cells it cannot skip or on a device
  // that has none. The automatic choice looks at blocks where cells have them, at cuSPARSE where that was measured, and
  // on the CPU at single weights where there are no blocks.
  NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice, const CrossoverTable& crossovers,
                   Memory memory);
  ~NetworkExecution();
  NetworkExecution(const NetworkExecution&) = delete;
  NetworkExecution& operator=(const NetworkExecution&) = delete;

  // After masks changed, and before the first step: lists what is alive anew and decides for every layer. Layers that
  // no plan has asked to compute yet keep what they do. Waits for the device.
  std::vector<ExecutionDecision> update(Context& ctx);
  // What update() would decide from scratch for random masks of these densities, one per masked layer: for plans.
  std::vector<ExecutionDecision> predict(const Context& ctx, const std::vector<double>& densities) const;
  // What every layer does: u8 [layers, 3 passes] of the host. A resumed run goes on with the choices it was saved with.
  OwnedTensor& choices() { return choices_; }
  static constexpr uint8_t kUndecided = 255;
  // From choices(), which somebody wrote after layers were asked to compute; if they are kUndecided, by deciding from
  // scratch.
  void restore(Context& ctx);
  // In a plan, after layers were asked to compute: everything on one path, where that may be taken. False if no layer
  // may take it: then nothing changes.
  bool set_all(Execution execution);
  // From now on the gradients of dead weights are computed too, or not.
  void set_dense_weight_gradients(bool wanted);
  // Somebody follows the gradients of dead weights at every step: they are always computed.
  void always_dense_weight_gradients() { follows_dead_weights_ = true; }

  // Of the lists as they are; before masks are drawn, the most that they can take.
  size_t memory_bytes() const;

 private:
  struct Layer;
  bool may_take(Execution path) const;
  bool may_take(const Layer& layer, Execution path) const;
  void list_alive(Context& ctx, Layer& layer) const;
  // `saved`: dense over executed multiply-adds, by Execution.
  ExecutionDecision decide(const Layer& layer, Pass pass, double density, const PathNumbers& saved,
                           Execution before) const;
  ExecutionDecision stays_dense(const Layer& layer, ExecutionDecision decision) const;

  const ExecutionChoice choice_;
  const CrossoverTable& crossovers_;
  const Device device_;
  std::vector<Execution> paths_;  // besides dense, that may be taken
  std::deque<Layer> layers_;      // parameters point into it
  OwnedTensor choices_;
  bool follows_dead_weights_ = false;
};

// The block that our kernels skip for masks of this cell; 0 if there is none.
int64_t block_of(const Cell& cell);
// The largest that cuSPARSE does, where block_of() is not 0.
int64_t cusparse_block_of(const Cell& cell);

}  // namespace poise
