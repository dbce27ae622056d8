// report.html of a run: figures, sample grids, options and circumstances on one page that needs nothing else: no
// network, no script, pictures inside. From the files of the run directory alone, finished or not.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

std::string html_report(const RunRecord& run);

// Reads the directory, writes report.html into it (atomically) and returns its path. Error(checkpoint) if it is no run
// directory.
std::string write_html_report(const std::string& run_directory);

}  // namespace poise
