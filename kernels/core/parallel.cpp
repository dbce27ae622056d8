// A team of threads. Every thread has a contiguous share of a loop's tasks, so that loops over the same memory find it
// in the same cache. It takes its tasks one by one, and when it has none left, it takes tasks from other shares.
//
// Why it loses little time when other programs run:
//   - No loop waits for a thread that has not started. A loop is open from its first task until its caller finds none
//     left. The caller waits for threads that enter in between; a thread that comes later finds the loop closed.
//   - Waiting threads spin for a short time, because loops follow each other within microseconds, and then sleep,
//     because a spinning thread takes processor time from other programs.
//   - Worker threads avoid the caller's core. Woken there, they would interrupt the only thread that makes progress
//     between loops.
#include "kernels/core/parallel.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

namespace poise {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kCacheLine = 64;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A number whose changes threads wait for. Not std::atomic::wait, which yields before it sleeps and so gives up the
// rest of the thread's time slice: milliseconds if another program runs.
class Signal {
 public:
  std::atomic<uint32_t> value{0};

  // Call this after changing the value.
  void wake(int threads) {
    if (sleepers_.load() > 0) ::syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
  }

  // Waits until the value differs from `old`, and returns it.
  uint32_t wait(uint32_t old, std::chrono::microseconds spinning) {
    const auto start = Clock::now();
    do {
      for (int turn = 0; turn < 16; ++turn) {
        const uint32_t now = value.load(std::memory_order_acquire);
        if (now != old) return now;
        pause();
      }
    } while (Clock::now() - start < spinning);
    sleepers_.fetch_add(1);
    uint32_t now = 0;
    while ((now = value.load()) == old) ::syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
    sleepers_.fetch_sub(1);
    return now;
  }

 private:
  std::atomic<int> sleepers_{0};
};

thread_local bool inside_a_task = false;

class Team {
 public:
  explicit Team(int threads) : shares_(static_cast<size_t>(threads)) {}

  // Starts the worker threads (member 0 is the caller). They keep the team alive. They are never joined, so that
  // neither the end of the program nor a forked child waits for them.
  static std::shared_ptr<Team> assemble(int threads) {
    auto team = std::make_shared<Team>(threads);
    try {
      for (size_t member = 1; member < team->shares_.size(); ++member) {
        std::thread([team, member] { team->serve(member); }).detach();
      }
    } catch (const std::system_error&) {
      // No more threads are available: the existing ones do the work.
    }
    return team;
  }

  void disband() {
    disbanded_.store(true);
    loops_.value.fetch_add(1);
    loops_.wake(INT_MAX);
  }

  // Returns false if the team is busy with another loop.
  bool run(int64_t tasks, void (*task)(const void*, int64_t), const void* f) {
    if (busy_.test_and_set(std::memory_order_acquire)) return false;
    thread_local const pid_t id = ::gettid();
    caller_.store(id, std::memory_order_relaxed);
    caller_core_.store(::sched_getcpu(), std::memory_order_relaxed);
    task_ = task;
    f_ = f;
    const auto members = static_cast<int64_t>(shares_.size());
    for (int64_t m = 0; m < members; ++m) {
      Share& share = shares_[static_cast<size_t>(m)];
      share.next.store(m * tasks / members, std::memory_order_relaxed);
      share.end = (m + 1) * tasks / members;
    }
    inside_.value.store(kOpen, std::memory_order_release);
    loops_.value.fetch_add(1);
    loops_.wake(static_cast<int>(std::min(tasks, members) - 1));
    work(0);
    uint32_t inside = inside_.value.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while (inside != 0) inside = inside_.wait(inside, kSpins);
    busy_.clear(std::memory_order_release);
    return true;
  }

 private:
  struct alignas(kCacheLine) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  static constexpr uint32_t kOpen = uint32_t{1} << 31;
  // Longer than most tasks: a worker without tasks waits for the caller's last task, and then the next loop follows.
  // Workers that slept after 20 us made small layers 5 to 15% slower (bench/NOTES.md).
  static constexpr std::chrono::microseconds kSpins{150};

  void work(size_t member) {
    inside_a_task = true;
    for (size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(member + i) % shares_.size()];
      // Check before fetch_add: the other shares are usually empty by now, because their owners took all tasks.
      while (share.next.load(std::memory_order_relaxed) < share.end) {
        const int64_t mine = share.next.fetch_add(1, std::memory_order_relaxed);
        if (mine < share.end) task_(f_, mine);
      }
    }
    inside_a_task = false;
  }

  // Enters the current loop if it is open.
  bool enter() {
    uint32_t inside = inside_.value.load(std::memory_order_relaxed);
    while (inside & kOpen) {
      if (inside_.value.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  void serve(size_t member) {
    for (uint32_t seen = 0;;) {
      seen = loops_.wait(seen, kSpins);
      if (disbanded_.load()) return;
      keep_off_the_caller();
      if (!enter()) continue;
      work(member);
      if (inside_.value.fetch_sub(1) == 1) inside_.wake(1);
    }
  }

  // Leaves the caller's core if there are enough cores for the whole team. Usually costs only a comparison.
  void keep_off_the_caller() {
    const int core = ::sched_getcpu();
    if (core < 0 || core != caller_core_.load(std::memory_order_relaxed)) return;
    cpu_set_t cores;
    if (::sched_getaffinity(caller_.load(std::memory_order_relaxed), sizeof(cores), &cores) != 0) return;
    if (CPU_COUNT(&cores) < static_cast<int>(shares_.size())) return;
    CPU_CLR(core, &cores);
    ::sched_setaffinity(0, sizeof(cores), &cores);
  }

  // The current loop (there is only one at a time): its function, and each thread's share of its tasks.
  void (*task_)(const void*, int64_t) = nullptr;
  const void* f_ = nullptr;
  std::vector<Share> shares_;
  // The number of workers inside the loop, plus kOpen while more may enter. The caller changes the variables above only
  // while this is 0.
  alignas(kCacheLine) Signal inside_;
  alignas(kCacheLine) Signal loops_;  // number of loops so far
  std::atomic<pid_t> caller_{0};
  std::atomic<int> caller_core_{-1};
  std::atomic<bool> disbanded_{false};
  std::atomic_flag busy_;
};

int first_thread_count() {
  if (const char* variable = std::getenv("OMP_NUM_THREADS")) {
    const int count = std::atoi(variable);
    if (count > 0) return count;
  }
  cpu_set_t processors;
  if (::sched_getaffinity(0, sizeof(processors), &processors) == 0) return std::max(1, CPU_COUNT(&processors));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct Threads {
  int count = first_thread_count();
  std::shared_ptr<Team> team = Team::assemble(count);
};
// Never destroyed: worker threads outlive main().
Threads& threads() {
  static Threads& all = *new Threads;
  return all;
}

}  // namespace

int thread_count() { return threads().count; }

void set_thread_count(int64_t count) {
  Threads& all = threads();
  const int wanted = count > 0 ? static_cast<int>(count) : first_thread_count();
  if (wanted == all.count) return;
  all.team->disband();
  all.count = wanted;
  all.team = Team::assemble(wanted);
}

void run_parallel(int64_t tasks, void (*task)(const void*, int64_t), const void* f) {
  if (tasks > 1 && !inside_a_task && threads().count > 1 && threads().team->run(tasks, task, f)) return;
  for (int64_t i = 0; i < tasks; ++i) task(f, i);
}

}  // namespace poise
