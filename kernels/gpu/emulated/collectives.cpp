// Barriers and warp collectives that kernels call. Each lane brings a struct on its own stack; the last lane to arrive
// computes the results of all lanes (Scheduler::warp_collective).
#include <bit>

#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"

namespace poise::emulator::device {
namespace {

template <class F>
void for_each_lane(uint32_t lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) f(std::countr_zero(lanes));
}

struct Shuffle {
  uint64_t value, result;
  ShuffleKind kind;
  int operand, width;
};

// The lane that `lane` reads (PTX ISA, shfl.sync). Segments of `width` lanes are separate; a lane that would read
// beyond its own segment keeps its value. exclusive_or may read from a lower segment.
int source_lane(const Shuffle& s, int lane) {
  const int first = lane & ~(s.width - 1), last = first + s.width - 1;
  int source = lane;
  switch (s.kind) {
    case ShuffleKind::index:
      return first + (s.operand & (s.width - 1));
    case ShuffleKind::up:
      source = lane - s.operand;
      return source >= first && source <= lane ? source : lane;
    case ShuffleKind::down:
      source = lane + s.operand;
      return source <= last && source >= lane ? source : lane;
    case ShuffleKind::exclusive_or:
      source = (lane ^ s.operand) & (kLanes - 1);
      return source <= last ? source : lane;
  }
  return lane;
}

void run_shuffle(void** argument, uint32_t lanes) {
  for_each_lane(lanes, [&](int lane) {
    auto* mine = static_cast<Shuffle*>(argument[lane]);
    const int source = source_lane(*mine, lane);
    if ((lanes >> source & 1) == 0) {
      scheduler.stop([=] {
        const int warp = scheduler.thread() / kLanes;
        return "lane " + std::to_string(lane) + " of warp " + std::to_string(warp) + " of block " +
               std::to_string(scheduler.block()) + " shuffles from lane " + std::to_string(source) +
               ", which does not take part (lanes " + hexadecimal(lanes) + "): " + who_waits();
      });
    }
    mine->result = static_cast<Shuffle*>(argument[source])->value;
  });
}

const char* name_of(ShuffleKind kind) {
  switch (kind) {
    case ShuffleKind::index:
      return "__shfl_sync";
    case ShuffleKind::up:
      return "__shfl_up_sync";
    case ShuffleKind::down:
      return "__shfl_down_sync";
    case ShuffleKind::exclusive_or:
      return "__shfl_xor_sync";
  }
  return "";
}

struct Vote {
  bool predicate;
  uint32_t ballot;  // lanes whose predicate holds
  uint32_t lanes;   // lanes that voted
};

void run_vote(void** argument, uint32_t lanes) {
  uint32_t ballot = 0;
  for_each_lane(lanes, [&](int lane) {
    if (static_cast<Vote*>(argument[lane])->predicate) ballot |= 1u << lane;
  });
  for_each_lane(lanes, [&](int lane) {
    static_cast<Vote*>(argument[lane])->ballot = ballot;
    static_cast<Vote*>(argument[lane])->lanes = lanes;
  });
}

Vote vote(const char* name, uint32_t mask, int predicate, Site site) {
  Vote v{.predicate = predicate != 0, .ballot = 0, .lanes = 0};
  scheduler.warp_collective(name, run_vote, mask, &v, site);
  return v;
}

void run_syncwarp(void**, uint32_t lanes) {
  if (checker.watching()) checker.warp_barrier(scheduler.thread() / kLanes, lanes);
}

}  // namespace

void __syncthreads(Site site) { scheduler.barrier("__syncthreads", false, site); }
int __syncthreads_or(int predicate, Site site) {
  return scheduler.barrier("__syncthreads_or", predicate != 0, site) > 0;
}
int __syncthreads_and(int predicate, Site site) {
  return scheduler.barrier("__syncthreads_and", predicate != 0, site) == scheduler.block_threads;
}
int __syncthreads_count(int predicate, Site site) {
  return scheduler.barrier("__syncthreads_count", predicate != 0, site);
}

void __syncwarp(uint32_t mask, Site site) {
  scheduler.warp_collective("__syncwarp", run_syncwarp, mask, nullptr, site);
}

// Threads on one processor see each other's writes at once, so fences only concern the checker.
void __threadfence() {
  if (checker.watching()) checker.fence(true);
}
void __threadfence_block() {
  if (checker.watching()) checker.fence(false);
}

uint64_t shuffle(ShuffleKind kind, uint32_t mask, uint64_t value, int operand, int width, Site site) {
  if (width < 1 || width > kLanes || !std::has_single_bit(static_cast<unsigned>(width))) {
    scheduler.stop([=] {
      return this_thread() + " calls " + name_of(kind) + " at " + place(site) + " with width " + std::to_string(width) +
             "; it must be a power of two up to 32";
    });
  }
  Shuffle s{.value = value, .result = 0, .kind = kind, .operand = operand, .width = width};
  scheduler.warp_collective(name_of(kind), run_shuffle, mask, &s, site);
  return s.result;
}

uint32_t __ballot_sync(uint32_t mask, int predicate, Site site) {
  return vote("__ballot_sync", mask, predicate, site).ballot;
}
int __any_sync(uint32_t mask, int predicate, Site site) {
  return vote("__any_sync", mask, predicate, site).ballot != 0;
}
int __all_sync(uint32_t mask, int predicate, Site site) {
  const Vote v = vote("__all_sync", mask, predicate, site);
  return v.ballot == v.lanes;
}

}  // namespace poise::emulator::device
