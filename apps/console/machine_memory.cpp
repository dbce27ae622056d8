#include "apps/console/machine_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <vector>

namespace poise {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Anything that is not a number, such as "max", means no limit.
size_t number_in(const std::string& text) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end != text.data() ? value : kNoLimit;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream words(line);
  return {std::istream_iterator<std::string>(words), {}};
}

// Where the memory controller of a cgroup version is mounted, and which group is its root: "/" except in containers.
struct Mount {
  std::string folder, root;
};
Mount mount_of(const std::string& mounts, bool second_version) {
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> words = words_of(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const std::string options = "," + dash[3] + ",";
    const bool found =
        second_version ? dash[1] == "cgroup2" : dash[1] == "cgroup" && options.find(",memory,") != std::string::npos;
    if (found) return {words[4], words[3]};
  }
  return {};
}

// The control group of this process in that version: "/user.slice/...".
std::string group_of(const std::string& groups, bool second_version) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (second_version ? line.starts_with("0::") : controllers.find(",memory,") != std::string::npos) {
      return line.substr(second + 1);
    }
  }
  return "";
}

size_t limit_of(const std::string& groups, const std::string& mounts, bool second_version,
                const std::function<std::string(const std::string&)>& read) {
  const Mount mount = mount_of(mounts, second_version);
  if (mount.folder.empty()) return kNoLimit;
  std::string group = group_of(groups, second_version);
  if (mount.root != "/" && group.starts_with(mount.root)) group = group.substr(mount.root.size());
  const char* name = second_version ? "/memory.max" : "/memory.limit_in_bytes";
  size_t least = kNoLimit;
  while (true) {
    while (group.ends_with('/')) group.pop_back();
    least = std::min(least, number_in(read(mount.folder + group + name)));
    if (group.empty()) return least;
    group = group.substr(0, group.rfind('/'));
  }
}

size_t address_space_left() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  const size_t pages = number_in(text_of("/proc/self/statm"));
  const size_t used = pages == kNoLimit ? 0 : pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

size_t control_group_limit(const std::string& groups, const std::string& mounts,
                           const std::function<std::string(const std::string& path)>& read) {
  return std::min(limit_of(groups, mounts, false, read), limit_of(groups, mounts, true, read));
}

MemoryLimit memory_limit() {
  const size_t physical = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const MemoryLimit limits[] = {
      {physical, "this machine has"},
      {control_group_limit(text_of("/proc/self/cgroup"), text_of("/proc/self/mountinfo"), text_of),
       "the control group of this process (a container's limit) has"},
      {address_space_left(), "the limit of address space (ulimit -v) leaves"}};
  return *std::min_element(std::begin(limits), std::end(limits),
                           [](const MemoryLimit& a, const MemoryLimit& b) { return a.bytes < b.bytes; });
}

}  // namespace poise
