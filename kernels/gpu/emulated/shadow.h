// What the checker remembers about memory: for every two bytes the last write, two of the reads since, and whether each
// byte may be accessed and has been written. Two bytes, because different threads write the halves of a word in tiles
// of bf16.
//
// The shadow of a range is about twelve times as large as the range, but only pages that a checked kernel touches use
// memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/gpu/emulated/device_memory.h"

namespace poise::emulator {

// One access, in 64 bits. The time (checker.h) also determines the block; zero means long ago.
struct Record {
  uint64_t bits = 0;

  static Record make(uint32_t time, uint32_t site, int thread, uint32_t bytes, bool atomic) {
    return {uint64_t{time} << 32 | uint64_t{site} << 16 | static_cast<uint64_t>(thread) << 4 | bytes << 2 |
            uint64_t{atomic}};
  }
  uint32_t time() const { return static_cast<uint32_t>(bits >> 32); }
  uint32_t site() const { return static_cast<uint32_t>(bits >> 16) & 0xffff; }  // number in the table of sites
  int thread() const { return static_cast<int>(bits >> 4 & 0xfff); }            // index within its block
  uint32_t bytes() const { return static_cast<uint32_t>(bits >> 2 & 3); }       // which of the two
  bool atomic() const { return (bits & 1) != 0; }
};

struct Cell {
  Record write;
  Record reads[2];
};

// State of two bytes, one bit each. The usual state, zero, needs no memory: may be accessed, has been written.
namespace state {
constexpr uint8_t kUndefined = 3, kInaccessible = 3 << 2;
constexpr uint8_t kInFlight = 3 << 4;  // a cp_async that has not been waited for will write them
constexpr uint8_t of(Contents contents) {
  return contents == Contents::inaccessible ? kInaccessible : contents == Contents::undefined ? kUndefined : 0;
}
}  // namespace state

// Zeroed memory that costs nothing until it is touched.
struct Unmap {
  size_t bytes = 0;
  void operator()(void* p) const;
};
template <class T>
using LazyArray = std::unique_ptr<T[], Unmap>;

class Shadow {
 public:
  Shadow(const void* begin, size_t bytes, Contents contents);

  uintptr_t begin() const { return begin_; }
  uintptr_t end() const { return end_; }
  bool covers(uintptr_t address) const { return address >= begin_ && address < end_; }

  // The cell and the state of the two bytes that contain this address.
  Cell& cell(uintptr_t address) { return cells_[(address - base_) / 2]; }
  uint8_t& state(uintptr_t address) { return states_[(address - base_) / 2]; }

  void mark(uintptr_t begin, size_t bytes, Contents contents);
  void mark_in_flight(uintptr_t begin, size_t bytes);  // even addresses
  void forget_accesses();

 private:
  uintptr_t begin_, end_, base_;  // base: begin, rounded down to an even address
  bool all_defined_ = true;       // no state was ever set
  LazyArray<Cell> cells_;
  LazyArray<uint8_t> states_;
};

}  // namespace poise::emulator
