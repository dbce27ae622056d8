// Stacks for the threads of a block.
//
// A fiber is a thread without the operating system: it runs until it hands the processor to another fiber, which costs
// some twenty instructions and no system call. That is what makes the emulator fast: a block of 256 threads meets at a
// barrier in two to three microseconds.
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

// Stops `from`, which runs, and continues `to`. Returns when control is switched back.
void switch_fiber(Fiber& from, Fiber& to);

// The first thing that a fiber's entry does.
void fiber_starts();

// What runs now outside the pool: a stack that the operating system gave.
Fiber operating_system_fiber();

// Fibers that run `entry`, which never returns. Their stacks lie in one range of addresses, each with a page below that
// must not be touched, and are kept for the next launch.
class FiberPool {
 public:
  explicit FiberPool(void (*entry)()) : entry_(entry) {}
  Fiber& acquire();
  void release(Fiber& fiber) { free_.push_back(&fiber); }
  void restart();  // all fibers are free and start over, whatever they were doing

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
