// Streams, events, captures and graphs. Nothing runs until somebody waits for it, and then in an order in which a GPU
// might have run it.
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
    std::shared_ptr<EventState> event;  // if set, work waits until the event has been reached this often
    uint64_t needed = 0;
  };
  bool blocking = true;  // waits for the legacy stream, which waits for it
  std::deque<Item> queue;
  std::shared_ptr<EventState> tail = std::make_shared<EventState>();
  // The first stream of a capture, or one that came to it by waiting for an event of it.
  bool capturing = false, invalidated = false;
  size_t lane = 0;
};

// What a capture keeps: work of its streams (lanes), and the events between them, by number.
struct Captured {
  size_t lane = 0;
  Work work;
  int records = -1, waits_for = -1;
};

struct Capture {
  struct Record {
    int number;
    size_t lane, end;  // of the work of the lane before it
  };
  std::vector<Stream*> lanes;  // the first began it
  std::vector<size_t> ends;    // how much work each has
  std::vector<Captured> work;
  std::map<const EventState*, Record> records;  // of each event the latest
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
  void destroy(Stream* stream);       // after what it has to do

  void submit(Stream& stream, Work work);
  void record(Stream& stream, const std::shared_ptr<EventState>& event);
  void wait(Stream& stream, const std::shared_ptr<EventState>& event);
  void replay(const Graph& graph, Stream& stream);
  bool run_until(const std::function<bool()>& condition);  // false if nothing can run any more
  void run_all();

  // The stream that this program captures, if any. Whatever is forbidden meanwhile invalidates the capture.
  Stream* capturing() const { return capturing_; }
  void begin_capture(Stream& stream);
  Capture end_capture();
  void capture(Stream& stream, Captured work);
  void record_captured(Stream& stream, const EventState& event);
  // False if the event is none of the capture's.
  bool wait_captured(Stream& stream, const EventState& event);

  // What the device answers from now on: an error of a kernel stays.
  cudaError_t broken = cudaSuccess;

 private:
  void enqueue(Stream& stream, Stream::Item item);
  bool run_one();
  uint32_t draw();

  Stream legacy_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> lanes_;  // where work of graphs runs beside their stream
  Stream* capturing_ = nullptr;
  Capture capture_;
  uint64_t random_ = 0;
};

std::recursive_mutex& one_call_at_a_time();

// Remembers the error for cudaGetLastError, and returns it.
cudaError_t answer(cudaError_t error);
cudaError_t refuse(cudaError_t error, const char* call, const std::string& why);
// For calls that a thread must not make while it captures: cudaErrorStreamCaptureUnsupported, and the capture is void.
cudaError_t unless_capturing(const char* call);

}  // namespace poise::stand_in
