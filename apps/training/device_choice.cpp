#include "apps/training/device_choice.h"

#include <fmt/format.h>

#include "apps/console/program.h"
#include "kernels/core/simd.h"
#include "kernels/gpu/runtime.h"

namespace poise {

DeviceChoice choose_device(std::optional<Device> device, std::optional<Precision> precision) {
  DeviceChoice choice;
  std::string why = "asked for";
  if (device) {
    choice.device = *device;
  } else {
    why = gpu::why_unavailable(Device::cuda);
    choice.device = why.empty() ? Device::cuda : Device::cpu;
    // Cuts off the remedy, which is only for users who requested CUDA.
    why = "auto: " + (why.empty() ? "found a CUDA device" : why.substr(0, why.find(':')));
  }
  choice.name = choice.device == Device::cpu ? cpu_model() : gpu::runtime(choice.device).facts().name;
  choice.precision = precision.value_or(choice.device == Device::cuda ? Precision::tf32 : Precision::fp32);
  if (choice.device == Device::cpu && choice.precision == Precision::tf32) {
    fail(
        ErrorKind::usage,
        "precision: the CPU computes in fp32 and bf16 but got tf32; use --device cuda (or, slowly, --device emulated), "
        "or --precision fp32");
  }
  choice.text = fmt::format("device {} ({}; {}), precision {}{}", name_of(choice.device), choice.name, why,
                            name_of(choice.precision), precision ? "" : " (auto)");
  if (choice.device == Device::cpu && choice.precision == Precision::bf16 && !has_bf16_products()) {
    choice.text +=
        "; warning: this processor has no bf16 instructions (avx512_bf16), so bf16 saves memory but no time; "
        "--precision fp32 is faster";
  }
  return choice;
}

}  // namespace poise
