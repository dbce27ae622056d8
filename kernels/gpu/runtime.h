// What the engine needs of a GPU besides kernels: memory, queues, graphs. One interface, two bodies: the CUDA runtime
// (cuda/) and a stand-in on the host (emulated/), chosen by Device at run time.
#pragma once
#include <memory>

#include "kernels/core/context.h"

namespace poise::gpu {

// An in-order queue of work. Launches return at once; errors of the work itself appear at the next synchronize().
class Stream {
 public:
  virtual ~Stream() = default;
};

}  // namespace poise::gpu
