// Threads on the CPU. Work is cut into tasks whose number never depends on the number of threads, and each task writes
// its own output: so results have the same bits for any number of threads.
//
// The threads are our own (parallel.cpp). Beside other programs they lose little: a thread takes the next task when it
// is done with one, so a thread on a busy core holds up nobody, and who waits soon sleeps.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/core/integer.h"

namespace poise {

// Threads that a parallel loop may use, the caller's among them. At first as many as OMP_NUM_THREADS says, else as many
// as there are processors for this process.
int thread_count();
void set_thread_count(int64_t threads);  // 0: as at first. Not while a parallel loop runs.

// task(f, i) for i = 0..tasks-1; what parallel_for is made of.
void run_parallel(int64_t tasks, void (*task)(const void* f, int64_t i), const void* f);

// f(task) for task = 0..tasks-1, in any order and on any thread. Exceptions must not leave f. A loop inside of a task,
// or beside a loop of another thread, runs on the thread that asks for it.
template <class F>
void parallel_for(int64_t tasks, const F& f) {
  run_parallel(
      tasks, [](const void* g, int64_t task) { (*static_cast<const F*>(g))(task); }, &f);
}

// f(begin, end) over [0, n) in chunks of `grain` (the last may be shorter). The default suits element-wise loops:
// 64 KiB of f32, far above the cost of a task, small enough to balance.
constexpr int64_t kElementGrain = 16384;
template <class F>
void parallel_chunks(int64_t n, int64_t grain, const F& f) {
  parallel_for(ceil_div(n, grain), [&](int64_t chunk) { f(chunk * grain, std::min(n, (chunk + 1) * grain)); });
}

}  // namespace poise
