#include "kernels/gpu/cuda/launch.h"

#include <string>
#include <unordered_map>

#include "kernels/gpu/cuda/handles.h"
#include "kernels/gpu/device_limits.h"

namespace poise::cuda {
namespace {

// A kernel must opt in, once, to more dynamic shared memory than the default limit. A kernel that uses that much relies
// on several blocks per multiprocessor, all of which must fit: shared memory gets as much as the L1 cache can give up.
void allow_shared_bytes(const void* kernel, size_t bytes) {
  static std::unordered_map<const void*, size_t> allowed;
  size_t& most = allowed[kernel];
  if (bytes <= most) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "cudaFuncSetAttribute(MaxDynamicSharedMemorySize)");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
        "cudaFuncSetAttribute(PreferredSharedMemoryCarveout)");
  most = bytes;
}

std::string text_of(const LaunchShape& s) {
  const auto dims = [](const dim3& d) {
    return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
  };
  return "grid " + dims(s.grid) + ", block " + dims(s.block) + ", " + std::to_string(s.shared_bytes) +
         " bytes of dynamic shared memory";
}

}  // namespace

void launch_raw(Context& ctx, const LaunchShape& shape, const void* kernel, void** arguments) {
  if (shape.shared_bytes > kMaxStaticSharedBytes) allow_shared_bytes(kernel, shape.shared_bytes);
  const cudaError_t error =
      cudaLaunchKernel(kernel, shape.grid, shape.block, arguments, shape.shared_bytes, stream_of(ctx));
  if (error != cudaSuccess) check(error, ("cudaLaunchKernel with " + text_of(shape)).c_str());
}

}  // namespace poise::cuda
