// How much memory this process may use: what the machine has, or less where somebody set a limit.
#pragma once
#include <cstddef>
#include <functional>
#include <string>

namespace poise {

struct MemoryLimit {
  size_t bytes = 0;
  const char* owner = "";  // for messages: "this machine has"
};

// The least of physical memory, the limit of the control group and those above it, and the address space (ulimit -v)
// that is left.
MemoryLimit memory_limit();

// The limit of control groups of either version, the least on the way from the process's own to the topmost that is
// visible; the largest number there is if there is none. `groups`, `mounts`: the texts of /proc/self/cgroup and
// /proc/self/mountinfo; `read`: the text of a file, "" if it cannot be read.
size_t control_group_limit(const std::string& groups, const std::string& mounts,
                           const std::function<std::string(const std::string& path)>& read);

}  // namespace poise
