// The gradients of one network, averaged over the ranks that train it (kernels/ranks/ranks.h).
//
// Of a network under masks only what is alive travels, packed in the order of the slab: all ranks have the same masks, so
// no index does. The gradients of dead weights become zero on all ranks. In steps whose dense gradients somebody reads (a
// mask update is going to rank them, or moments follow them), and without masks, everything travels.
#pragma once
#include "engine/sparse/mask.h"
#include "engine/tape/tape.h"

namespace poise {

class GradientExchange {
 public:
  // `masks` of the network, or null. All of them stay. Error(runtime) if the memory for a list of alive weights cannot be
  // had.
  GradientExchange(Ranks& ranks, ParameterSlab& slab, const NetworkMasks* masks, Memory memory);

  // From now on: what is alive now, or everything. Waits for the device if masks have changed.
  void follow_masks(bool everything);

  // At the end of a backward pass. In the order of the stream, in arena memory.
  void average(Tape& tape);

  // That a rank contributes to one exchange: now, and if everything travels.
  size_t bytes() const;
  size_t all_bytes() const { return slab_.grad.size_bytes(); }
  size_t memory_bytes() const { return list_bytes_; }

 private:
  void list_alive();
  void average_packed(Tape& tape);

  Ranks& ranks_;
  ParameterSlab& slab_;
  const NetworkMasks* masks_;
  const bool planned_;
  const int64_t run_;  // weights that live and die together
  const size_t list_bytes_;
  MemoryBlock list_;
  Tensor alive_runs_, runs_;  // i32 [alive runs]; runs_ are those that travel, empty: everything
  uint64_t version_ = 0;
};

}  // namespace poise
