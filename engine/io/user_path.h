// Paths as people write them.
#pragma once
#include <string>

namespace poise {

// "~" and "~/x" with the user's home folder ($HOME, else as the system says), "~name/x" with that user's; all else, and
// what has no home, as it is. A shell does this too, but not in --data=~/x, in files or in variables.
std::string expand_home(const std::string& path);

// The same, and absolute: from whatever folder it is read again, it names the same file.
std::string absolute_path(const std::string& path);

}  // namespace poise
