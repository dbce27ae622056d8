#include "tests/ptx/stand_in/streams.h"

#include <algorithm>
#include <utility>

#include "tests/ptx/stand_in/policy.h"

namespace poise::stand_in {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t take_last_error() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

}  // namespace

std::recursive_mutex& one_call_at_a_time() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}

cudaError_t answer(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t refuse(cudaError_t error, const char* call, const std::string& why) {
  complain(call, why);
  return answer(error);
}

cudaError_t unless_capturing(const char* call) {
  Stream* stream = Streams::instance().capturing();
  if (!stream) return cudaSuccess;
  stream->invalidated = true;
  return refuse(cudaErrorStreamCaptureUnsupported, call,
                "not permitted while a stream is capturing; the capture is invalidated");
}

Streams& Streams::instance() {
  static Streams& all = *new Streams;
  return all;
}

Stream* Streams::make(bool blocking) {
  streams_.push_back(std::make_unique<Stream>());
  streams_.back()->blocking = blocking;
  return streams_.back().get();
}

Stream* Streams::find(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &legacy_;
  for (const auto& stream : streams_) {
    if (reinterpret_cast<cudaStream_t>(stream.get()) == handle) return stream.get();
  }
  return nullptr;
}

void Streams::destroy(Stream* stream) {
  run_until([&] { return stream->queue.empty(); });
  std::erase_if(streams_, [&](const auto& s) { return s.get() == stream; });
}

uint32_t Streams::draw() {
  if (random_ == 0) random_ = policy().seed * 0x9e3779b97f4a7c15ull | 1;
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return static_cast<uint32_t>((random_ * 0x2545f4914f6cdd1dull) >> 32);
}

void Streams::enqueue(Stream& stream, Stream::Item item) {
  stream.queue.push_back(std::move(item));
  if (policy().order != ptx::Order::random || draw() % 2 == 0) return;
  for (uint32_t i = draw() % 4; i > 0 && run_one();) --i;
}

void Streams::submit(Stream& stream, Work work) {
  if (stream.capturing) return capture(stream, {.work = std::move(work)});
  // The legacy stream and the blocking streams wait for each other.
  if (&stream == &legacy_) {
    for (const auto& other : streams_) {
      if (other->blocking) wait(legacy_, other->tail);
    }
  } else if (stream.blocking) {
    wait(stream, legacy_.tail);
  }
  const std::shared_ptr<EventState> tail = stream.tail;
  const uint64_t number = ++tail->recorded;
  enqueue(stream, {[work = std::move(work), tail, number] {
                     work();
                     tail->reached = std::max(tail->reached, number);
                   },
                   nullptr, 0});
}

void Streams::record(Stream& stream, const std::shared_ptr<EventState>& event) {
  const uint64_t number = ++event->recorded;
  submit(stream, [event, number] {
    event->reached = std::max(event->reached, number);
    event->time = std::chrono::steady_clock::now();
  });
}

void Streams::wait(Stream& stream, const std::shared_ptr<EventState>& event) {
  if (event->reached < event->recorded) enqueue(stream, {[] {}, event, event->recorded});
}

void Streams::begin_capture(Stream& stream) {
  capturing_ = &stream;
  capture_ = {.lanes = {&stream}, .ends = {0}};
  stream.capturing = true;
  stream.invalidated = false;
  stream.lane = 0;
}

Capture Streams::end_capture() {
  for (Stream* stream : capture_.lanes) stream->capturing = false;
  capturing_ = nullptr;
  return std::exchange(capture_, {});
}

void Streams::capture(Stream& stream, Captured work) {
  work.lane = stream.lane;
  capture_.work.push_back(std::move(work));
  ++capture_.ends[stream.lane];
}

void Streams::record_captured(Stream& stream, const EventState& event) {
  capture_.records[&event] = {capture_.events, stream.lane, capture_.ends[stream.lane]};
  capture_.work.push_back({.lane = stream.lane, .records = capture_.events++});
}

bool Streams::wait_captured(Stream& stream, const EventState& event) {
  const auto found = capture_.records.find(&event);
  if (found == capture_.records.end()) return false;
  if (!stream.capturing) {
    stream.capturing = true;
    stream.lane = capture_.lanes.size();
    capture_.lanes.push_back(&stream);
    capture_.ends.push_back(0);
  }
  capture(stream, {.waits_for = found->second.number});
  // If the event covers all work of the other lane, the first lane has now joined it: no unjoined work is left there.
  const auto& [number, lane, end] = found->second;
  if (stream.lane == 0 && lane != 0 && capture_.ends[lane] == end) capture_.ends[lane] = 0;
  return true;
}

void Streams::replay(const Graph& graph, Stream& stream) {
  while (lanes_.size() + 1 < graph.lanes) lanes_.push_back(make(/*blocking=*/false));
  std::vector<std::shared_ptr<EventState>> events;
  for (int i = 0; i < graph.events; ++i) events.push_back(std::make_shared<EventState>());
  // The work is shared, so that a graph that has been launched still finishes after it is destroyed.
  for (size_t i = 0; i < graph.work->size(); ++i) {
    const Captured& item = (*graph.work)[i];
    Stream& lane = item.lane == 0 ? stream : *lanes_[item.lane - 1];
    if (item.records >= 0) {
      record(lane, events[static_cast<size_t>(item.records)]);
    } else if (item.waits_for >= 0) {
      wait(lane, events[static_cast<size_t>(item.waits_for)]);
    } else {
      submit(lane, [work = graph.work, i] { (*work)[i].work(); });
    }
  }
}

bool Streams::run_one() {
  std::vector<Stream*> ready;
  const auto look = [&](Stream& stream) {
    if (stream.queue.empty()) return;
    const Stream::Item& next = stream.queue.front();
    if (!next.event || next.event->reached >= next.needed) ready.push_back(&stream);
  };
  look(legacy_);
  for (const auto& stream : streams_) look(*stream);
  if (ready.empty()) return false;
  const ptx::Order order = policy().order;
  Stream& stream = *(order == ptx::Order::ascending    ? ready.front()
                     : order == ptx::Order::descending ? ready.back()
                                                       : ready[draw() % ready.size()]);
  const Stream::Item item = std::move(stream.queue.front());
  stream.queue.pop_front();
  item.work();
  return true;
}

bool Streams::run_until(const std::function<bool()>& condition) {
  while (!condition()) {
    if (!run_one()) return false;
  }
  return true;
}

void Streams::run_all() {
  while (run_one()) continue;
}

}  // namespace poise::stand_in

using namespace poise::stand_in;

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t error = take_last_error();
  return error == cudaSuccess ? Streams::instance().broken : error;
}
cudaError_t cudaPeekAtLastError() { return last_error == cudaSuccess ? Streams::instance().broken : last_error; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const std::lock_guard lock(one_call_at_a_time());
  if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) {
    return refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags", "unknown flags");
  }
  *stream = reinterpret_cast<cudaStream_t>(Streams::instance().make(flags == cudaStreamDefault));
  return answer(Streams::instance().broken);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const std::lock_guard lock(one_call_at_a_time());
  Stream* stream = Streams::instance().find(handle);
  if (!stream || !handle) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamDestroy", "no such stream");
  if (stream->capturing) Streams::instance().end_capture();
  Streams::instance().destroy(stream);
  return answer(Streams::instance().broken);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaStreamSynchronize")) return error;
  Streams& streams = Streams::instance();
  Stream* stream = streams.find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamSynchronize", "no such stream");
  if (!streams.run_until([&] { return stream->queue.empty(); })) {
    return refuse(cudaErrorUnknown, "cudaStreamSynchronize", "a stream waits for work that will never run");
  }
  return answer(streams.broken);
}

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaDeviceSynchronize")) return error;
  Streams::instance().run_all();
  return answer(Streams::instance().broken);
}

struct CUevent_st {
  std::shared_ptr<EventState> state = std::make_shared<EventState>();
};

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return answer(Streams::instance().broken);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return answer(Streams::instance().broken);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const std::lock_guard lock(one_call_at_a_time());
  Stream* stream = Streams::instance().find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord", "no such stream");
  if (stream->capturing) {
    Streams::instance().record_captured(*stream, *event->state);
  } else {
    Streams::instance().record(*stream, event->state);
  }
  return answer(Streams::instance().broken);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(one_call_at_a_time());
  Stream* stream = Streams::instance().find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamWaitEvent", "no such stream");
  if (Streams::instance().capturing() && Streams::instance().wait_captured(*stream, *event->state)) {
    return answer(Streams::instance().broken);
  }
  if (stream->capturing) {
    Streams::instance().capturing()->invalidated = true;
    return refuse(cudaErrorStreamCaptureIsolation, "cudaStreamWaitEvent", "the event was not recorded in this capture");
  }
  Streams::instance().wait(*stream, event->state);
  return answer(Streams::instance().broken);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaEventQuery")) return error;
  if (Streams::instance().broken != cudaSuccess) return answer(Streams::instance().broken);
  return answer(event->state->reached >= event->state->recorded ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaEventSynchronize")) return error;
  const uint64_t number = event->state->recorded;
  if (!Streams::instance().run_until([&] { return event->state->reached >= number; })) {
    return refuse(cudaErrorUnknown, "cudaEventSynchronize", "nothing will reach this event");
  }
  return answer(Streams::instance().broken);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const std::lock_guard lock(one_call_at_a_time());
  for (const cudaEvent_t event : {from, to}) {
    if (event->state->recorded == 0) {
      return refuse(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime", "an event was never recorded");
    }
    if (event->state->reached < event->state->recorded) {
      return refuse(cudaErrorNotReady, "cudaEventElapsedTime", "an event has not been reached");
    }
  }
  *milliseconds = std::chrono::duration<float, std::milli>(to->state->time - from->state->time).count();
  return answer(Streams::instance().broken);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(one_call_at_a_time());
  Streams& streams = Streams::instance();
  Stream* stream = streams.find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, "cudaStreamBeginCapture", "no such stream");
  if (!handle) return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture", "not of the legacy stream");
  if (streams.capturing()) return refuse(cudaErrorIllegalState, "cudaStreamBeginCapture", "one capture at a time");
  if (mode == cudaStreamCaptureModeRelaxed) {
    return refuse(cudaErrorInvalidValue, "cudaStreamBeginCapture", "relaxed captures are not known here");
  }
  streams.begin_capture(*stream);
  return answer(streams.broken);
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const std::lock_guard lock(one_call_at_a_time());
  Streams& streams = Streams::instance();
  Stream* stream = streams.find(handle);
  *graph = nullptr;
  if (!stream || !stream->capturing)
    return refuse(cudaErrorIllegalState, "cudaStreamEndCapture", "nothing is captured");
  if (stream != streams.capturing()) {
    streams.capturing()->invalidated = true;
    return refuse(cudaErrorStreamCaptureUnmatched, "cudaStreamEndCapture", "another stream began the capture");
  }
  Capture capture = streams.end_capture();
  if (stream->invalidated) return answer(cudaErrorStreamCaptureInvalidated);
  if (std::any_of(capture.ends.begin() + 1, capture.ends.end(), [](size_t end) { return end > 0; })) {
    return refuse(cudaErrorStreamCaptureUnjoined, "cudaStreamEndCapture",
                  "the first stream of the capture has not waited for the last work of another");
  }
  *graph = reinterpret_cast<cudaGraph_t>(new Graph{
      std::make_shared<const std::vector<Captured>>(std::move(capture.work)), capture.lanes.size(), capture.events});
  return answer(streams.broken);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard lock(one_call_at_a_time());
  *exec = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
  return answer(Streams::instance().broken);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return answer(Streams::instance().broken);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete reinterpret_cast<Graph*>(exec);
  return answer(Streams::instance().broken);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  const std::lock_guard lock(one_call_at_a_time());
  Stream* stream = Streams::instance().find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, "cudaGraphLaunch", "no such stream");
  if (stream->capturing) {
    Streams::instance().capturing()->invalidated = true;
    return refuse(cudaErrorStreamCaptureUnsupported, "cudaGraphLaunch", "a graph in a graph is not known here");
  }
  Streams::instance().replay(*reinterpret_cast<Graph*>(exec), *stream);
  return answer(Streams::instance().broken);
}

}  // extern "C"
