#include "kernels/gpu/emulated/scheduler.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/core/integer.h"
#include "kernels/gpu/emulated/async_copy.h"
#include "kernels/gpu/emulated/checker.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/shared_memory.h"

namespace poise::emulator {

namespace device {
Indices indices;
}  // namespace device

Scheduler scheduler;

Scheduler::Scheduler() : fibers(run_threads) {}

void Scheduler::run_grid(const Launch& launch, uint64_t seed) {
  launch_ = &launch;
  random_order_ = options().order == Order::random;
  random_state_ = seed | 1;
  device::indices.block_extent = launch.block;
  device::indices.grid_extent = launch.grid;
  block_threads = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  for (int t = 0; t < block_threads; ++t) {
    const auto i = static_cast<unsigned>(t);
    threads[t].index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / launch.block.x / launch.block.y};
  }
  blocks_ = int64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  blocks_started_ = 0;
  block_order_.clear();
  if (random_order_) {
    block_order_.resize(static_cast<size_t>(blocks_));
    std::iota(block_order_.begin(), block_order_.end(), 0u);
    std::shuffle(block_order_.begin(), block_order_.end(), std::mt19937_64(random()));
  }

  if (options().preempt_every > 0) accesses_to_preemption_ = options().preempt_every;
  checker.start_launch(launch);
  next_block();
  become(pick());
  running_ = &fibers.acquire();
  in_checked_kernel_ = launch.checked;
  launcher_ = operating_system_fiber();
  switch_fiber(launcher_, *running_);

  in_checked_kernel_ = false;
  checker.end_launch();
}

std::string Scheduler::take_failure() {
  if (!failure_) return "";
  std::string text = failure_();
  failure_ = nullptr;
  fibers.restart();
  forget_copies();
  std::fill(std::begin(warps), std::end(warps), Warp{});
  return text;
}

bool Scheduler::next_block() {
  if (blocks_started_ == blocks_) return false;
  block_ = block_order_.empty() ? blocks_started_ : block_order_[static_cast<size_t>(blocks_started_)];
  ++blocks_started_;
  const auto i = static_cast<uint64_t>(block_);
  const device::dim3& grid = launch_->grid;
  device::indices.block = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                           static_cast<unsigned>(i / grid.x / grid.y)};
  const int warp_count = ceil_div(block_threads, kLanes);
  for (int w = 0; w < warp_count; ++w) {
    const int lanes = std::min(kLanes, block_threads - w * kLanes);
    Warp& warp = warps[w];
    warp.exists = warp.alive = warp.runnable = ~0u >> (kLanes - lanes);
    warp.waiting = 0;
  }
  runnable_warps_ = ~0u >> (kLanes - warp_count);
  for (int t = 0; t < block_threads; ++t) {
    threads[t].fiber = nullptr;
    threads[t].waits_in = nullptr;
  }
  block_barrier = {};
  left = 0;
  shared_arena.start_block();
  checker.start_block();
  return true;
}

// --- Fibers ---

void Scheduler::run_threads() {
  fiber_starts();
  Scheduler& s = scheduler;
  for (;;) {
    s.threads[s.current_].fiber = s.running_;
    std::string thrown;
    try {
      s.launch_->run_thread(s.launch_->call);
    } catch (const std::exception& error) {
      thrown = error.what();
    }
    if (!thrown.empty()) s.stop([text = std::move(thrown)] { return this_thread() + " threw an exception: " + text; });
    s.thread_leaves();
  }
}

void Scheduler::thread_leaves() {
  finish_copies();
  Warp& warp = warps[current_ / kLanes];
  const uint32_t lane = 1u << (current_ % kLanes);
  if (warp.waiting != 0) {
    for (const WarpCollective& c : warp.pending) {
      if (c.arrived != 0 && (c.mask & lane) != 0) {
        stop([&c] {
          return this_thread() + " left the kernel although the mask of " + c.name + " at " + place(c.site) +
                 " names it: " + who_waits();
        });
      }
    }
  }
  if (block_barrier.arrived > 0) {
    stop([] { return this_thread() + " left the kernel without the barrier that others wait at: " + who_waits(); });
  }
  warp.alive &= ~lane;
  threads[current_].fiber = nullptr;
  ++left;

  int next = pick();
  if (next < 0 && left < block_threads) stop([] { return "deadlock: " + who_waits(); });
  if (next < 0 && next_block()) next = pick();
  Fiber* self = running_;
  if (next < 0) {  // the grid is done
    running_ = nullptr;
    fibers.release(*self);
    switch_fiber(*self, launcher_);
    return;  // resumes here in another launch
  }
  become(next);
  if (threads[next].fiber == nullptr) return;  // not started yet: it uses this stack
  running_ = threads[next].fiber;
  fibers.release(*self);
  switch_fiber(*self, *running_);
}

// The lowest thread that can run or, if the order is random, any that can run; -1 if there is none.
int Scheduler::pick() {
  if (runnable_warps_ == 0) return -1;
  int w, lane;
  if (random_order_) {
    const uint64_t r = random();
    const int turn = static_cast<int>(r >> 32 & (kLanes - 1));
    w = (std::countr_zero(std::rotr(runnable_warps_, turn)) + turn) % kLanes;
    const int turn_in_warp = static_cast<int>(r >> 40 & (kLanes - 1));
    lane = (std::countr_zero(std::rotr(warps[w].runnable, turn_in_warp)) + turn_in_warp) % kLanes;
  } else {
    w = std::countr_zero(runnable_warps_);
    lane = std::countr_zero(warps[w].runnable);
  }
  warps[w].runnable &= ~(1u << lane);
  if (warps[w].runnable == 0) runnable_warps_ &= ~(1u << w);
  return w * kLanes + lane;
}

void Scheduler::become(int thread) {
  current_ = thread;
  device::indices.thread = threads[thread].index;
}

void Scheduler::continue_with(int thread) {
  Fiber* self = running_;
  become(thread);
  if (threads[thread].fiber == nullptr) threads[thread].fiber = &fibers.acquire();
  running_ = threads[thread].fiber;
  switch_fiber(*self, *running_);
}

void Scheduler::make_runnable(int warp, uint32_t lanes) {
  warps[warp].runnable |= lanes;
  if (lanes != 0) runnable_warps_ |= 1u << warp;
}

void Scheduler::wait_in(const char* name, Site site, uint32_t mask) {
  Thread& thread = threads[current_];
  thread.waits_in = name;
  thread.waits_at = site;
  thread.waits_for = mask;
  const int next = pick();
  if (next < 0) stop([] { return "deadlock: " + who_waits(); });
  continue_with(next);
  thread.waits_in = nullptr;
}

void Scheduler::yield() {
  make_runnable(current_ / kLanes, 1u << (current_ % kLanes));
  const int self = current_, next = pick();
  if (next != self) continue_with(next);
}

void Scheduler::preempt() {
  if (options().preempt_every <= 0) {
    accesses_to_preemption_ = INT64_MAX;
    return;
  }
  accesses_to_preemption_ = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(2 * options().preempt_every));
  yield();
}

bool Scheduler::owns_stack(const void* address) const {
  return address >= running_->stack && address < running_->stack + running_->stack_bytes;
}

void Scheduler::leave_grid() {
  Fiber* self = running_;
  running_ = nullptr;
  switch_fiber(*self, launcher_);
  __builtin_unreachable();
}

uint64_t Scheduler::random() {  // xorshift64* (Vigna, 2016)
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return random_state_ * 0x2545f4914f6cdd1dull;
}

// --- Barriers and collectives ---

int Scheduler::barrier(const char* name, bool predicate, Site site) {
  BlockBarrier& b = block_barrier;
  if (left > 0) {
    stop([=] {
      return this_thread() + " waits in " + name + " at " + place(site) + ", but " + threads_that_left() +
             " left the kernel without it";
    });
  }
  if (b.arrived == 0) {
    b.name = name;
    b.site = site;
  } else if (b.name != name || !same_line(b.site, site)) {
    stop([=] {
      return "the threads of a block meet in different barriers: " + this_thread() + " arrives in " + name + " at " +
             place(site) + " while " + who_waits();
    });
  }
  b.count += predicate ? 1 : 0;
  if (++b.arrived < block_threads) {
    wait_in(name, site, 0);
    return b.result;
  }
  b.result = b.count;
  b.count = b.arrived = 0;
  for (int w = 0; w * kLanes < block_threads; ++w) make_runnable(w, warps[w].alive);
  Warp& warp = warps[current_ / kLanes];
  warp.runnable &= ~(1u << (current_ % kLanes));
  if (warp.runnable == 0) runnable_warps_ &= ~(1u << (current_ / kLanes));
  if (checker.watching()) checker.barrier();
  if (random_order_) yield();
  return b.result;  // of this barrier: the next one cannot open before all threads have returned from here
}

void Scheduler::warp_collective(const char* name, WarpOperation* operation, uint32_t mask, void* argument, Site site) {
  const int w = current_ / kLanes, lane = current_ % kLanes;
  const uint32_t self = 1u << lane;
  Warp& warp = warps[w];
  const uint32_t members = mask & warp.exists;
  if ((members & self) == 0) wrong_collective(name, mask, site, "its own lane is not in the mask");
  WarpCollective& c = warp.pending[std::countr_zero(members)];
  if (c.arrived == 0) {
    if ((members & ~warp.alive) != 0) wrong_collective(name, mask, site, "the mask names lanes that left the kernel");
    if ((members & warp.waiting) != 0) wrong_collective(name, mask, site, "the mask names lanes that wait elsewhere");
    c = {.name = name, .operation = operation, .mask = mask, .arrived = 0, .site = site};
  } else if (c.mask != mask || c.operation != operation || !same_line(c.site, site)) {
    wrong_collective(name, mask, site, "other lanes of the mask wait elsewhere");
  }
  warp.argument[lane] = argument;
  c.arrived |= self;
  if (c.arrived != members) {
    warp.waiting |= self;
    wait_in(name, site, mask);
    return;
  }
  operation(warp.argument, members);
  c.arrived = 0;
  warp.waiting &= ~members;
  make_runnable(w, members & ~self);
  if (random_order_) yield();
}

void Scheduler::wrong_collective(const char* name, uint32_t mask, Site site, std::string why) {
  stop([=, why = std::move(why)] {
    return this_thread() + " calls " + name + " at " + place(site) + " with mask " + hexadecimal(mask) + ", but " +
           why + ": " + who_waits();
  });
}

}  // namespace poise::emulator
