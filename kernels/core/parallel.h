// Threads on the CPU. Work is cut into tasks whose number never depends on the number of threads, and each task writes
// its own output, so results have the same bits for any number of threads.
//
// The threads are our own (parallel.cpp). They lose little time when other programs run: a thread takes its next task
// when it has finished one, so a thread on a busy core delays no other, and waiting threads soon sleep.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/core/integer.h"

namespace poise {

// The number of threads that a parallel loop may use, including the caller. Initially OMP_NUM_THREADS or, if that is
// not set, the number of processors available to this process.
int thread_count();
void set_thread_count(int64_t threads);  // 0: the initial number. Not while a parallel loop runs.

// Calls task(f, i) for i = 0..tasks-1. The basis of parallel_for.
void run_parallel(int64_t tasks, void (*task)(const void* f, int64_t i), const void* f);

// Calls f(task) for task = 0..tasks-1, in any order and on any thread. f must not throw. A loop inside a task, or one
// that starts while another thread runs a loop, runs on the calling thread alone.
template <class F>
void parallel_for(int64_t tasks, const F& f) {
  run_parallel(
      tasks, [](const void* g, int64_t task) { (*static_cast<const F*>(g))(task); }, &f);
}

// Calls f(begin, end) over [0, n) in chunks of `grain` (the last may be shorter). The default suits element-wise loops:
// 64 KiB of f32 is large compared with the cost of a task, and small enough to balance.
constexpr int64_t kElementGrain = 16384;
template <class F>
void parallel_chunks(int64_t n, int64_t grain, const F& f) {
  parallel_for(ceil_div(n, grain), [&](int64_t chunk) { f(chunk * grain, std::min(n, (chunk + 1) * grain)); });
}

}  // namespace poise
