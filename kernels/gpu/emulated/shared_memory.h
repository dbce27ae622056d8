// The shared memory of the running block: one arena, laid out as
//
//   | dynamic, as many bytes as the launch requests | gap | static variable | gap | static variable | gap ...
//
// Addresses are multiples of the guaranteed alignment (16 for a variable, 128 for the dynamic part, more if its type
// requires it) and never of twice that, so that no kernel relies on luck.
//
// When a block starts, every byte is 0xff, which is NaN in every format. AddressSanitizer and the checker know that the
// gaps must not be accessed. (`__shared__` as a plain static would allow neither, and an index that runs over the end
// could overwrite what follows.)
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/gpu/device_limits.h"

namespace poise::emulator {

// One GPU_SHARED declaration. Gets its place in the arena when the first thread of a launch reaches it.
class SharedVariable {
 public:
  constexpr SharedVariable(const char* name, size_t bytes, size_t alignment)
      : name_(name), bytes_(bytes), alignment_(alignment) {}
  void* address() {
    if (launch_ != current_launch) place();
    return address_;
  }

  static uint64_t current_launch;  // the number of launches

 private:
  void place();

  const char* name_;
  size_t bytes_, alignment_;
  uint64_t launch_ = 0;
  void* address_ = nullptr;
};

// GPU_DYNAMIC_SHARED: the dynamic part, of which the kernel uses `bytes`.
void* dynamic_shared_memory(size_t bytes);

class SharedArena {
 public:
  static constexpr size_t kMaxPieces = 64;
  static constexpr size_t kDynamicAlignment = 128, kStaticAlignment = 16;

  struct Piece {
    const char* name;
    char* begin;
    size_t bytes;
  };

  void start_launch(size_t dynamic_bytes);
  void start_block();
  char* place(const char* name, size_t bytes, size_t alignment);  // at most 128

  bool owns(const void* address) const { return address >= memory_ && address < memory_ + sizeof(memory_); }
  const std::vector<Piece>& pieces() const { return pieces_; }  // by address; the dynamic part first
  const char* begin() const { return memory_; }
  static constexpr size_t capacity() { return sizeof(memory_); }

 private:
  static constexpr size_t kGap = 64;
  static constexpr size_t kRoomPerPiece = 512;  // for gap and alignment
  alignas(1024) char memory_[kMaxSharedBytes + kMaxPieces * kRoomPerPiece];
  std::vector<Piece> pieces_;
  size_t end_ = 0;
};

extern SharedArena shared_arena;

}  // namespace poise::emulator
