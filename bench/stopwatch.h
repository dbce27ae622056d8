// Times launches, with the host's clock or with events in a GPU's stream.
#pragma once
#include <chrono>
#include <memory>

#include "kernels/core/memory.h"
#include "kernels/gpu/runtime.h"

namespace poise {

// On a GPU, each pass starts with a cold L2, after a fill of 256 MiB. The fill also keeps the GPU busy until the host
// has launched the whole pass, so that the events around it measure the GPU and not the host.
class Stopwatch {
 public:
  explicit Stopwatch(Device device) : runtime_(device == Device::cpu ? nullptr : &gpu::runtime(device)) {
    if (!runtime_) return;
    stream_ = runtime_->make_stream();
    begin_ = runtime_->make_event();
    end_ = runtime_->make_event();
    constexpr size_t kMoreThanL2 = size_t{256} << 20;
    if (device == Device::cuda) cold_ = Buffer(kMoreThanL2, device);
  }
  gpu::Stream* stream() const { return stream_.get(); }

  template <class Pass>
  double seconds_of(const Pass& pass) {
    const auto start = std::chrono::steady_clock::now();
    if (!runtime_) {
      pass();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (cold_.size() > 0) runtime_->fill(*stream_, cold_.bytes(), 0, cold_.size());
    runtime_->record(*begin_, *stream_);
    pass();
    runtime_->record(*end_, *stream_);
    runtime_->synchronize(*stream_);
    return runtime_->seconds_between(*begin_, *end_);
  }
  void wait() {
    if (runtime_) runtime_->synchronize(*stream_);
  }

 private:
  gpu::Runtime* runtime_;
  std::unique_ptr<gpu::Stream> stream_;
  std::unique_ptr<gpu::Event> begin_, end_;
  Buffer cold_;
};

}  // namespace poise
