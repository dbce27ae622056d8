// What the engine needs from a GPU in addition to kernels: memory, streams, graphs. One interface with two backends,
// the CUDA runtime (cuda/runtime.cpp) and a stand-in on the host (emulated/runtime.cpp), chosen by Device at run time.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/context.h"

namespace poise::gpu {

// An in-order queue of work. Launches return at once; errors of the work itself are reported by the next synchronize().
class Stream {
 public:
  virtual ~Stream() = default;
};

// A point in a stream that another stream, or the host, can wait for.
class Event {
 public:
  virtual ~Event() = default;
};

// The work of one capture; can be replayed any number of times.
class Graph {
 public:
  virtual ~Graph() = default;
};

struct DeviceFacts {
  std::string name;  // "NVIDIA H200"
  size_t memory_bytes = 0, free_bytes = 0;
  int multiprocessors = 0;
};

enum class CopyKind : uint8_t { to_device, to_host, on_device };

// Every failure throws: Error(environment) for a missing device, otherwise Error(runtime) naming the call. Not
// thread-safe: one thread at a time.
class Runtime {
 public:
  // Operations that stall a device, counted since the program began. A replayed step performs none of them.
  struct Counts {
    int64_t allocations = 0, copies_to_host = 0, synchronizations = 0;
    bool operator==(const Counts&) const = default;
  };

  virtual ~Runtime() = default;
  virtual DeviceFacts facts() = 0;

  // Zero-filled. Like everything that stalls, this fails while a stream is captured.
  virtual void* allocate(size_t bytes) = 0;
  // Waits for work that may use the memory. While a stream is captured nothing can be freed: end_capture() frees it,
  // and then throws in place of release(), which cannot.
  virtual void release(void* bytes) noexcept = 0;
  // Host memory that asynchronous copies access in place: the caller must wait before touching it again.
  virtual void* allocate_staging(size_t bytes) = 0;
  virtual void release_staging(void* bytes) noexcept = 0;

  virtual std::unique_ptr<Stream> make_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;

  // In stream order. When a copy between the device and ordinary host memory returns, it has read or written the host's
  // bytes; with staging memory that happens later.
  virtual void copy(Stream& stream, CopyKind kind, void* to, const void* from, size_t bytes) = 0;
  virtual void fill(Stream& stream, void* to, unsigned char byte, size_t bytes) = 0;
  virtual void record(Event& event, Stream& stream) = 0;
  virtual void wait(Stream& stream, Event& event) = 0;         // for its latest record; not at all if there is none
  virtual bool reached(Event& event) = 0;                      // its latest record, or there is none; does not wait
  virtual double seconds_between(Event& from, Event& to) = 0;  // both must have been reached

  virtual void synchronize(Stream& stream) = 0;
  virtual void synchronize(Event& event) = 0;
  virtual void synchronize() = 0;  // all streams

  // Work submitted to the stream between these two calls is recorded instead of run. One stream at a time.
  virtual void begin_capture(Stream& stream) = 0;
  virtual std::unique_ptr<Graph> end_capture(Stream& stream) = 0;
  virtual void cancel_capture(Stream& stream) noexcept = 0;  // drops the recorded work
  virtual void replay(Graph& graph, Stream& stream) = 0;     // the graph may be destroyed before it has run
  bool capturing() const { return capturing_; }

  // Marks the work that a profiler should look at, if it waits for that (ncu --profile-from-start off).
  virtual void begin_profile() {}
  virtual void end_profile() {}

  const Counts& counts() const { return counts_; }

 protected:
  // Called before anything that stalls: counts it, and throws if a stream is being captured.
  void note_stall(int64_t Counts::*what, const char* call) {
    if (capturing_) {
      fail(ErrorKind::runtime, std::string(call) +
                                   " while a step is captured: a step neither allocates nor waits nor copies to the "
                                   "host; do it before the step, or run with --no-graph");
    }
    ++(counts_.*what);
  }
  // For release() and release_staging(): true while a stream is captured; they are then called again when it ends.
  bool defers(void (Runtime::*again)(void*) noexcept, void* bytes) noexcept {
    if (capturing_) deferred_.emplace_back(again, bytes);
    return capturing_;
  }
  // Called when a capture has ended or failed. Returns whether anything had been released during it.
  bool release_deferred() noexcept {
    capturing_ = false;
    const auto released = std::exchange(deferred_, {});
    for (const auto& [again, bytes] : released) (this->*again)(bytes);
    return !released.empty();
  }
  static constexpr const char* kReleasedInCapture =
      "device memory was released while a step was captured: a step neither allocates nor frees; keep the tensor until "
      "the step is captured, or run with --no-graph";
  bool capturing_ = false;

 private:
  Counts counts_;
  std::vector<std::pair<void (Runtime::*)(void*) noexcept, void*>> deferred_;
};

// The only runtime of a device (not the CPU); lives as long as the program. Error(environment) if there is none.
Runtime& runtime(Device device);

bool built_with_cuda();
// Why a device cannot be used here and what to do about it; empty if it can.
std::string why_unavailable(Device device);

}  // namespace poise::gpu
