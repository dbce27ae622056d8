#include "kernels/gpu/emulated/fiber.h"

#include <sys/mman.h>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/context_switch.h"

#ifdef __SANITIZE_ADDRESS__
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace poise::emulator {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStackBytes = 256 << 10;  // redzones enlarge frames
#else
constexpr size_t kStackBytes = 64 << 10;
#endif
constexpr size_t kGuardBytes = 4 << 10;
constexpr size_t kSlotBytes = kGuardBytes + kStackBytes;
constexpr size_t kMaxFibers = 1025;  // for the threads of the largest block, and one for its last thread to start on

}  // namespace

#ifdef __SANITIZE_ADDRESS__

void switch_fiber(Fiber& from, Fiber& to) {
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
  switch_context(&from.context, to.context);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
}

void fiber_starts() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }

Fiber operating_system_fiber() {
  Fiber fiber;
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  void* stack = nullptr;
  pthread_attr_getstack(&attributes, &stack, &fiber.stack_bytes);
  pthread_attr_destroy(&attributes);
  fiber.stack = static_cast<char*>(stack);
  return fiber;
}

#else

void switch_fiber(Fiber& from, Fiber& to) { switch_context(&from.context, to.context); }
void fiber_starts() {}
Fiber operating_system_fiber() { return {}; }

#endif

void FiberPool::create() {
  if (begin_ == nullptr) {
    void* p = mmap(nullptr, kMaxFibers * kSlotBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail(ErrorKind::runtime, "the emulator could not reserve stacks (ulimit -v?)");
    begin_ = static_cast<char*>(p);
    end_ = begin_ + kMaxFibers * kSlotBytes;
    fibers_.reserve(kMaxFibers);
    free_.reserve(kMaxFibers);
  }
  const size_t index = fibers_.size();
  require(index < kMaxFibers, "a block needs no more fibers than it has threads");
  char* stack = begin_ + index * kSlotBytes + kGuardBytes;
  if (mprotect(stack, kStackBytes, PROT_READ | PROT_WRITE) != 0) {
    fail(ErrorKind::runtime, "the emulator could not allocate a stack");
  }
  // If all stacks had the same addresses modulo 4 KiB, they would compete for the same few cache lines.
  const size_t stagger = index % 61 * 192;
  Fiber& fiber = fibers_.emplace_back();
  fiber.stack = stack;
  fiber.stack_bytes = kStackBytes - stagger;
  fiber.context = prepare_context(stack, fiber.stack_bytes, entry_);
  free_.push_back(&fiber);
}

Fiber& FiberPool::acquire() {
  if (free_.empty()) create();
  Fiber& fiber = *free_.back();
  free_.pop_back();
  return fiber;
}

void FiberPool::restart() {
  free_.clear();
  for (Fiber& fiber : fibers_) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber.stack, kStackBytes);
#endif
    fiber.fake_stack = nullptr;
    fiber.context = prepare_context(fiber.stack, fiber.stack_bytes, entry_);
    free_.push_back(&fiber);
  }
}

bool FiberPool::is_guard(const void* owned_address) const {
  return static_cast<size_t>(static_cast<const char*>(owned_address) - begin_) % kSlotBytes < kGuardBytes;
}

}  // namespace poise::emulator
