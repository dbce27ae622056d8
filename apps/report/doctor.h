// Would training work here, and what would make it better? One finding for each thing that it depends on.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"

namespace poise {

struct Finding {
  enum class State : uint8_t { ok, hint, bad };  // as it should be; training works without; it would fail
  State state = State::ok;
  std::string topic, text;  // "memory", "12.0 GiB free of .."; text of hint and bad ends in what to do
};

struct DoctorRequest {
  std::optional<Device> device;    // nothing: what a run would choose
  std::vector<std::string> data;   // folders or files of data sets, of which each must be whole; none: looked for here
  std::string runs = "runs";       // where runs would be written
  std::string inception = "auto";  // as for find_inception_weights()
  bool quiet = false;
};

// Reads what it names, and trains a small GAN for a few iterations in memory; writes nothing.
std::vector<Finding> examine(const DoctorRequest& request);

std::string findings_text(const std::vector<Finding>& findings);

}  // namespace poise
