// Stacks for the threads of a block.
//
// A fiber is a thread without the operating system: it runs until it switches to another fiber, which costs some twenty
// instructions and no system call. This makes the emulator fast: a barrier of a block of 256 threads takes two to three
// microseconds.
#pragma once
#include <cstddef>
#include <vector>

namespace poise::emulator {

struct Fiber {
  char* stack = nullptr;  // lowest address
  size_t stack_bytes = 0;
  void* context = nullptr;     // where it stopped (context_switch.h)
  void* fake_stack = nullptr;  // AddressSanitizer's
};

// Stops the running fiber `from` and continues `to`. Returns when control is switched back.
void switch_fiber(Fiber& from, Fiber& to);

// Must be the first call in a fiber's entry function.
void fiber_starts();

// The code that runs now, outside the pool, on a stack of the operating system.
Fiber operating_system_fiber();

// Fibers that run `entry`, which never returns. Their stacks are in one range of addresses, each with an inaccessible
// guard page below it, and are kept for the next launch.
class FiberPool {
 public:
  explicit FiberPool(void (*entry)()) : entry_(entry) {}
  Fiber& acquire();
  void release(Fiber& fiber) { free_.push_back(&fiber); }
  void restart();  // frees all fibers, regardless of their state; they start over

  bool owns(const void* address) const { return address >= begin_ && address < end_; }
  bool is_guard(const void* owned_address) const;

 private:
  void create();

  void (*entry_)();
  char* begin_ = nullptr;
  char* end_ = nullptr;
  std::vector<Fiber> fibers_;
  std::vector<Fiber*> free_;
};

}  // namespace poise::emulator
