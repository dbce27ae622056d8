#include "kernels/gpu/runtime.h"

#include "kernels/gpu/cuda/runtime.h"
#include "kernels/gpu/emulated/runtime.h"
#include "kernels/gpu/prims.h"
#include "kernels/gpu/sparse.h"

namespace poise::gpu {
namespace {

// Called before the backend of a device is chosen: is it a GPU, and is it available?
void check_device(Device device) {
  require(device != Device::cpu, "the CPU is not a GPU");
  static const std::string why = why_unavailable(Device::cuda);
  if (device == Device::cuda && !why.empty()) fail(ErrorKind::environment, why);
}

}  // namespace

#ifdef POISE_HAVE_CUDA
bool built_with_cuda() { return true; }
std::string why_unavailable(Device device) { return device == Device::cuda ? cuda::why_unavailable() : ""; }

Runtime& runtime(Device device) {
  check_device(device);
  return device == Device::cuda ? cuda::runtime() : emulator::runtime();
}
const Prims& prims(Device device) {
  check_device(device);
  return device == Device::cuda ? cuda::prims() : emulated::prims();
}
const SparseProducts& sparse_products(Device device) {
  check_device(device);
  return device == Device::cuda ? cuda::sparse_products() : emulator::sparse_products();
}
#else
bool built_with_cuda() { return false; }
std::string why_unavailable(Device device) {
  if (device != Device::cuda) return "";
  return "this build has no CUDA: install the CUDA toolkit, configure and build again (kernels/README.md, \"Build\"), "
         "or use --device cpu or emulated";
}

Runtime& runtime(Device device) { return check_device(device), emulator::runtime(); }
const Prims& prims(Device device) { return check_device(device), emulated::prims(); }
const SparseProducts& sparse_products(Device device) { return check_device(device), emulator::sparse_products(); }
#endif

}  // namespace poise::gpu
