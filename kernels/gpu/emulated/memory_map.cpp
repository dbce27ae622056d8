#include "kernels/gpu/emulated/memory_map.h"

#include <link.h>

#include <algorithm>
#include <mutex>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/launch.h"

namespace poise::emulator {

MemoryMap memory_map;

void MemoryMap::add(const void* begin, size_t bytes, Contents contents) {
  auto shadow = std::make_unique<Shadow>(begin, bytes, contents);
  const auto at = std::lower_bound(shadows_.begin(), shadows_.end(), shadow->begin(),
                                   [](const auto& s, uintptr_t value) { return s->begin() < value; });
  shadows_.insert(at, std::move(shadow));
}

void MemoryMap::remove(const void* begin) {
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const auto at = std::find_if(shadows_.begin(), shadows_.end(), [=](const auto& s) { return s->begin() == address; });
  require(at != shadows_.end(), "memory that is unregistered was registered before");
  std::fill(std::begin(recent_), std::end(recent_), nullptr);
  shadows_.erase(at);
}

Shadow* MemoryMap::find(uintptr_t address) {
  for (Shadow* shadow : recent_) {
    if (shadow != nullptr && shadow->covers(address)) return shadow;
  }
  auto at = std::upper_bound(shadows_.begin(), shadows_.end(), address,
                             [](uintptr_t value, const auto& s) { return value < s->begin(); });
  if (at == shadows_.begin() || !(*--at)->covers(address)) return nullptr;
  recent_[replace_next_++ % kRecent] = at->get();
  return at->get();
}

std::string MemoryMap::neighbourhood(uintptr_t address) const {
  const auto behind = std::upper_bound(shadows_.begin(), shadows_.end(), address,
                                       [](uintptr_t value, const auto& s) { return value < s->begin(); });
  const auto bytes = [](uintptr_t n) { return std::to_string(n) + " bytes"; };
  constexpr uintptr_t kNear = 4096;
  if (behind != shadows_.begin()) {
    const Shadow& before = **std::prev(behind);
    if (address - before.end() < kNear) {
      return bytes(address - before.end()) + " past the end of an allocation of " +
             bytes(before.end() - before.begin());
    }
  }
  if (behind != shadows_.end() && (*behind)->begin() - address < kNear) {
    return bytes((*behind)->begin() - address) + " before an allocation of " +
           bytes((*behind)->end() - (*behind)->begin());
  }
  return "far from every allocation: memory of the host, or freed";
}

bool MemoryMap::in_program(uintptr_t address) {
  const auto known = [&] {
    return std::any_of(program_.begin(), program_.end(),
                       [=](const Segment& s) { return address >= s.begin && address < s.end; });
  };
  if (known()) return true;
  program_.clear();  // a library may have been loaded since
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* segments) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
          const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
          static_cast<std::vector<Segment>*>(segments)->push_back({begin, begin + info->dlpi_phdr[i].p_memsz});
        }
        return 0;
      },
      &program_);
  return known();
}

void MemoryMap::forget_accesses() {
  for (const auto& shadow : shadows_) shadow->forget_accesses();
}

void register_memory(const void* begin, size_t bytes, Contents contents) {
  const std::lock_guard lock(one_launch_at_a_time());
  memory_map.add(begin, bytes, contents);
}

void unregister_memory(const void* begin) {
  const std::lock_guard lock(one_launch_at_a_time());
  memory_map.remove(begin);
}

void mark_memory(const void* begin, size_t bytes, Contents contents) {
  const std::lock_guard lock(one_launch_at_a_time());
  const auto address = reinterpret_cast<uintptr_t>(begin);
  if (Shadow* shadow = memory_map.find(address)) shadow->mark(address, bytes, contents);
}

}  // namespace poise::emulator
