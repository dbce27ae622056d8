// The queue of the emulated device, as kernels see it.
#pragma once
#include <functional>

#include "kernels/gpu/runtime.h"

namespace poise::emulator {

class Stream : public gpu::Stream {
 public:
  // Submits work in order: it is run at once, later, or recorded into a graph and run at each replay. Arguments must be
  // captured by value.
  virtual void submit(std::function<void()> work) = 0;
};

}  // namespace poise::emulator
