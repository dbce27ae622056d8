// Several runs on one page: what differs between them, and losses, metrics, balance and densities against iterations,
// training time and executed arithmetic. From the files of the run directories alone, finished or not.
#pragma once
#include <string>
#include <vector>

#include "apps/run/run_record.h"

namespace poise {

// Of so many runs lines can be told apart.
constexpr size_t kMostCompared = 5;

std::string html_compare(const std::vector<RunRecord>& runs);

}  // namespace poise
