#include "kernels/gpu/emulated/launch.h"

#include <cstdlib>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"
#include "kernels/gpu/emulated/shared_memory.h"
#include "kernels/gpu/emulated/stack_overflow.h"

namespace poise::emulator {
namespace {

Options initial_options() {
  const char* seed = std::getenv("POISE_EMULATOR_SEED");
  const uint64_t value = seed == nullptr ? 0 : std::strtoull(seed, nullptr, 10);
  return value == 0 ? Options{} : randomised(value);
}

struct State {
  Options options = initial_options();
  uint64_t launches = 0;  // since set_options
};
State& state() {
  static State s;
  return s;
}

// Why the hardware would reject the launch (compute capability 8.0 to 9.0); empty if it would not.
std::string invalid(const Launch& launch) {
  const auto& [gx, gy, gz] = launch.grid;
  const auto& [bx, by, bz] = launch.block;
  if (gx == 0 || gy == 0 || gz == 0) return "the grid is empty";
  if (gx > 0x7fffffffu || gy > 65535 || gz > 65535) return "a grid has at most 2147483647 x 65535 x 65535 blocks";
  if (bx == 0 || by == 0 || bz == 0) return "the block is empty";
  if (bx > 1024 || by > 1024 || bz > 64 || uint64_t{bx} * by * bz > kMaxThreads) {
    return "a block has at most 1024 threads";
  }
  if (launch.shared_bytes > kMaxSharedBytes) {
    return "a block has at most " + std::to_string(kMaxSharedBytes) + " bytes of shared memory";
  }
  return "";
}

uint64_t mix(uint64_t x) {  // splitmix64 (Steele, Lea and Flood, 2014)
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

std::mutex& one_launch_at_a_time() {
  static std::mutex mutex;
  return mutex;
}

const Options& options() { return state().options; }

void set_options(const Options& options) {
  const std::lock_guard lock(one_launch_at_a_time());
  state() = {.options = options, .launches = 0};
}

void run(Launch launch, const void* call, size_t call_bytes) {
  launch.call = call;
  launch.call_bytes = call_bytes;
  const std::lock_guard lock(one_launch_at_a_time());
  if (const std::string problem = invalid(launch); !problem.empty()) {
    fail(ErrorKind::runtime, describe(launch) + ": invalid launch: " + problem);
  }
  const uint64_t seed = mix(mix(options().seed) + state().launches++);
  const CatchStackOverflow guard;
  shared_arena.start_launch(launch.shared_bytes);
  scheduler.run_grid(launch, seed);
  if (const std::string failure = scheduler.take_failure(); !failure.empty()) {
    const uint64_t used = options().seed;
    fail(ErrorKind::runtime,
         describe(launch) + ": " + failure + (used == 0 ? "" : " [seed " + std::to_string(used) + "]"));
  }
}

}  // namespace poise::emulator
