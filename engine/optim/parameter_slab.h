// The state of one network in one allocation: values, gradients, Adam's moments, the moving average, and the buffers.
// One memset clears the gradients, one launch updates everything.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/nn/module.h"

namespace poise {

class ParameterSlab {
 public:
  // Lays out every parameter and buffer of `root` (each starts on a 64-byte line) and points them here. `planning`
  // reserves addresses only. with_ema: keep a moving average. Error(runtime) if the memory cannot be had.
  ParameterSlab(Module& root, DType dtype, Device device, bool with_ema, bool planning = false);

  // One flat tensor each, [padded parameters]; the padding is zero and stays zero.
  Tensor value, grad, adam_m, adam_v, ema;
  int64_t parameters = 0;  // without padding
  size_t bytes = 0;        // everything together

  void zero_grad(Context& ctx);
  void copy_value_to_ema(Context& ctx);  // this and the next: only with_ema
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
  Buffer memory_;
  std::unique_ptr<Arena> planning_memory_;
  std::vector<Entry> entries_;
  std::vector<BufferEntry> buffers_;
};

}  // namespace poise
