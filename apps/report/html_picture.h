// A picture of a run as part of report.html.
#pragma once
#include <string>

namespace poise {

// The PNG `file` of `folder`, embedded; a note in its place if it is too large, "" if it is not there. Throws what
// reading it throws.
std::string html_picture(const std::string& folder, const std::string& file, const std::string& caption);

}  // namespace poise
