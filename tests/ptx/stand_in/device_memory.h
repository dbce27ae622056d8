// The memory of the simulated device. Programs get addresses without memory behind them: if the host reads or writes
// one, the program crashes, as it would with a GPU. Kernels and copies use a second mapping that holds the bytes.
#pragma once
#include <map>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

enum class PointerKind : uint8_t { ordinary, pinned, device };

class DeviceMemory final : public ptx::MemoryMap {
 public:
  static DeviceMemory& instance();

  void* allocate(size_t bytes);  // null if out of memory; rounded up to a multiple of 512
  bool release(void* p);         // false if p is not an allocation
  void* allocate_pinned(size_t bytes);
  bool release_pinned(void* p);

  PointerKind kind(const void* p) const;
  // The host address of the bytes; null unless all of them are in one allocation.
  unsigned char* at(const void* device, size_t bytes) const;

  std::optional<ptx::Region> find(uint64_t address) const override;
  std::string describe(uint64_t address) const override;
  size_t total() const { return kTotal; }
  size_t used() const { return used_; }

 private:
  DeviceMemory();
  static constexpr size_t kWindow = size_t{1} << 37, kTotal = size_t{1} << 34, kGranule = 512;

  const ptx::Region* holding(uint64_t address) const;
  uint64_t visible_ = 0;  // start of the device addresses
  unsigned char* real_ = nullptr;
  int file_ = -1;
  size_t end_ = 0, used_ = 0;  // end of the part of the window ever allocated; bytes in use now
  std::map<uint64_t, ptx::Region> allocations_, pinned_;
  std::multimap<size_t, uint64_t> free_;  // by size
};

}  // namespace poise::stand_in
