// The section of report.html on how layers under masks were computed.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

// The latest decision for each pass of each layer with its reason, or why there are no decisions; "" without masks.
std::string html_execution(const RunRecord& run);

}  // namespace poise
