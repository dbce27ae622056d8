// Chooses the device and the precision of a run from its options and the machine. The choice is never silent: `text`
// says what was chosen and why, and the run prints it first.
#pragma once
#include <optional>
#include <string>

#include "kernels/core/dtype.h"

namespace poise {

struct DeviceChoice {
  Device device = Device::cpu;
  Precision precision = Precision::fp32;
  std::string name;  // "NVIDIA H200", "AMD EPYC ..."
  std::string text;  // "device cuda (NVIDIA H200; auto: found a CUDA device), precision tf32 (auto)"
};

// The defaults (auto):
//   device      cuda if this build and this machine have it, otherwise the CPU
//   precision   tf32 on cuda, the default of PyTorch's convolutions; fp32 elsewhere
//
// Error(environment) if the device is not available, Error(usage) for a precision that it does not support.
DeviceChoice choose_device(std::optional<Device> device, std::optional<Precision> precision);

}  // namespace poise
