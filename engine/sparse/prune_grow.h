// Mask updates: which weights are dropped and which come alive. Counts are exact if all cells have the same size, and
// otherwise the nearest below (kernels/sparse/masks/select.h). Ties are broken by index; cells with score zero do not
// grow. Each layer always keeps its best cell, so large cells in a narrow network can exceed the requested count.
//
// One drop-and-grow update, in this order, with A alive weights and drop fraction f:
//   1. keep the A - floor(A f) weights of largest magnitude; the others are candidates for growth like all dead ones
//   2. grow up to the target: by largest |dense gradient| (RigL) or at random (SET)
//   3. dead weights become zero, and grown ones start at zero. A weight that is dropped in 1 and grown in 2 has never
//      been dead: it keeps its value and its moments.
#pragma once
#include "engine/io/enum_names.h"
#include "engine/sparse/mask.h"

namespace poise {

enum class Growth : uint8_t { gradient, random };
enum class SelectionScope : uint8_t {
  global,  // ranks all weights of the network together: density moves between layers
  layer,   // ranks each layer by itself: every layer keeps its density
};
template <>
struct EnumNames<SelectionScope> {
  static constexpr NamedValue<SelectionScope> all[] = {{SelectionScope::global, "global"},
                                                       {SelectionScope::layer, "layer"}};
};
template <>
struct EnumNames<MomentPolicy> {
  static constexpr NamedValue<MomentPolicy> all[] = {
      {MomentPolicy::seed, "seed"}, {MomentPolicy::keep, "keep"}, {MomentPolicy::zero, "zero"}};
};

struct PruneGrow {
  Growth growth = Growth::gradient;
  SelectionScope scope = SelectionScope::global;
  MomentPolicy moments = MomentPolicy::seed;
  RandomStream stream = RandomStream::mask_g;  // for random growth
};

struct MaskChange {
  int64_t dropped = 0, grown = 0;  // weights; one that is dropped and grown again counts in both
};

// The number of alive weights at this density, out of the network's total.
int64_t weights_at(const NetworkMasks& masks, double density);

// All three take scratch from ctx.arena (Error(runtime) if it is full) and wait for the device. Gradients must be dense
// and of the last step. `target`: alive weights of the network afterwards; SelectionScope::layer keeps layer counts.
MaskChange drop_and_grow(Context& ctx, NetworkMasks& masks, const PruneGrow& how, double drop_fraction, int64_t target);
// Grows to `target` by largest |gradient|, or drops to `target` by smallest magnitude, over the whole network.
MaskChange grow_to(Context& ctx, NetworkMasks& masks, MomentPolicy moments, int64_t target);
MaskChange prune_to(Context& ctx, NetworkMasks& masks, int64_t target);

}  // namespace poise
