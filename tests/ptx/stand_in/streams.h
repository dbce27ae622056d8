// Streams, events, captures and graphs. Work runs only when the program waits for it (in random orders, some runs
// earlier), in an order in which a GPU might have run it.
#pragma once
#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace poise::stand_in {

using Work = std::function<void()>;

struct EventState {
  uint64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;
};

struct Stream {
  struct Item {
    Work work;
    std::shared_ptr<EventState> event;  // if set, the work waits until event->reached >= needed
    uint64_t needed = 0;
  };
  bool blocking = true;  // the stream and the legacy stream wait for each other
  std::deque<Item> queue;
  std::shared_ptr<EventState> tail = std::make_shared<EventState>();
  // Capturing: the first stream of a capture, or one that joined it by waiting for one of its events.
  bool capturing = false, invalidated = false;
  size_t lane = 0;
};

// An item of a capture: work in one of its streams (lanes), or an event between them, by number.
struct Captured {
  size_t lane = 0;
  Work work;
  int records = -1, waits_for = -1;
};

struct Capture {
  struct Record {
    int number;
    size_t lane, end;  // end: the amount of work in the lane before the record
  };
  std::vector<Stream*> lanes;  // the first one began the capture
  std::vector<size_t> ends;    // amount of work per lane; 0 once the first lane has waited for all of it
  std::vector<Captured> work;
  std::map<const EventState*, Record> records;  // the latest one of each event
  int events = 0;
};

struct Graph {
  std::shared_ptr<const std::vector<Captured>> work;
  size_t lanes = 1;
  int events = 0;
};

class Streams {
 public:
  static Streams& instance();

  Stream* make(bool blocking);
  Stream* find(cudaStream_t handle);  // null if there is none; 0 and 1 are the legacy stream
  void destroy(Stream* stream);       // after its queued work

  void submit(Stream& stream, Work work);
  void record(Stream& stream, const std::shared_ptr<EventState>& event);
  void wait(Stream& stream, const std::shared_ptr<EventState>& event);
  void replay(const Graph& graph, Stream& stream);
  bool run_until(const std::function<bool()>& condition);  // false if nothing can run any more
  void run_all();

  // The stream that began the current capture, if any. A call that is forbidden meanwhile invalidates the capture.
  Stream* capturing() const { return capturing_; }
  void begin_capture(Stream& stream);
  Capture end_capture();
  void capture(Stream& stream, Captured work);
  void record_captured(Stream& stream, const EventState& event);
  // False if the event was not recorded in the capture.
  bool wait_captured(Stream& stream, const EventState& event);

  // The sticky error of the device: once a kernel has failed, calls return it.
  cudaError_t broken = cudaSuccess;

 private:
  void enqueue(Stream& stream, Stream::Item item);
  bool run_one();
  uint32_t draw();

  Stream legacy_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> lanes_;  // extra streams for the further lanes of a graph
  Stream* capturing_ = nullptr;
  Capture capture_;
  uint64_t random_ = 0;
};

std::recursive_mutex& one_call_at_a_time();

// Remembers the error for cudaGetLastError, and returns it.
cudaError_t answer(cudaError_t error);
cudaError_t refuse(cudaError_t error, const char* call, const std::string& why);
// For calls that are forbidden during a capture: returns cudaErrorStreamCaptureUnsupported and invalidates the capture.
cudaError_t unless_capturing(const char* call);

}  // namespace poise::stand_in
