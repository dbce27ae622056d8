// Named ranges on a profiler's timeline (NVTX): one per module, and one per launch with layer, op and pass. They do
// nothing in builds without CUDA. A replayed graph launches from the device and shows none: profile with --no-graph.
#pragma once
#include <string>

#include "kernels/core/profile.h"

namespace poise::gpu {

class Range {
 public:
  Range(bool on, const std::string& name);
  Range(bool on, const std::string& layer, const Work& work);  // "G.block2.conv1 conv2d backward_weight"
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  bool on_;
};

}  // namespace poise::gpu
