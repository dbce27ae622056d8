// Checks whether training would work on this machine, and what would improve it. One finding per prerequisite.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"

namespace poise {

struct Finding {
  enum class State : uint8_t { ok, hint, bad };  // as it should be; training works without it; training fails
  State state = State::ok;
  std::string topic, text;  // "memory", "12.0 GiB free of .."; hint and bad end with what to do
};

struct DoctorRequest {
  std::optional<Device> device;    // nothing: what a run would choose
  std::vector<std::string> data;   // folders or files of complete data sets; none: search the current folder
  std::string runs = "runs";       // where runs would be written
  std::string inception = "auto";  // as for find_inception_weights()
  bool quiet = false;
};

// Reads what the request names and trains a small GAN for a few iterations in memory. Writes nothing.
std::vector<Finding> examine(const DoctorRequest& request);

std::string findings_text(const std::vector<Finding>& findings);

}  // namespace poise
