// inspect_run summary: a run in a few lines of text.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

std::string run_summary(const RunRecord& run);

}  // namespace poise
