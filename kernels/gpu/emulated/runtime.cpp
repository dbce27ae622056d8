#include "kernels/gpu/emulated/runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <utility>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/gpu/emulated/device_memory.h"
#include "kernels/gpu/emulated/stream.h"

namespace poise::emulator {
namespace {

using Work = std::function<void()>;

// How often an event has been recorded, and which of these records have been reached.
struct EventState {
  uint64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;  // when the latest was reached
};

struct HostEvent : gpu::Event {
  std::shared_ptr<EventState> state = std::make_shared<EventState>();
};

struct HostGraph : gpu::Graph {
  std::shared_ptr<const std::vector<Work>> work;
};

struct Item {
  Work work;
  std::shared_ptr<EventState> event;  // if set, work runs only after record number `needed` has been reached
  uint64_t needed = 0;
};

class HostRuntime;

class LazyStream final : public Stream {
 public:
  explicit LazyStream(HostRuntime& runtime);
  ~LazyStream() override;
  void submit(Work work) override;

  std::deque<Item> queue;
  std::vector<Work> captured;
  bool capturing = false;
  std::exception_ptr error;  // thrown by the stream's work; rethrown when the host waits

 private:
  HostRuntime& runtime_;
};

LazyStream& lazy(gpu::Stream& stream) { return static_cast<LazyStream&>(stream); }

class HostRuntime final : public Runtime {
 public:
  gpu::DeviceFacts facts() override {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    return {.name = "host emulation of a GPU",
            .memory_bytes = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * page,
            .free_bytes = static_cast<size_t>(::sysconf(_SC_AVPHYS_PAGES)) * page,
            .multiprocessors = 1};
  }

  void* allocate(size_t bytes) override {
    note_stall(&Counts::allocations, "allocation of device memory");
    const size_t size = std::max<size_t>(bytes, 1);
    void* p = ::mmap(nullptr, size, access(), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);  // zero-filled, page by page
    if (p == MAP_FAILED) {
      fail(ErrorKind::runtime, "out of memory: could not allocate " + std::to_string(bytes >> 20) +
                                   " MiB for the emulated device; use a smaller batch or width");
    }
    allocations_[p] = size;
    register_memory(p, bytes, Contents::defined);
    return p;
  }
  void release(void* bytes) noexcept override {
    if (defers(&Runtime::release, bytes)) return;
    const auto found = allocations_.find(bytes);
    if (found == allocations_.end()) return;
    drain_all();  // as cudaFree does: pending work may use the memory
    unregister_memory(bytes);
    ::munmap(bytes, found->second);
    allocations_.erase(found);
  }

  void* allocate_staging(size_t bytes) override {
    note_stall(&Counts::allocations, "allocation of staging memory");
    auto memory = std::make_unique<char[]>(std::max<size_t>(bytes, 1));
    void* p = memory.get();
    staging_.emplace(static_cast<char*>(p), std::pair(bytes, std::move(memory)));
    return p;
  }
  void release_staging(void* bytes) noexcept override {
    if (defers(&Runtime::release_staging, bytes)) return;
    drain_all();
    staging_.erase(static_cast<char*>(bytes));
  }

  std::unique_ptr<gpu::Stream> make_stream() override { return std::make_unique<LazyStream>(*this); }
  std::unique_ptr<gpu::Event> make_event() override { return std::make_unique<HostEvent>(); }

  void copy(gpu::Stream& stream, gpu::CopyKind kind, void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    if (kind == gpu::CopyKind::to_host) note_stall(&Counts::copies_to_host, "copy to the host");
    if (kind == gpu::CopyKind::to_device && !is_staging(from)) {
      if (capturing()) note_stall(&Counts::synchronizations, "copy from ordinary host memory");
      const auto* first = static_cast<const char*>(from);
      const std::vector<char> taken(first, first + bytes);
      return lazy(stream).submit([=] { std::memcpy(to, taken.data(), taken.size()); });
    }
    lazy(stream).submit([=] { std::memcpy(to, from, bytes); });
    if (kind != gpu::CopyKind::to_host || is_staging(to)) return;
    run_until([&] { return lazy(stream).queue.empty(); });
    throw_error(lazy(stream));
  }
  void fill(gpu::Stream& stream, void* to, unsigned char byte, size_t bytes) override {
    lazy(stream).submit([=] { std::memset(to, byte, bytes); });
  }

  void record(gpu::Event& event, gpu::Stream& stream) override {
    refuse_in_capture(stream, "an event was recorded");
    const auto state = static_cast<HostEvent&>(event).state;
    const uint64_t number = ++state->recorded;
    enqueue(lazy(stream), {.work = [=] {
              state->reached = std::max(state->reached, number);
              state->time = std::chrono::steady_clock::now();
            }});
  }
  void wait(gpu::Stream& stream, gpu::Event& event) override {
    refuse_in_capture(stream, "an event was waited for");
    const auto state = static_cast<HostEvent&>(event).state;
    enqueue(lazy(stream), {.work = [] {}, .event = state, .needed = state->recorded});
  }
  bool reached(gpu::Event& event) override {
    const auto state = static_cast<HostEvent&>(event).state;
    return state->reached >= state->recorded;
  }
  double seconds_between(gpu::Event& from, gpu::Event& to) override {
    const auto time = [](gpu::Event& event) { return static_cast<HostEvent&>(event).state->time; };
    return std::chrono::duration<double>(time(to) - time(from)).count();
  }

  void synchronize(gpu::Stream& stream) override {
    note_stall(&Counts::synchronizations, "synchronization");
    run_until([&] { return lazy(stream).queue.empty(); });
    throw_error(lazy(stream));
  }
  void synchronize(gpu::Event& event) override {
    note_stall(&Counts::synchronizations, "synchronization");
    const auto state = static_cast<HostEvent&>(event).state;
    const uint64_t number = state->recorded;
    run_until([&] { return state->reached >= number; });
  }
  void synchronize() override {
    note_stall(&Counts::synchronizations, "synchronization");
    drain_all();
    for (LazyStream* stream : streams_) throw_error(*stream);
  }

  void begin_capture(gpu::Stream& stream) override {
    require(!capturing_, "one capture at a time");
    capturing_ = lazy(stream).capturing = true;
    lazy(stream).captured.clear();
  }
  std::unique_ptr<gpu::Graph> end_capture(gpu::Stream& stream) override {
    require(lazy(stream).capturing, "end_capture() comes after begin_capture() on the same stream");
    auto graph = std::make_unique<HostGraph>();
    graph->work = std::make_shared<const std::vector<Work>>(std::move(lazy(stream).captured));
    lazy(stream).capturing = false;
    if (release_deferred()) fail(ErrorKind::runtime, kReleasedInCapture);
    return graph;
  }
  void cancel_capture(gpu::Stream& stream) noexcept override {
    lazy(stream).captured.clear();
    lazy(stream).capturing = false;
    release_deferred();
  }
  void replay(gpu::Graph& graph, gpu::Stream& stream) override {
    refuse_in_capture(stream, "a graph was replayed");
    const auto work = static_cast<HostGraph&>(graph).work;  // shared: pending replays survive the graph
    for (size_t i = 0; i < work->size(); ++i) enqueue(lazy(stream), {.work = [work, i] { (*work)[i](); }});
  }

  void seed(uint64_t value) override { seed_ = value, draws_ = 0; }
  void run_late(bool on) override { late_ = on; }
  void protect_memory(bool on) override {
    drain_all();
    protected_ = on;
    set_access();
  }

  void enqueue(LazyStream& stream, Item item) {
    stream.queue.push_back(std::move(item));
    if (late_) return;
    // Half of the time nothing runs yet; otherwise up to seven pieces of any work that can run.
    const uint32_t chance = draw();
    if (chance % 2 == 0) return;
    for (uint32_t i = 0; i < chance / 2 % 8 && run_one(); ++i) continue;
  }
  void add(LazyStream* stream) { streams_.push_back(stream); }
  void remove(LazyStream* stream) {
    run_until([&] { return stream->queue.empty(); });
    std::erase(streams_, stream);
  }

 private:
  int access() const { return protected_ && !running_ ? PROT_NONE : PROT_READ | PROT_WRITE; }
  void set_access() {
    for (const auto& [bytes, size] : allocations_) ::mprotect(bytes, size, access());
  }
  uint32_t draw() { return philox4x32(seed_, draws_++, static_cast<uint32_t>(RandomStream::test), 0).x[0]; }

  bool is_staging(const void* p) const {
    const auto* address = static_cast<const char*>(p);
    const auto after = staging_.upper_bound(const_cast<char*>(address));
    return after != staging_.begin() && address < std::prev(after)->first + std::prev(after)->second.first;
  }
  static void refuse_in_capture(gpu::Stream& stream, const char* what) {
    if (lazy(stream).capturing) fail(ErrorKind::runtime, std::string(what) + " while a step is captured: keep it out");
  }
  static void throw_error(LazyStream& stream) {
    if (stream.error) std::rethrow_exception(std::exchange(stream.error, nullptr));
  }

  static bool ready(const LazyStream& stream) {
    if (stream.queue.empty()) return false;
    const Item& next = stream.queue.front();
    return !next.event || next.event->reached >= next.needed;
  }
  // Runs the next piece of work of a stream that is chosen at random among those that can continue.
  bool run_one() {
    std::vector<LazyStream*> candidates;
    for (LazyStream* stream : streams_) {
      if (ready(*stream)) candidates.push_back(stream);
    }
    if (candidates.empty()) return false;
    LazyStream& stream = *candidates[candidates.size() == 1 ? 0 : draw() % candidates.size()];
    const Item item = std::move(stream.queue.front());
    stream.queue.pop_front();
    running_ = true;
    if (protected_) set_access();
    try {
      item.work();
    } catch (...) {
      if (!stream.error) stream.error = std::current_exception();
    }
    running_ = false;
    if (protected_) set_access();
    return true;
  }
  template <class Condition>
  void run_until(const Condition& condition) {
    while (!condition()) require(run_one(), "a stream waits for an event that nothing will reach");
  }
  void drain_all() {
    while (run_one()) continue;
  }

  std::map<void*, size_t> allocations_;
  std::map<char*, std::pair<size_t, std::unique_ptr<char[]>>> staging_;
  std::vector<LazyStream*> streams_;
  uint64_t seed_ = 1, draws_ = 0;
  bool late_ = false, protected_ = false, running_ = false;
};

LazyStream::LazyStream(HostRuntime& runtime) : runtime_(runtime) { runtime_.add(this); }
LazyStream::~LazyStream() { runtime_.remove(this); }
void LazyStream::submit(Work work) {
  if (capturing) {
    captured.push_back(std::move(work));
  } else {
    runtime_.enqueue(*this, {.work = std::move(work)});
  }
}

}  // namespace

Runtime& runtime() {
  static HostRuntime& host = *new HostRuntime;  // never destroyed: buffers of static lifetime release to it
  return host;
}

}  // namespace poise::emulator
