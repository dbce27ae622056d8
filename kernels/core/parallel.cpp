// A team of threads. Every thread has a share of a loop's tasks, neighbours, so that loops over the same memory find it
// in the same cache. It takes them one by one, and when it has none left it takes those of others.
//
// What makes it lose little beside other programs:
//   - Nobody waits for a thread that has not begun. A loop is open between its first task and the moment when its caller
//     finds none left. Who enters in between is waited for; who comes later finds it closed.
//   - Waiting is spinning for a short time, because loops follow each other within microseconds, and then sleeping,
//     because a thread that spins takes the time of other programs.
//   - Members keep off the core of the caller. Wakened there, they would interrupt the only thread that makes progress
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

// A number that threads wait for. Not std::atomic::wait: that yields before it sleeps and so gives away the rest of the
// thread's turn, milliseconds beside another program.
class Signal {
 public:
  std::atomic<uint32_t> value{0};

  // After a change of the value.
  void wake(int threads) {
    if (sleepers_.load() > 0) ::syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
  }

  // Returns when the value is no longer `old`, with what it is.
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

  // The members besides the caller. They keep the team alive; none is ever joined, so that neither the end of the
  // program nor a forked child waits for one.
  static std::shared_ptr<Team> assemble(int threads) {
    auto team = std::make_shared<Team>(threads);
    try {
      for (size_t member = 1; member < team->shares_.size(); ++member) {
        std::thread([team, member] { team->serve(member); }).detach();
      }
    } catch (const std::system_error&) {
      // No more threads to be had: the others do the work.
    }
    return team;
  }

  void disband() {
    disbanded_.store(true);
    loops_.value.fetch_add(1);
    loops_.wake(INT_MAX);
  }

  // False if the team is busy with another loop.
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
  // Longer than most tasks: a member that has none left waits for the caller's last one, and then the next loop follows.
  // Members that slept after 20 us made small layers 5 to 15% slower (bench/NOTES.md).
  static constexpr std::chrono::microseconds kSpins{150};

  void work(size_t member) {
    inside_a_task = true;
    for (size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(member + i) % shares_.size()];
      // Looked at before taken, for the shares of others have mostly been emptied by their owners.
      while (share.next.load(std::memory_order_relaxed) < share.end) {
        const int64_t mine = share.next.fetch_add(1, std::memory_order_relaxed);
        if (mine < share.end) task_(f_, mine);
      }
    }
    inside_a_task = false;
  }

  // Into a loop that is open.
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

  // Where there are cores for everybody. Seldom more than a comparison.
  void keep_off_the_caller() {
    const int core = ::sched_getcpu();
    if (core < 0 || core != caller_core_.load(std::memory_order_relaxed)) return;
    cpu_set_t cores;
    if (::sched_getaffinity(caller_.load(std::memory_order_relaxed), sizeof(cores), &cores) != 0) return;
    if (CPU_COUNT(&cores) < static_cast<int>(shares_.size())) return;
    CPU_CLR(core, &cores);
    ::sched_setaffinity(0, sizeof(cores), &cores);
  }

  // One loop at a time: what it does, who has which tasks, ..
  void (*task_)(const void*, int64_t) = nullptr;
  const void* f_ = nullptr;
  std::vector<Share> shares_;
  // .. and how many members are in it, with kOpen while more may come. The caller writes what stands above while there
  // are none.
  alignas(kCacheLine) Signal inside_;
  alignas(kCacheLine) Signal loops_;  // so far
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
// Never destroyed: members outlive main().
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
