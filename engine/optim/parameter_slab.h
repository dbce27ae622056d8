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
  // Lays out every parameter and buffer of `root` (each starts on a 64-byte line) and points them here. with_ema: keep
  // a moving average. Error(runtime) if the memory cannot be allocated.
  ParameterSlab(Module& root, DType dtype, Memory memory, bool with_ema);

  // One flat tensor each, [padded parameters]; the padding is zero and stays zero.
  Tensor value, grad, adam_m, adam_v, ema;
  int64_t parameters = 0;  // without padding
  size_t bytes = 0;        // everything together

  // Provides the weights of `root` in the forms that kernels read, for its next forward pass on this tape (set_forms);
  // on the CPU only in bf16. Unless the slab keeps them, one launch makes them in arena memory, which is returned.
  Var derive_weights(Tape& tape, Module& root) const;
  // From now on the slab keeps the forms in its own memory, as the last make_forms() left them. Call make_forms(), one
  // launch for all of them, after every change of weights and before the next pass.
  void keep_forms(Tape& tape, Module& root, Memory memory);
  void make_forms(Tape& tape, Module& root) const;
  void copy_value_to_ema(Context& ctx);  // this and swap: Error(runtime) without a moving average
  // Swaps value and ema by way of grad, which is lost, so that the network computes with the averaged weights. For use
  // between steps, when gradients are not needed; a second call swaps them back.
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
  Tensor forms_;  // empty if forms are not kept, or if there are none
  std::vector<Entry> entries_;
  std::vector<BufferEntry> buffers_;
};

}  // namespace poise
