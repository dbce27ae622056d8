// Paths as users write them.
#pragma once
#include <string>

namespace poise {

// Expands "~" and "~/x" with the user's home folder ($HOME or as the system says), "~name/x" with that user's; other
// paths, and users without a home, stay as they are. A shell does this too, but not in --data=~/x, files or variables.
std::string expand_home(const std::string& path);

// The same as an absolute path, which names the same file from any folder.
std::string absolute_path(const std::string& path);

}  // namespace poise
