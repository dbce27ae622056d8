// How the emulated device runs kernels. The defaults are fast and repeatable. Tests vary the options, because a kernel
// is correct only if its result does not depend on any of them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace poise::emulator {

enum class Order : uint8_t {
  sequential,  // blocks and threads by index
  random,      // the next block and the next thread, among those that can run, are random
};

// When a cp_async copies its bytes. The hardware may do it at any time between issue and wait.
enum class AsyncCopies : uint8_t {
  late,    // at the wait, and the destination is NaN until then
  eager,   // at once
  random,  // chosen for each copy
};

struct Options {
  uint64_t seed = 0;  // of all random choices; launch n after set_options draws from (seed, n)
  Order order = Order::sequential;
  AsyncCopies async_copies = AsyncCopies::late;
  int preempt_every = 0;  // checked kernels: on average every n-th memory access lets another thread run; 0: never
  bool check = true;      // checked kernels: look for races and memory errors
};

// The current options. If the environment has POISE_EMULATOR_SEED=n, n > 0, they start as randomised(n).
const Options& options();
// Must not be called while a kernel runs.
void set_options(const Options& options);

// Randomises everything that may vary.
constexpr Options randomised(uint64_t seed) {
  return {.seed = seed, .order = Order::random, .async_copies = AsyncCopies::random, .preempt_every = 64};
}

}  // namespace poise::emulator
