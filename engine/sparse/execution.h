// Decides how the layers of a network under masks compute (layer_execution.h): on the path that the user forces, or on
// the fastest one at the current densities. Decisions are made when masks change and at no other time.
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

// Chooses the path of one pass that is on path `before`, given the speed-ups over dense execution, indexed by Execution
// (dense: 1; NaN: not a choice): the fastest path, but one is entered only for a gain of 5%, and left for dense only
// when it gains nothing.
using PathNumbers = std::array<double, kExecutions>;
Execution choose_path(const PathNumbers& speedups, Execution before);

// One pass of one layer, and why.
struct ExecutionDecision {
  std::string layer;  // "G.block2.conv1"
  Pass pass = Pass::forward;
  Execution execution = Execution::dense;
  bool changed = false;
  double density = 1;
  // Over dense, for the chosen path or, if that is dense, the fastest sparse one. Measured or estimated; NaN: neither.
  double speedup = 1;
  std::string reason;
  std::string to_string() const;  // "G.block2.conv1 forward: density 0.118, cell 16x16, 4.1x measured -> block"
};

class NetworkExecution {
 public:
  // `network` and `masks` must outlive this object. Error(usage) if a path is forced that cannot skip the cells of the
  // masks, or that the device does not have. The automatic choice considers blocks if cells contain them, cuSPARSE if
  // that was measured, and on the CPU single weights in layers without blocks.
  NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice, const CrossoverTable& crossovers,
                   Memory memory);
  ~NetworkExecution();
  NetworkExecution(const NetworkExecution&) = delete;
  NetworkExecution& operator=(const NetworkExecution&) = delete;

  // For use after masks change, and before the first step: rebuilds the lists of alive weights and decides for every
  // layer. Layers that no plan has run yet keep their paths. Waits for the device.
  std::vector<ExecutionDecision> update(Context& ctx);
  // For plans: what update() would decide from scratch for random masks of these densities, one per masked layer.
  std::vector<ExecutionDecision> predict(const Context& ctx, const std::vector<double>& densities) const;
  // The paths of all layers: u8 [layers, 3 passes] on the host. A resumed run continues with the choices it saved.
  OwnedTensor& choices() { return choices_; }
  static constexpr uint8_t kUndecided = 255;
  // Takes the paths from choices(), which the caller has filled in, after a plan has run the layers. If they are
  // kUndecided, decides from scratch.
  void restore(Context& ctx);
  // For a plan that has run the layers: puts each layer on one path if it may take that, otherwise on dense. Returns
  // false and changes nothing if no layer may take it.
  bool set_all(Execution execution);
  // Turns gradients of dead weights on or off from now on.
  void set_dense_weight_gradients(bool wanted);
  // Moments follow the gradients of dead weights at every step, so decisions keep weight gradients dense from now on.
  void always_dense_weight_gradients() { follows_dead_weights_ = true; }

  // The size of the lists; before masks are drawn, the largest that it can become.
  size_t memory_bytes() const;

 private:
  struct Layer;
  bool may_take(Execution path) const;
  bool may_take(const Layer& layer, Execution path) const;
  void list_alive(Context& ctx, Layer& layer) const;
  // `saved`: dense over executed multiply-adds, indexed by Execution; 0 if a path may not be taken.
  ExecutionDecision decide(const Layer& layer, Pass pass, double density, const PathNumbers& saved,
                           Execution before) const;
  ExecutionDecision stays_dense(const Layer& layer, ExecutionDecision decision) const;

  const ExecutionChoice choice_;
  const CrossoverTable& crossovers_;
  const Device device_;
  std::vector<Execution> paths_;  // that may be taken in addition to dense
  std::deque<Layer> layers_;      // parameters point into it
  OwnedTensor choices_;
  bool follows_dead_weights_ = false;
};

// The edge of the blocks that our kernels skip for masks of this cell; 0 if there are none.
int64_t block_of(const Cell& cell);
// The largest edge that cuSPARSE can use, if block_of() is not 0.
int64_t cusparse_block_of(const Cell& cell);

}  // namespace poise
