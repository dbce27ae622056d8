// Finds errors that a GPU hides: data races, missing barriers and fences, reads of uninitialised memory, accesses out
// of bounds. Kernels in namespace `checked` are compiled with -fsanitize=thread, which inserts a call before every
// memory access; thread_sanitizer_hooks.cpp provides the called functions in place of the sanitizer's own library.
//
// Two accesses to the same bytes are a race if one is a write, not both are atomic, and neither happens before the
// other. All threads of all blocks run on one processor, so a single counter serves as the clock: it ticks whenever
// threads synchronise, and an access has the time at which it was made. Of two accesses by different threads the
// earlier one happens before the later one if in between, by the counter,
//   - the grid was launched,
//   - their block passed a __syncthreads,
//   - their warp passed a __syncwarp whose mask names both (shuffles and votes do not order memory), or
//   - the first thread fenced (__threadfence) and then used an atomic on some address, and the second used an atomic on
//     the same address after it and then fenced. This also covers what the first thread knew to have happened before
//     its fence, and what the second passes on by barriers: the pattern of "the last block adds up all results".
// Nothing else orders accesses of different blocks: any other sharing between them is a race.
//
// So a bug is found in any order of execution in which both accesses occur at all, even if the result is right.
#pragma once
#include <bit>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/gpu/emulated/memory_map.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"

namespace poise::emulator {

enum class Access : uint8_t { read, write, atomic };

class Checker {
 public:
  bool watching() const { return watching_; }  // the running launch is checked

  void start_launch(const Launch& launch);
  void end_launch() { watching_ = false; }
  void start_block();

  // Events of the running thread.
  void access(const void* address, size_t bytes, Access kind, AccessSite site);
  void mark_shared(const void* begin, size_t bytes);  // a new, uninitialised piece of the arena
  void barrier();
  void warp_barrier(int warp, uint32_t lanes);
  void fence(bool device_wide);
  void copy_starts(void* shared, const void* global, size_t bytes, bool valid, Site site);
  void copy_lands(void* shared, const void* global, size_t bytes, bool valid, Site site);

 private:
  // A thread's last fence, and the barriers that it passed before, as happened_before() uses them.
  struct Fence {
    uint32_t time, block_barrier, warp_barrier;
  };
  // What an atomic publishes: for each thread u of its block, all that u did before before[u]. Within the block any
  // fence counts; for other blocks it must be a __threadfence.
  enum Scope { kWithinBlock, kWithinDevice, kScopes };
  struct Publication {
    int64_t block;
    std::vector<uint32_t> before[kScopes];
  };
  // The publications of all atomics on one address so far; new ones are appended.
  using Publications = std::vector<Publication>;
  // A thread has seen the first `count` publications through an atomic and, if it has fenced since, may rely on them.
  struct Seen {
    const Publications* publications;
    size_t count;
    int thread;
    uint32_t time;  // of the atomic; in relied_on_, of the fence
  };

  void check(Shadow& shadow, uintptr_t address, size_t bytes, Access kind, AccessSite site, bool shared);
  void outside(uintptr_t address, size_t bytes, Access kind, AccessSite site);
  void publish_and_see(const void* address);
  bool ordered(const Record& r, bool shared) const;
  bool happened_before(int thread, uint32_t time) const;
  bool published(const Record& r) const;
  int64_t block_at(uint32_t time) const;
  uint32_t number_of(AccessSite site);

  [[noreturn]] void report_race(const Record& earlier, Access kind, AccessSite site, size_t bytes, uintptr_t address,
                                bool shared, bool earlier_wrote);
  [[noreturn]] void report_undefined(uintptr_t address, size_t bytes, AccessSite site, bool shared, bool in_flight);
  [[noreturn]] void report_out_of_bounds(uintptr_t address, size_t bytes, Access kind, AccessSite site, bool shared);

  bool watching_ = false;
  uint32_t now_ = 1, launch_start_ = 0, block_start_ = 0;
  uint32_t block_barrier_ = 0;                        // time of the block's last barrier
  uint32_t warp_barrier_[kMaxThreads / kLanes] = {};  // and of each warp's last __syncwarp of all lanes
  // Barriers of a part of a warp: lane a knows everything that lane b did before partial_[warp][a][b].
  uint32_t partial_[kMaxThreads / kLanes][kLanes][kLanes] = {};
  Fence fences_[kScopes][kMaxThreads] = {};
  std::unordered_map<const void*, Publications> publications_;  // by address of the atomic
  std::vector<Seen> seen_by_atomic_, relied_on_;                // in the running block
  struct BlockStart {
    uint32_t time;
    int64_t block;
  };
  std::vector<BlockStart> block_starts_;  // of this launch
  std::vector<AccessSite> sites_;
  std::unordered_map<const void*, uint32_t> site_numbers_;
  struct RecentSite {
    const void* key;
    uint32_t number;
  };
  RecentSite recent_sites_[256] = {};
  std::unique_ptr<Shadow> shared_;  // shadow of the arena
};

extern Checker checker;

}  // namespace poise::emulator
