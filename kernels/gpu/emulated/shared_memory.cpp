#include "kernels/gpu/emulated/shared_memory.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/integer.h"
#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes)
#endif

namespace poise::emulator {

SharedArena shared_arena;
uint64_t SharedVariable::current_launch = 0;

void SharedArena::start_launch(size_t dynamic_bytes) {
  ++SharedVariable::current_launch;
  ASAN_POISON_MEMORY_REGION(memory_, sizeof(memory_));
  pieces_.clear();
  end_ = 0;
  place("dynamic shared memory", dynamic_bytes, kDynamicAlignment);
}

char* SharedArena::place(const char* name, size_t bytes, size_t alignment) {
  size_t begin = ceil_div(end_, alignment) * alignment;
  if (begin / alignment % 2 == 0) begin += alignment;  // not a multiple of twice the alignment
  end_ = begin + bytes + kGap;
  char* address = memory_ + begin;
  ASAN_UNPOISON_MEMORY_REGION(address, bytes);
  std::memset(address, 0xff, bytes);
  pieces_.push_back({name, address, bytes});
  checker.mark_shared(address, bytes);
  return address;
}

void SharedArena::start_block() {
  for (const Piece& piece : pieces_) std::memset(piece.begin, 0xff, piece.bytes);
}

void SharedVariable::place() {
  const auto& pieces = shared_arena.pieces();
  size_t statics = bytes_;
  for (size_t i = 1; i < pieces.size(); ++i) statics += pieces[i].bytes;
  if (statics > kMaxStaticSharedBytes || statics + pieces[0].bytes > kMaxSharedBytes ||
      pieces.size() == SharedArena::kMaxPieces) {
    scheduler.stop([statics, name = name_] {
      return "too much shared memory: " + std::string(name) + " makes it " + std::to_string(statics) +
             " bytes of static shared memory (at most " + std::to_string(kMaxStaticSharedBytes) +
             ", together with dynamic at most " + std::to_string(kMaxSharedBytes) + ")";
    });
  }
  address_ = shared_arena.place(name_, bytes_, std::max(alignment_, SharedArena::kStaticAlignment));
  launch_ = current_launch;
}

void* dynamic_shared_memory(size_t bytes) {
  const SharedArena::Piece& dynamic = shared_arena.pieces()[0];
  if (bytes > dynamic.bytes) {
    scheduler.stop([bytes] {
      return "the kernel uses " + std::to_string(bytes) + " bytes of dynamic shared memory but the launch gave it " +
             std::to_string(scheduler.launch().shared_bytes);
    });
  }
  return dynamic.begin;
}

}  // namespace poise::emulator
