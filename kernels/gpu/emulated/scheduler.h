// Decides which thread runs next. One OS thread runs one block at a time, and within the block one thread at a time.
//
// Threads of a block start lazily: a fiber runs thread 0, then 1, 2 ... in a plain loop on one stack, and block after
// block. Only a thread that must wait for others (at a barrier or a warp collective) keeps the stack, and the next
// thread runs on another one. So a kernel that never synchronises costs a function call per thread.
//
// There is no central loop: a waiting thread picks a successor among those that can run (one bit per thread) and
// switches directly to it. If there is none, the block is in a deadlock; the report says which threads wait where.
#pragma once
#include <bit>
#include <functional>
#include <string>
#include <vector>

#include "kernels/gpu/device_limits.h"
#include "kernels/gpu/emulated/fiber.h"
#include "kernels/gpu/emulated/launch.h"
#include "kernels/gpu/emulated/options.h"

namespace poise::emulator {

constexpr int kLanes = 32;

// What the last lane to arrive does for all lanes: argument[lane] is what that lane passed. `lanes` is the mask of the
// lanes that take part.
using WarpOperation = void(void** argument, uint32_t lanes);

// A collective that some lanes of a warp have reached and others have not reached yet.
struct WarpCollective {
  const char* name = nullptr;
  WarpOperation* operation = nullptr;
  uint32_t mask = 0;     // lanes that take part
  uint32_t arrived = 0;  // 0: none pending
  Site site;
};

struct Warp {
  uint32_t exists = 0;             // lanes in this block: all, except in the last warp
  uint32_t alive = 0;              // lanes that have not exited the kernel
  uint32_t runnable = 0;           // can run; does not include the lane that is running
  uint32_t waiting = 0;            // in a warp collective
  WarpCollective pending[kLanes];  // indexed by the mask's lowest lane, since disjoint groups are independent
  void* argument[kLanes];
};

struct Thread {
  Fiber* fiber = nullptr;  // null before it starts
  device::uint3 index{};
  // Where the thread waits, for reports.
  const char* waits_in = nullptr;
  Site waits_at;
  uint32_t waits_for = 0;  // mask of a warp collective
};

// __syncthreads and its relatives.
struct BlockBarrier {
  int arrived = 0;
  const char* name = nullptr;
  Site site;       // of the first thread to arrive
  int count = 0;   // true predicates so far
  int result = 0;  // true predicates of the latest barrier that opened
};

class Scheduler {
 public:
  Scheduler();

  void run_grid(const Launch& launch, uint64_t seed);
  // What ended the grid early; empty if nothing did.
  std::string take_failure();

  // --- For code that runs in a kernel thread ---

  int thread() const { return current_; }   // index within the block
  int64_t block() const { return block_; }  // index within the grid
  bool in_kernel() const { return running_ != nullptr; }
  bool in_checked_kernel() const { return in_checked_kernel_; }
  bool owns_stack(const void* address) const;  // does the running thread own this address in `fibers`?
  const Launch& launch() const { return *launch_; }

  int barrier(const char* name, bool predicate, Site site);
  void warp_collective(const char* name, WarpOperation* operation, uint32_t mask, void* argument, Site site);
  void yield();           // another thread may run now: any, if the order is random
  void maybe_preempt() {  // now and then lets another thread run (Options::preempt_every)
    if (--accesses_to_preemption_ == 0) preempt();
  }
  uint64_t random();  // the next random number of this launch
  bool one_in(uint64_t n) { return random() % n == 0; }

  // Ends the launch; `describe` writes the report later, on a stack with enough room. Does not return, and does not run
  // the destructors of the block's threads.
  template <class Describe>
  [[noreturn]] void stop(Describe describe) {
    failure_ = std::move(describe);
    leave_grid();
  }

  Thread threads[kMaxThreads];
  Warp warps[kMaxThreads / kLanes];
  BlockBarrier block_barrier;
  int block_threads = 0;
  int left = 0;  // threads that have left the kernel
  FiberPool fibers;

 private:
  static void run_threads();  // the entry of every fiber
  bool next_block();
  void preempt();
  void thread_leaves();
  int pick();
  void continue_with(int thread);
  void become(int thread);
  void wait_in(const char* name, Site site, uint32_t mask);
  void make_runnable(int warp, uint32_t lanes);
  [[noreturn]] void leave_grid();
  [[noreturn]] void wrong_collective(const char* name, uint32_t mask, Site site, std::string why);

  std::function<std::string()> failure_;
  const Launch* launch_ = nullptr;
  int current_ = 0;
  int64_t block_ = 0, blocks_started_ = 0, blocks_ = 0;
  std::vector<uint32_t> block_order_;  // empty: by index
  uint32_t runnable_warps_ = 0;
  bool random_order_ = false;
  bool in_checked_kernel_ = false;
  int64_t accesses_to_preemption_ = 0;
  uint64_t random_state_ = 0;
  Fiber launcher_;
  Fiber* running_ = nullptr;
};

extern Scheduler scheduler;

}  // namespace poise::emulator
