// The state of one network in one allocation: values, gradients, Adam's moments, the moving average, and the buffers.
// One launch updates everything.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/module.h"
#include "engine/tape/planning.h"

namespace poise {

class DerivedWeights;

class ParameterSlab {
 public:
  // Lays out every parameter and buffer of `root` (each starts on a 64-byte line) and points them here. with_ema: keep a
  // moving average. Error(runtime) if the memory cannot be had.
  ParameterSlab(Module& root, DType dtype, Memory memory, bool with_ema);

  // One flat tensor each, [padded parameters]; the padding is zero and stays zero.
  Tensor value, grad, adam_m, adam_v, ema;
  int64_t parameters = 0;  // without padding
  size_t bytes = 0;        // everything together

  // The weights of `root` in the forms that kernels read, for its next forward pass on this tape (Tape::set_forms); on the
  // CPU nothing but bf16. One launch makes them, in memory of the arena, which is returned; unless the slab keeps them.
  Var derive_weights(Tape& tape, Module& root) const;
  // From now on the forms are kept in memory of the slab. They are what the weights were in the last make_forms(), one launch
  // for all, which belongs behind every change of weights and before the next pass.
  void keep_forms(Tape& tape, Module& root, Memory memory);
  void make_forms(Tape& tape, Module& root) const;
  void copy_value_to_ema(Context& ctx);  // this and swap: Error(runtime) without a moving average
  // Exchanges value and ema by way of grad, which is lost, so that the network computes with the averaged weights. For
  // use between steps, when gradients are not needed; call twice.
  void swap_value_and_ema(Context& ctx);

  // Views, in module order.
  struct Entry {
    std::string path;
    Tensor value, grad, adam_m, adam_v, ema;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  struct BufferEntry {
    std::string path;
    Tensor value;
  };
  const std::vector<BufferEntry>& buffers() const { return buffers_; }

 private:
  DerivedWeights collect_forms(Tape& tape, Module& root) const;

  MemoryBlock memory_, forms_memory_;
  Tensor forms_;  // or empty: not kept, or there are none
  std::vector<Entry> entries_;
  std::vector<BufferEntry> buffers_;
};

}  // namespace poise
