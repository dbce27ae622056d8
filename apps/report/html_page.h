// What the pages of a run and of several have in common: one file, no network, no script, light and dark.
#pragma once
#include <string>

#include "apps/report/svg_chart.h"
#include "apps/run/run_record.h"

namespace poise {

std::string html_page(const std::string& title, const std::string& body);
std::string html_figure(const std::string& picture, size_t number, const std::string& caption);

// Values and, in front of them, their moving mean; few values stand for themselves.
void add_with_mean(LineChart& chart, const Points& points, const std::string& name, int colour);

// What a metric of RunRecord::metrics() is, for a caption.
std::string metric_caption(const std::string& name);

}  // namespace poise
