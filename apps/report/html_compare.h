// Several runs on one page: what differs between them, and losses, metrics, balance and densities against iterations,
// training time and executed arithmetic. Uses only the files of the run directories; runs may be unfinished.
#pragma once
#include <string>
#include <vector>

#include "apps/run/run_record.h"

namespace poise {

// The number of runs whose lines can be told apart.
constexpr size_t kMostCompared = 5;

std::string html_compare(const std::vector<RunRecord>& runs);

}  // namespace poise
