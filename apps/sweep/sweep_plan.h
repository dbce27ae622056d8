// The plan of a sweep: one or more grids over options, each with seeds, and evaluations of the finished runs. In TOML:
//
//   preset = "cifar10-sngan32-dense"                 # the base of every run (optional)
//   seeds = [1, 2]
//   evaluate = ["--metrics fid-768 --images 5000"]   # arguments of evaluate_gan, for every finished run; $NAME is read
//                                                    # from the environment, so that the file needs no machine's paths
//   [options]                                        # for every run
//   iterations = 1500
//
//   [[grid]]                                         # all combinations of the values in lists
//   method = ["static", "sdst-rigl"]
//   density_g = [0.1, 0.3]
//
//   [[grid]]
//   method = "dense"
//   seeds = [1, 2, 3]                                # for this grid
//
// Errors are added to `problems`; nothing here throws for them.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "apps/console/command_line.h"
#include "apps/options/options.h"

namespace poise {

using Problems = std::vector<std::string>;
using Assignments = std::vector<std::pair<std::string, Value>>;  // key and value of options

struct SweepAxis {
  std::string key;
  std::vector<Value> values;  // at least one
};

struct SweepGrid {
  std::vector<SweepAxis> axes;
  std::vector<int64_t> seeds;  // empty: the plan's seeds
};

struct SweepPlan {
  std::string preset;
  Assignments options;
  std::vector<SweepGrid> grids;
  std::vector<int64_t> seeds = {1};
  std::vector<std::string> evaluations;
};

// One combination of a grid's values, shared by the runs with its seeds.
struct SweepCell {
  std::string label;   // "sdst-rigl_16x16_density_g-0.1": part of the names of its runs
  Assignments values;  // one for each axis of its grid
  std::vector<int64_t> seeds;
};

std::string value_text(const Value& value);  // as on a command line, without quotes

SweepPlan read_sweep_plan(const std::string& path, Problems& problems);
std::string to_toml(const SweepPlan& plan);
// Removes options that are paths, because they belong to the machine rather than to the sweep.
Assignments without_paths(const Assignments& options);

// The flags of sweep_gan that define what to train. Their values override a plan: an option replaces the plan's value,
// --vary an axis of the same key, --seeds the seeds; --evaluate is added.
std::vector<Flag> sweep_plan_flags();
void read_sweep_flags(const CommandLine& args, SweepPlan& plan, Problems& problems);

// All cells, in the order of the file; the axes that come first vary slowest.
std::vector<SweepCell> cells_of(const SweepPlan& plan, Problems& problems);

// The arguments of evaluate_gan in one of the plan's evaluations: split at blanks, then $NAME replaced.
std::vector<std::string> evaluation_words(const std::string& evaluation, Problems& problems);

}  // namespace poise
