#include "tests/ptx/stand_in/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace poise::stand_in {
namespace {

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::abort();
}

uint64_t number(const void* p) { return reinterpret_cast<uint64_t>(p); }

}  // namespace

DeviceMemory& DeviceMemory::instance() {
  static DeviceMemory& memory = *new DeviceMemory;  // never destroyed: buffers of static lifetime release to it
  return memory;
}

DeviceMemory::DeviceMemory() {
  file_ = ::memfd_create("device", MFD_CLOEXEC);
  if (file_ < 0 || ::ftruncate(file_, kWindow) != 0) give_up("stand-in: memory of the device");
  void* window = ::mmap(nullptr, kWindow, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* real = ::mmap(nullptr, kWindow, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0);
  if (window == MAP_FAILED || real == MAP_FAILED) give_up("stand-in: addresses of the device");
  visible_ = number(window);
  real_ = static_cast<unsigned char*>(real);
}

void* DeviceMemory::allocate(size_t bytes) {
  const size_t size = (std::max<size_t>(bytes, 1) + kGranule - 1) / kGranule * kGranule;
  if (used_ + size > kTotal) return nullptr;
  uint64_t begin = 0;
  const auto reusable = free_.find(size);
  if (reusable != free_.end()) {
    begin = reusable->second;
    free_.erase(reusable);
  } else {
    if (end_ + size + kGranule > kWindow) return nullptr;
    begin = visible_ + end_;
    end_ += size + kGranule;  // a gap, so that an overrun does not reach another allocation unnoticed
  }
  const auto to_host = static_cast<ptrdiff_t>(number(real_) - visible_);
  allocations_[begin] = {begin, begin + std::max<size_t>(bytes, 1), to_host};
  used_ += size;
  // Fresh GPU memory has arbitrary contents.
  std::memset(real_ + (begin - visible_), 0xcb, std::min<size_t>(size, size_t{1} << 24));
  return reinterpret_cast<void*>(begin);
}

bool DeviceMemory::release(void* p) {
  const auto found = allocations_.find(number(p));
  if (found == allocations_.end()) return false;
  const size_t size = (found->second.end - found->second.begin + kGranule - 1) / kGranule * kGranule;
  constexpr size_t kPage = 4096;
  const size_t offset = found->first - visible_, first = (offset + kPage - 1) / kPage * kPage;
  const size_t last = (offset + size) / kPage * kPage;
  if (last > first) ::madvise(real_ + first, last - first, MADV_REMOVE);
  used_ -= size;
  free_.emplace(size, found->first);
  allocations_.erase(found);
  return true;
}

void* DeviceMemory::allocate_pinned(size_t bytes) {
  const size_t size = std::max<size_t>(bytes, 1);
  void* p = std::aligned_alloc(kGranule, (size + kGranule - 1) / kGranule * kGranule);
  if (p) pinned_[number(p)] = {number(p), number(p) + size, 0};
  return p;
}

bool DeviceMemory::release_pinned(void* p) {
  if (pinned_.erase(number(p)) == 0) return false;
  std::free(p);
  return true;
}

const ptx::Region* DeviceMemory::holding(uint64_t address) const {
  for (const auto* regions : {&allocations_, &pinned_}) {
    const auto after = regions->upper_bound(address);
    if (after == regions->begin()) continue;
    const ptx::Region& region = std::prev(after)->second;
    if (address < region.end) return &region;
  }
  return nullptr;
}

PointerKind DeviceMemory::kind(const void* p) const {
  const ptx::Region* region = holding(number(p));
  if (!region) return PointerKind::ordinary;
  return region->to_host == 0 ? PointerKind::pinned : PointerKind::device;
}

unsigned char* DeviceMemory::at(const void* device, size_t bytes) const {
  const ptx::Region* region = holding(number(device));
  if (!region || region->to_host == 0 || !region->holds(number(device), number(device) + bytes)) return nullptr;
  return real_ + (number(device) - visible_);
}

std::optional<ptx::Region> DeviceMemory::find(uint64_t address) const {
  const ptx::Region* region = holding(address);
  return region ? std::optional(*region) : std::nullopt;
}

std::string DeviceMemory::describe(uint64_t address) const {
  const auto text = [](const ptx::Region& r) {
    return "an allocation of " + std::to_string(r.end - r.begin) + " bytes";
  };
  if (const ptx::Region* region = holding(address)) {
    return std::to_string(address - region->begin) + " bytes into " + text(*region);
  }
  if (address < 4096) return "which is nowhere: a null pointer";
  const auto after = allocations_.upper_bound(address);
  if (after != allocations_.begin()) {
    const ptx::Region& before = std::prev(after)->second;
    if (address - before.end < size_t{1} << 20) {
      return std::to_string(address - before.end) + " bytes past the end of " + text(before);
    }
  }
  if (after != allocations_.end() && after->first - address < size_t{1} << 20) {
    return std::to_string(after->first - address) + " bytes before " + text(after->second);
  }
  return "which is in no allocation; perhaps ordinary host memory";
}

}  // namespace poise::stand_in
