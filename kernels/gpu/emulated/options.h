// How the emulated device runs kernels. The defaults are the fast and repeatable ones; tests turn the knobs, because a
// kernel is only right if its result does not depend on any of them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace poise::emulator {

enum class Order : uint8_t {
  sequential,  // blocks and threads by index
  random,      // any block next, any thread that may run next
};

// When a cp_async moves its bytes. The hardware may do it at any time between issue and wait.
enum class AsyncCopies : uint8_t {
  late,    // at the wait, and the destination is NaN until then
  eager,   // at once
  random,  // each copy one or the other
};

struct Options {
  uint64_t seed = 0;  // of everything random; launch n after set_options draws from (seed, n)
  Order order = Order::sequential;
  AsyncCopies async_copies = AsyncCopies::late;
  int preempt_every =
      0;              // checked kernels: on average one in so many memory accesses lets another thread run; 0: never
  bool check = true;  // checked kernels: look for races and memory errors
};

// Options in force. If the environment has POISE_EMULATOR_SEED=n, n > 0, they start as randomised(n).
const Options& options();
// Not while a kernel runs.
void set_options(const Options& options);

// Everything that may vary varies.
constexpr Options randomised(uint64_t seed) {
  return {.seed = seed, .order = Order::random, .async_copies = AsyncCopies::random, .preempt_every = 64};
}

}  // namespace poise::emulator
