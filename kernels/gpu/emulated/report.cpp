#include "kernels/gpu/emulated/report.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/gpu/emulated/scheduler.h"

namespace poise::emulator {
namespace {

// The last two components of a path.
std::string short_path(const std::string& path) {
  size_t cut = path.rfind('/');
  if (cut != std::string::npos && cut > 0) cut = path.rfind('/', cut - 1);
  return cut == std::string::npos ? path : path.substr(cut + 1);
}

std::string text_of(const device::dim3& d) {
  return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
}

std::string coordinates(int64_t index, const device::dim3& extent) {
  if (extent.y == 1 && extent.z == 1) return std::to_string(index);
  const int64_t x = extent.x, y = extent.y;
  return "(" + std::to_string(index % x) + "," + std::to_string(index / x % y) + "," + std::to_string(index / x / y) +
         ")";
}

// "2 threads [0,5]", "127 threads [0..126]"
std::string count_and_list(const std::vector<int>& threads) {
  std::string list;
  for (size_t i = 0; i < threads.size();) {
    size_t last = i;
    while (last + 1 < threads.size() && threads[last + 1] == threads[last] + 1) ++last;
    list += (list.empty() ? "" : ",") + std::to_string(threads[i]);
    if (last > i) list += ".." + std::to_string(threads[last]);
    i = last + 1;
  }
  return std::to_string(threads.size()) + (threads.size() == 1 ? " thread [" : " threads [") + list + "]";
}

// The output of addr2line, which comes with every compiler that is used here, for an address in this process: function,
// then file:line, innermost inlined function first.
std::vector<std::string> ask_addr2line(const void* code) {
  Dl_info module{};
  if (dladdr(code, &module) == 0 || module.dli_fname == nullptr) return {};
  char command[4096];
  const auto offset = static_cast<size_t>(static_cast<const char*>(code) - static_cast<const char*>(module.dli_fbase));
  std::snprintf(command, sizeof(command), "addr2line -f -C -i -e '%s' 0x%zx 2>/dev/null", module.dli_fname, offset);
  FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return {};
  std::vector<std::string> lines;
  char line[4096];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    line[std::strcspn(line, "\n")] = 0;
    lines.emplace_back(line);
  }
  pclose(pipe);
  return lines;
}

const std::vector<std::string>& symbolise(const void* code) {
  static std::map<const void*, std::vector<std::string>> known;  // a query takes milliseconds
  const auto [at, added] = known.try_emplace(code);
  if (added) at->second = ask_addr2line(code);
  return at->second;
}

}  // namespace

std::string AccessSite::text() const { return code != nullptr ? line_at(code) : place(site); }

void require_alignment(const void* address, size_t bytes, AccessSite site) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  scheduler.stop([=] {
    return this_thread() + " accesses " + std::to_string(bytes) + " bytes at " + site.text() +
           ", but the address is not a multiple of " + std::to_string(bytes);
  });
}

void device::report_misaligned(const void* address, int bytes) {
  require_alignment(address, static_cast<size_t>(bytes), static_cast<const char*>(__builtin_return_address(0)) - 1);
  __builtin_unreachable();
}

bool same_text(const Site& a, const Site& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string place(const Site& site) { return short_path(site.file_name()) + ":" + std::to_string(site.line()); }

std::string hexadecimal(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08x", mask);
  return text;
}

std::string describe(const Launch& launch) {
  return "kernel " + function_at(launch.kernel) + ", launched at " + place(launch.site) + " with grid " +
         text_of(launch.grid) + ", block " + text_of(launch.block) + ", " + std::to_string(launch.shared_bytes) +
         " bytes of dynamic shared memory";
}

std::string thread_name(int thread, int64_t block) {
  const Launch& launch = scheduler.launch();
  return "thread " + coordinates(thread, launch.block) + " of block " + coordinates(block, launch.grid);
}

std::string this_thread() { return thread_name(scheduler.thread(), scheduler.block()); }

std::string who_waits() {
  struct Group {
    const Thread* first;
    std::vector<int> threads;
  };
  std::vector<Group> groups;
  for (int t = 0; t < scheduler.block_threads; ++t) {
    const Thread& thread = scheduler.threads[t];
    if (thread.waits_in == nullptr) continue;
    size_t g = 0;
    while (g < groups.size() &&
           !(std::strcmp(groups[g].first->waits_in, thread.waits_in) == 0 &&
             same_line(groups[g].first->waits_at, thread.waits_at) && groups[g].first->waits_for == thread.waits_for)) {
      ++g;
    }
    if (g == groups.size()) groups.push_back({&thread, {}});
    groups[g].threads.push_back(t);
  }
  std::string text;
  for (const Group& group : groups) {
    text +=
        (text.empty() ? "" : "; ") + count_and_list(group.threads) + (group.threads.size() == 1 ? " waits" : " wait");
    text += " in " + std::string(group.first->waits_in) + " at " + place(group.first->waits_at);
    if (group.first->waits_for != 0) text += " with mask " + hexadecimal(group.first->waits_for);
  }
  return text.empty() ? "no thread waits" : text;
}

std::string threads_that_left() {
  std::vector<int> threads;
  for (int t = 0; t < scheduler.block_threads; ++t) {
    if ((scheduler.warps[t / kLanes].alive >> (t % kLanes) & 1) == 0) threads.push_back(t);
  }
  return count_and_list(threads);
}

std::string function_at(const void* code) {
  const std::vector<std::string>& lines = symbolise(code);
  return lines.empty() || lines[0] == "??" ? "(unnamed)" : lines[0];
}

std::string line_at(const void* code) {
  const std::vector<std::string>& lines = symbolise(code);  // function, line, and the same for each inlining caller
  std::string line;
  for (size_t i = 1; i < lines.size(); i += 2) {
    if (lines[i].starts_with("??")) continue;
    const std::string candidate = short_path(lines[i].substr(0, lines[i].find(' ')));  // without "(discriminator 2)"
    if (line.empty()) line = candidate;
    if (candidate.find(".cu") != std::string::npos) return candidate;  // the kernel's own line, not a helper's in gpu.h
  }
  if (!line.empty()) return line;
  char text[32];
  std::snprintf(text, sizeof(text), "address %p", code);
  return text;
}

}  // namespace poise::emulator
