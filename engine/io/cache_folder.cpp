#include "engine/io/cache_folder.h"

#include <cstdlib>
#include <string>

namespace poise {

std::filesystem::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (const auto folder = variable("POISE_CACHE"); !folder.empty()) return folder;
  if (const auto folder = variable("XDG_CACHE_HOME"); !folder.empty()) return folder / "poise";
  const auto home = variable("HOME");
  return home.empty() ? home : home / ".cache" / "poise";
}

}  // namespace poise
