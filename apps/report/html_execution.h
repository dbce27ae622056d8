// The section of report.html about how layers under masks computed.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

// The latest decision for each pass of each layer, with its reason, or why there is none; "" without masks.
std::string html_execution(const RunRecord& run);

}  // namespace poise
