// Threads on the CPU. Work is cut into tasks whose number never depends on the number of threads, and each task writes
// its own output: so results have the same bits for any OMP_NUM_THREADS.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/core/integer.h"

namespace poise {

// f(task) for task = 0..tasks-1, in any order and on any thread. Exceptions must not leave f.
template <class F>
void parallel_for(int64_t tasks, const F& f) {
#pragma omp parallel for schedule(static) if (tasks > 1)
  for (int64_t task = 0; task < tasks; ++task) f(task);
}

// f(begin, end) over [0, n) in chunks of `grain` (the last may be shorter). The default suits element-wise loops:
// 64 KiB of f32, far above the cost of a task, small enough to balance.
constexpr int64_t kElementGrain = 16384;
template <class F>
void parallel_chunks(int64_t n, int64_t grain, const F& f) {
  parallel_for(ceil_div(n, grain), [&](int64_t chunk) { f(chunk * grain, std::min(n, (chunk + 1) * grain)); });
}

}  // namespace poise
