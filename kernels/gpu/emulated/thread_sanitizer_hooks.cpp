// The functions that g++ -fsanitize=thread calls in checked kernels, in place of the sanitizer's own library, which is
// not linked. Calls from host code that was compiled the same way (in a .cu file) return at once.
#include <cstddef>
#include <cstdint>

#include "kernels/gpu/emulated/checker.h"

namespace poise::emulator {
namespace {

// An access of any size and alignment.
void on_range(const void* address, size_t bytes, Access kind, const void* return_address) {
  if (!scheduler.in_checked_kernel()) return;
  scheduler.maybe_preempt();
  // The access belongs to the instruction before the return address.
  if (checker.watching()) checker.access(address, bytes, kind, static_cast<const char*>(return_address) - 1);
}

void on_access(const void* address, size_t bytes, Access kind, const void* return_address) {
  if (!scheduler.in_checked_kernel()) return;
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0 && bytes <= 8) {
    require_alignment(address, bytes, static_cast<const char*>(return_address) - 1);
  }
  on_range(address, bytes, kind, return_address);
}

}  // namespace
}  // namespace poise::emulator

using poise::emulator::Access;
using poise::emulator::on_access;
using poise::emulator::on_range;

#define POISE_HOOK(name, bytes, kind) \
  void name(const void* address) { on_access(address, bytes, Access::kind, __builtin_return_address(0)); }
// Atomic operations of C++ appear in host code only (the guard of a static variable, for one).
#define POISE_ATOMIC_HOOKS(bits, type)                                                                              \
  type __tsan_atomic##bits##_load(const volatile type* address, int) {                                              \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                                              \
  }                                                                                                                 \
  void __tsan_atomic##bits##_store(volatile type* address, type value, int) {                                       \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                                             \
  }                                                                                                                 \
  type __tsan_atomic##bits##_exchange(volatile type* address, type value, int) {                                    \
    return __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                                 \
  type __tsan_atomic##bits##_fetch_add(volatile type* address, type value, int) {                                   \
    return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                                 \
  type __tsan_atomic##bits##_fetch_sub(volatile type* address, type value, int) {                                   \
    return __atomic_fetch_sub(address, value, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* address, type* expected, type value, int, int) { \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);        \
  }

extern "C" {
POISE_HOOK(__tsan_read1, 1, read)
POISE_HOOK(__tsan_read2, 2, read)
POISE_HOOK(__tsan_read4, 4, read)
POISE_HOOK(__tsan_read8, 8, read)
POISE_HOOK(__tsan_read16, 16, read)
POISE_HOOK(__tsan_write1, 1, write)
POISE_HOOK(__tsan_write2, 2, write)
POISE_HOOK(__tsan_write4, 4, write)
POISE_HOOK(__tsan_write8, 8, write)
POISE_HOOK(__tsan_write16, 16, write)

void __tsan_read_range(const void* address, size_t bytes) {
  on_range(address, bytes, Access::read, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, size_t bytes) {
  on_range(address, bytes, Access::write, __builtin_return_address(0));
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

POISE_ATOMIC_HOOKS(8, uint8_t)
POISE_ATOMIC_HOOKS(32, uint32_t)
POISE_ATOMIC_HOOKS(64, uint64_t)
}
