// The memory that the checker knows: what device_memory.h registers. Shared memory is not in it (Checker::shared_).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/gpu/emulated/shadow.h"

namespace poise::emulator {

class MemoryMap {
 public:
  void add(const void* begin, size_t bytes, Contents contents);
  void remove(const void* begin);
  // The registered memory that contains the address, or null.
  Shadow* find(uintptr_t address);
  // Describes the location of an address outside of all registered memory.
  std::string neighbourhood(uintptr_t address) const;
  // Whether the address is in the program itself: code, constants, globals.
  bool in_program(uintptr_t address);
  void forget_accesses();

 private:
  std::vector<std::unique_ptr<Shadow>> shadows_;  // by address
  static constexpr int kRecent = 4;
  Shadow* recent_[kRecent] = {};  // most kernels touch few tensors, so look here first
  int replace_next_ = 0;
  struct Segment {
    uintptr_t begin, end;
  };
  std::vector<Segment> program_;
};

extern MemoryMap memory_map;

}  // namespace poise::emulator
