#include "kernels/table.h"

#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

struct Nothing {
  template <class... Args>
  using Kernel = void (*)(Args...);
  template <class... Args>
  operator Kernel<Args...>() const {
    return [](Args...) {};
  }
};

KernelTable reference_table() {
  return {
#define POISE_KERNEL(Type, entry, kind) .entry = cpu::entry,
#include "kernels/kernels.inc"
  };
}

KernelTable onednn_table() {
  KernelTable table = reference_table();
#define POISE_ONEDNN_KERNEL(Type, entry) table.entry = cpu::entry##_onednn;
#include "kernels/kernels.inc"
  return table;
}

}  // namespace

const KernelTable& cpu_reference_kernels() {
  static const KernelTable table = reference_table();
  return table;
}

const KernelTable& cpu_kernels() {
  static const KernelTable table = onednn_table();
  return table;
}

const KernelTable& kernels_of(Device device) {
  if (device == Device::cpu) return cpu_kernels();
  if (device == Device::emulated) return emulated::kernels();
#ifdef POISE_HAVE_CUDA
  return cuda::kernels();
#else
  fail(ErrorKind::environment, gpu::why_unavailable(device));
#endif
}

KernelTable planning_kernels(const KernelTable& device_kernels) {
  KernelTable table = device_kernels;
  for_each_kernel([&](auto kernel) {
    if constexpr (kernel.kind != KernelKind::planner) table.*kernel.entry = Nothing{};
  });
  return table;
}

std::string missing_kernels(const KernelTable& table) {
  const KernelTable empty;
  std::string names;
  for_each_kernel([&](auto kernel) {
    if (table.*kernel.entry && table.*kernel.entry != empty.*kernel.entry) return;
    names += names.empty() ? kernel.name : std::string(", ") + kernel.name;
  });
  return names;
}

}  // namespace poise
