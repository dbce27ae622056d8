// report.md of a finished run.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/run/run_directory.h"

namespace poise {

struct RunSummary {
  std::string device;  // DeviceChoice::text
  int64_t iterations = 0;
  double seconds = 0;  // of training, over all sessions
  double flops_per_iteration = 0;
  std::string last_picture;  // relative to the run directory
  std::string last_checkpoint;
  double it_per_s() const { return seconds > 0 ? static_cast<double>(iterations) / seconds : 0; }
  double gflops() const { return flops_per_iteration / 1e9 * it_per_s(); }
};

// Reads train.jsonl and metrics.jsonl, writes report.md (atomically) and returns its path.
std::string write_report(const RunDirectory& directory, const OptionSet& options, const RunSummary& summary);

}  // namespace poise
