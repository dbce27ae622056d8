// How much memory this process may use: all that the machine has, or less if there is a limit.
#pragma once
#include <cstddef>
#include <functional>
#include <string>

namespace poise {

struct MemoryLimit {
  size_t bytes = 0;
  const char* owner = "";  // for messages: "this machine has"
};

// The minimum of the physical memory, the limits of the control group and its ancestors, and the remaining address
// space (ulimit -v).
MemoryLimit memory_limit();

// The lowest limit of the process's control group and its visible ancestors, in either cgroup version; the largest
// size_t if there is no limit. `groups`, `mounts`: the texts of /proc/self/cgroup and /proc/self/mountinfo. `read`
// returns the text of a file, or "" if it cannot be read.
size_t control_group_limit(const std::string& groups, const std::string& mounts,
                           const std::function<std::string(const std::string& path)>& read);

}  // namespace poise
