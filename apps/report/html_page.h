// Shared parts of the pages for one and for several runs: one file, no network access, no script, light and dark.
#pragma once
#include <string>

#include "apps/report/svg_chart.h"
#include "apps/run/run_record.h"

namespace poise {

std::string html_page(const std::string& title, const std::string& body);
std::string html_figure(const std::string& picture, size_t number, const std::string& caption);

// Adds values and, in front of them, their moving mean. If there are few values, adds them only.
void add_with_mean(LineChart& chart, const Points& points, const std::string& name, int colour);

// Describes a metric of RunRecord::metrics() for a caption.
std::string metric_caption(const std::string& name);

}  // namespace poise
