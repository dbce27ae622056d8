#include "engine/io/user_path.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "engine/io/message.h"

namespace poise {
namespace {

std::string home_of(const std::string& user) {
  const char* home = std::getenv("HOME");
  if (user.empty() && home && *home) return home;
  struct passwd entry {};
  struct passwd* found = nullptr;
  std::vector<char> text(16384);
  const int error = user.empty() ? ::getpwuid_r(::getuid(), &entry, text.data(), text.size(), &found)
                                 : ::getpwnam_r(user.c_str(), &entry, text.data(), text.size(), &found);
  return error == 0 && found && found->pw_dir ? found->pw_dir : "";
}

}  // namespace

std::string expand_home(const std::string& path) {
  if (!path.starts_with('~')) return path;
  const size_t slash = std::min(path.find('/'), path.size());
  const std::string home = home_of(path.substr(1, slash - 1));
  return home.empty() ? path : home + path.substr(slash);
}

std::string absolute_path(const std::string& path) {
  const std::string expanded = expand_home(path);
  char folder[4096];
  if (expanded.empty() || expanded.starts_with('/') || !::getcwd(folder, sizeof folder)) return expanded;
  return expanded == "." ? folder : join_path(folder, expanded);
}

}  // namespace poise
