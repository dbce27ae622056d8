// Scratch memory for the tasks of a parallel loop.
#pragma once
#include <atomic>
#include <cstdint>

namespace poise {

// Hands out `count` slots, for instance of scratch memory, to the tasks of a loop while they run. `count` is at least
// the number of tasks, and at most 64. A thread gets its previous slot if it is free, because that is in its cache.
class TaskSlots {
 public:
  explicit TaskSlots(int64_t count) : count_(count) {}
  int64_t take() {
    thread_local int64_t latest = 0;
    for (latest %= count_; taken_.fetch_or(uint64_t{1} << latest, std::memory_order_acquire) >> latest & 1;) {
      latest = (latest + 1) % count_;
    }
    return latest;
  }
  void give_back(int64_t slot) { taken_.fetch_and(~(uint64_t{1} << slot), std::memory_order_release); }

 private:
  int64_t count_;
  std::atomic<uint64_t> taken_{0};
};

}  // namespace poise
