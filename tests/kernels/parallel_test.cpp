// The thread pool: every task runs exactly once, for any caller, and no loop waits forever.
#include "kernels/core/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

namespace poise {
namespace {

class ParallelTest : public testing::Test {
 protected:
  ~ParallelTest() override { set_thread_count(before_); }

 private:
  int before_ = thread_count();
};

// How often each task ran.
std::vector<int> runs_of(int64_t tasks) {
  std::vector<int> runs(static_cast<size_t>(tasks));
  parallel_for(tasks, [&](int64_t task) { ++runs[static_cast<size_t>(task)]; });
  return runs;
}

TEST_F(ParallelTest, EveryTaskRunsOnceForAnyNumberOfThreadsAndTasks) {
  for (const int threads : {1, 2, 3, 16}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    for (const int64_t tasks : {0, 1, 2, 3, 5, 16, 17, 1000}) {
      EXPECT_EQ(runs_of(tasks), std::vector<int>(static_cast<size_t>(tasks), 1)) << threads << " threads";
    }
  }
}

// Loops in immediate succession, and loops after pauses in which the worker threads go to sleep.
TEST_F(ParallelTest, WhatALoopWroteIsThereAfterIt) {
  set_thread_count(3);
  for (int loop = 0; loop < 20000; ++loop) {
    const std::vector<int> runs = runs_of(7);
    ASSERT_EQ(runs, std::vector<int>(7, 1)) << "loop " << loop;
    if (loop % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(ParallelTest, ChunksCoverTheRangeOnce) {
  set_thread_count(2);
  std::vector<int> runs(1001);
  parallel_chunks(1001, 100, [&](int64_t begin, int64_t end) {
    EXPECT_LE(end - begin, 100);
    for (int64_t i = begin; i < end; ++i) ++runs[static_cast<size_t>(i)];
  });
  EXPECT_EQ(runs, std::vector<int>(1001, 1));
}

// One thread sleeps in its first task: the other does all the rest.
TEST_F(ParallelTest, ASlowThreadDoesNotHoldUpTheOthersTasks) {
  set_thread_count(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> done = 0, done_by_others = 0;
  for (int attempt = 0; attempt < 100 && threads.size() < 2; ++attempt) {  // until the worker thread wakes up in time
    threads.clear();
    done = 0;
    std::thread::id slow;
    parallel_for(100, [&](int64_t) {
      const std::thread::id self = std::this_thread::get_id();
      {
        const std::lock_guard lock(mutex);
        threads.insert(self);
        if (threads.size() == 1) slow = self;
      }
      if (self == slow && done < 99) {
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
        while (done < 99 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
      }
      if (self != slow) ++done_by_others;
      ++done;
    });
    if (threads.size() == 2) {
      EXPECT_EQ(done, 100);
      EXPECT_EQ(done_by_others, 99);
    }
    done_by_others = 0;
  }
  EXPECT_EQ(threads.size(), 2U);
}

TEST_F(ParallelTest, LoopsInsideOfTasksAndBesideOtherLoopsRunToo) {
  set_thread_count(4);
  std::atomic<int> runs = 0;
  const auto nested = [&] {
    for (int loop = 0; loop < 100; ++loop) {
      parallel_for(8, [&](int64_t) { parallel_for(8, [&](int64_t) { ++runs; }); });
    }
  };
  std::thread other(nested);
  nested();
  other.join();
  EXPECT_EQ(runs, 2 * 100 * 64);
}

// A forked child has only its own thread.
TEST_F(ParallelTest, AForkedChildDoesTheWorkItself) {
  set_thread_count(3);
  EXPECT_EQ(runs_of(9), std::vector<int>(9, 1));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool alone = runs_of(9) == std::vector<int>(9, 1);
    set_thread_count(2);
    ::_exit(alone && runs_of(9) == std::vector<int>(9, 1) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace poise
