// Embeds a picture of a run in report.html.
#pragma once
#include <string>

namespace poise {

// The PNG `file` of `folder`, embedded; a note instead if it is too large; "" if it does not exist. Errors of reading
// it are thrown.
std::string html_picture(const std::string& folder, const std::string& file, const std::string& caption);

}  // namespace poise
