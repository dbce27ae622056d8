// Where a run computes and how precisely, from its options and the machine. Never in silence: `text` says what was
// chosen and why, and the run prints it first.
#pragma once
#include <optional>
#include <string>

#include "kernels/core/dtype.h"

namespace poise {

struct DeviceChoice {
  Device device = Device::cpu;
  Precision precision = Precision::fp32;
  std::string name;  // "NVIDIA H200", "AMD EPYC ..."
  std::string text;  // "device cuda (auto: NVIDIA H200 is here), precision tf32 (auto)"
};

// Where nothing is asked for (auto):
//   device      cuda if this build and machine have it, else the CPU
//   precision   tf32 on cuda, as PyTorch's convolutions compute by default; fp32 elsewhere
//
// Error(environment) if the device is not there, Error(usage) for a precision that it does not compute in.
DeviceChoice choose_device(std::optional<Device> device, std::optional<Precision> precision);

}  // namespace poise
