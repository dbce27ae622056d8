// report.html of a run: figures, sample grids, options and environment on one self-contained page: no network access,
// no script, pictures embedded. Uses only the files of the run directory; the run may be unfinished.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

std::string html_report(const RunRecord& run);

// Reads the directory, writes report.html into it (atomically) and returns its path. Error(checkpoint) if it is not a
// run directory.
std::string write_html_report(const std::string& run_directory);

}  // namespace poise
