#include "engine/io/cache_folder.h"

#include <cstdlib>
#include <string>

#include "engine/io/user_path.h"

namespace poise {

std::filesystem::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? expand_home(value) : "");
  };
  if (const auto folder = variable("POISE_CACHE"); !folder.empty()) return folder;
  // Its specification says to ignore a relative path, which would depend on the folder in which a program starts.
  if (const auto folder = variable("XDG_CACHE_HOME"); folder.is_absolute()) return folder / "poise";
  const auto home = variable("HOME");
  return home.empty() ? home : home / ".cache" / "poise";
}

}  // namespace poise
