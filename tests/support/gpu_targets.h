// Where the GPU kernels run: `checked` is on the host under the race checker, `emulated` is on the host without it, and
// `cuda` is a real GPU if the build has CUDA. `checked` comes first, so its message about a wrong kernel is read first.
#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "kernels/gpu/runtime.h"
#include "kernels/table.h"

namespace poise {

struct Target {
  const char* name;
  Device device;
  const KernelTable* kernels;
};
inline void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }  // for GoogleTest

inline std::vector<Target> gpu_targets() {
  std::vector<Target> targets = {{"checked", Device::emulated, &checked::kernels()},
                                 {"emulated", Device::emulated, &emulated::kernels()}};
#ifdef POISE_HAVE_CUDA
  targets.push_back({"cuda", Device::cuda, &cuda::kernels()});
#endif
  return targets;
}

// For tests that choose between the two host versions (checked and emulated) themselves.
inline std::vector<Device> gpu_devices() {
#ifdef POISE_HAVE_CUDA
  return {Device::emulated, Device::cuda};
#else
  return {Device::emulated};
#endif
}
inline const KernelTable& kernels_on(Device device, const KernelTable& on_host) {
  return device == Device::cuda ? kernels_of(Device::cuda) : on_host;
}

inline bool available(Device device) { return gpu::why_unavailable(device).empty(); }

}  // namespace poise
