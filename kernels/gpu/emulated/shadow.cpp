#include "kernels/gpu/emulated/shadow.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "kernels/core/error.h"

namespace poise::emulator {
namespace {

template <class T>
LazyArray<T> lazy_array(size_t count) {
  const size_t bytes = std::max<size_t>(1, count * sizeof(T));
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) fail(ErrorKind::runtime, "the checker of emulated kernels could not reserve shadow memory");
  return LazyArray<T>(static_cast<T*>(p), Unmap{bytes});
}

}  // namespace

void Unmap::operator()(void* p) const { munmap(p, bytes); }

Shadow::Shadow(const void* begin, size_t bytes, Contents contents)
    : begin_(reinterpret_cast<uintptr_t>(begin)),
      end_(begin_ + bytes),
      base_(begin_ & ~uintptr_t{1}),
      cells_(lazy_array<Cell>((end_ - base_ + 1) / 2)),
      states_(lazy_array<uint8_t>((end_ - base_ + 1) / 2)) {
  mark(begin_, bytes, contents);
}

void Shadow::mark(uintptr_t begin, size_t bytes, Contents contents) {
  uintptr_t end = std::min(begin + bytes, end_);
  begin = std::max(begin, begin_);
  if (begin >= end || (all_defined_ && contents == Contents::defined)) return;
  all_defined_ = false;
  const uint8_t value = state::of(contents);
  const auto mark_one = [&](uintptr_t address) {
    const uint8_t mine = address % 2 == 0 ? 0b010101 : 0b101010;
    uint8_t& s = state(address);
    s = static_cast<uint8_t>((s & ~mine) | (value & mine));
  };
  if (begin % 2 != 0) mark_one(begin++);
  if (end % 2 != 0 && end > begin) mark_one(--end);
  if (end > begin) std::memset(&state(begin), value, (end - begin) / 2);
}

void Shadow::mark_in_flight(uintptr_t begin, size_t bytes) {
  all_defined_ = false;
  std::memset(&state(begin), state::kUndefined | state::kInFlight, bytes / 2);
}

void Shadow::forget_accesses() { cells_ = lazy_array<Cell>((end_ - base_ + 1) / 2); }

}  // namespace poise::emulator
