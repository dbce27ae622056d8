// A masked convolution on the CPU, with the lists of both sparse paths. Its passes run dense unless `execution` is set
// otherwise.
#pragma once
#include "engine/sparse/layer_execution.h"
#include "engine/tape/tape.h"
#include "tests/support/block_convolution.h"

namespace poise {

struct SparseLayer {
  // 40% of the blocks are alive. Blocks have 16x16 weights if the numbers of channels allow it, otherwise 4x4.
  SparseLayer(const Conv2dGeometry& g, std::mt19937& rng)
      : mask(g, 0.4, /*all_taps=*/false, Device::cpu, rng, g.c_in % kB == 0 && g.c_out % kB == 0 ? kB : 4),
        weight(uniform(g.weight_shape(), DType::f32, Device::cpu, rng, mask.bytes.tensor().data<uint8_t>())),
        narrow(g.weight_shape(), DType::bf16, to_host(weight.device.tensor()), Device::cpu) {
    Context ctx;
    execution.index = mask.index;
    execution.weights = WeightIndex::full(g, 1);
    cpu::build_weight_index(ctx, mask.bytes.tensor(), execution.weights);
  }
  // The weight as a variable on the tape, for activations of this type.
  Var on(Tape& tape, DType activations) {
    const Var w = tape.variable(weight.device.tensor());
    if (activations == DType::bf16) tape.set_forms(w, narrow.device.tensor(), {});
    return w;
  }

  RandomMask mask;
  Operand weight, narrow;
  LayerExecution execution;
};

}  // namespace poise
