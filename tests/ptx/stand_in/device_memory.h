// The memory of the device that is not there. What the program holds are addresses without memory behind: reading or
// writing one on the host ends the program, as it would with a GPU. The same bytes lie elsewhere, for kernels and copies.
#pragma once
#include <map>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

enum class PointerKind : uint8_t { ordinary, pinned, device };

class DeviceMemory final : public ptx::MemoryMap {
 public:
  static DeviceMemory& instance();

  void* allocate(size_t bytes);  // null if there is none left; a multiple of 512
  bool release(void* p);         // false if it is no allocation
  void* allocate_pinned(size_t bytes);
  bool release_pinned(void* p);

  PointerKind kind(const void* p) const;
  // Where the bytes really lie; null unless all of them lie in one allocation.
  unsigned char* at(const void* device, size_t bytes) const;

  std::optional<ptx::Region> find(uint64_t address) const override;
  std::string describe(uint64_t address) const override;
  size_t total() const { return kTotal; }
  size_t used() const { return used_; }

 private:
  DeviceMemory();
  static constexpr size_t kWindow = size_t{1} << 37, kTotal = size_t{1} << 34, kGranule = 512;

  const ptx::Region* holding(uint64_t address) const;
  uint64_t visible_ = 0;  // begin of the addresses
  unsigned char* real_ = nullptr;
  int file_ = -1;
  size_t end_ = 0, used_ = 0;  // of the part of the window that was ever given out
  std::map<uint64_t, ptx::Region> allocations_, pinned_;
  std::multimap<size_t, uint64_t> free_;  // by size
};

}  // namespace poise::stand_in
