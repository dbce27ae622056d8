#include "apps/options/device_choice.h"

#include <fmt/format.h>

#include "apps/console/program.h"
#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

Device device_of(const std::string& name) {
  return name == "cuda" ? Device::cuda : name == "emulated" ? Device::emulated : Device::cpu;
}

Precision precision_of(const std::string& name) {
  return name == "bf16" ? Precision::bf16 : name == "tf32" ? Precision::tf32 : Precision::fp32;
}

}  // namespace

DeviceChoice choose_device(const Settings& settings) {
  DeviceChoice choice;
  std::string why;
  if (settings.device == "auto") {
    why = gpu::why_unavailable(Device::cuda);
    choice.device = why.empty() ? Device::cuda : Device::cpu;
    // The remedy is for those who asked for CUDA.
    why = "auto: " + (why.empty() ? "a CUDA device is here" : why.substr(0, why.find(':')));
  } else {
    choice.device = device_of(settings.device);
    why = "asked for";
  }
  choice.name = choice.device == Device::cpu ? cpu_model() : gpu::runtime(choice.device).facts().name;

  const bool automatic = settings.precision == "auto";
  choice.precision = !automatic                      ? precision_of(settings.precision)
                     : choice.device == Device::cuda ? Precision::tf32
                                                     : Precision::fp32;
  if (choice.device == Device::cpu && choice.precision != Precision::fp32) {
    fail(ErrorKind::usage, fmt::format("precision: the CPU computes in fp32 but got {}; use --device cuda (or, slowly, "
                                       "--device emulated), or --precision fp32",
                                       name_of(choice.precision)));
  }
  choice.text = fmt::format("device {} ({}; {}), precision {}{}", name_of(choice.device), choice.name, why,
                            name_of(choice.precision), automatic ? " (auto)" : "");
  return choice;
}

}  // namespace poise
