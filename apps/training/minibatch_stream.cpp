#include "apps/training/minibatch_stream.h"

#include <utility>

namespace poise {
namespace {

constexpr uint64_t kCount = MinibatchStream::kSlots;
// The number of staging slots that the reader always has to itself.
constexpr uint64_t kReadersShare = kCount / 2;

size_t slot_of(uint64_t batch) { return static_cast<size_t>(batch % kCount); }

// Host memory that the device copies from.
class Staging {
 public:
  Staging(gpu::Runtime& runtime, size_t bytes) : runtime_(runtime), bytes_(runtime.allocate_staging(bytes)) {}
  ~Staging() { runtime_.release_staging(bytes_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  void* bytes() const { return bytes_; }

 private:
  gpu::Runtime& runtime_;
  void* bytes_;
};

}  // namespace

struct MinibatchStream::Link {
  gpu::Runtime& runtime;
  gpu::Stream& steps;
  std::unique_ptr<gpu::Stream> copies = runtime.make_stream();
  Staging images, labels;
  // For each slot: the copy into it is done; the step that used its minibatch is done.
  std::vector<std::unique_ptr<gpu::Event>> arrived, taken;

  Link(gpu::Runtime& r, gpu::Stream& s, size_t image_bytes, size_t label_bytes)
      : runtime(r), steps(s), images(r, image_bytes), labels(r, label_bytes) {
    for (uint64_t i = 0; i < kCount; ++i) {
      arrived.push_back(runtime.make_event());
      taken.push_back(runtime.make_event());
    }
  }

  // Copies one slot of a ring from the host to the device.
  void copy(const Staging& from, const Tensor& to, size_t slot) {
    const size_t bytes = to.size_bytes() / kCount;
    runtime.copy(*copies, gpu::CopyKind::to_device, static_cast<char*>(to.bytes) + slot * bytes,
                 static_cast<const char*>(from.bytes()) + slot * bytes, bytes);
  }
};

size_t MinibatchStream::device_bytes(const MinibatchOrder& order, const Shape& image, bool labelled) {
  const int64_t label_bytes = labelled ? static_cast<int64_t>(sizeof(int32_t)) : 0;
  return static_cast<size_t>(kSlots * order.batch_size * (image.elements() + label_bytes));
}

MinibatchStream::MinibatchStream(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order, bool labelled,
                                 Device device, gpu::Stream* steps, MinibatchReader::BeforeBatch before_batch)
    : images_({kSlots * order.batch_size, images->height, images->width, images->channels}, DType::u8, device) {
  if (labelled) labels_ = OwnedTensor({kSlots * order.batch_size}, DType::i32, device);
  const size_t label_bytes = labelled ? labels_.tensor().size_bytes() : 0;
  if (steps) {
    link_ = std::make_unique<Link>(gpu::runtime(device), *steps, images_.tensor().size_bytes(), label_bytes);
  }
  void* pixels = link_ ? link_->images.bytes() : images_.tensor().bytes;
  void* classes = link_ ? link_->labels.bytes() : labels_.tensor().bytes;
  const MinibatchSlots slots{.count = kSlots,
                             .pixels = static_cast<uint8_t*>(pixels),
                             .labels = labelled ? static_cast<int32_t*>(classes) : nullptr};
  reader_ = std::make_unique<MinibatchReader>(std::move(images), order, slots, std::move(before_batch));
}

MinibatchStream::~MinibatchStream() {
  if (!link_) return;
  try {
    link_->runtime.synchronize();  // pending copies read the staging slots
  } catch (...) {
    // A failed device copies nothing more; its error was thrown by an earlier wait.
  }
}

void MinibatchStream::restart(const StepState& state) {
  if (link_) link_->runtime.synchronize();
  next_ = sent_ = returned_ = state.d_batches;
  reader_->start(state.seed, state.d_batches);
}

void MinibatchStream::wait_for_reader() {
  waits_.for_reader += reader_->ready(next_) ? 0 : 1;
  reader_->wait_for(next_);
}

void MinibatchStream::send(uint64_t batch) {
  const size_t slot = slot_of(batch);
  link_->runtime.wait(*link_->copies, *link_->taken[slot]);
  link_->copy(link_->images, images_.tensor(), slot);
  if (labels_) link_->copy(link_->labels, labels_.tensor(), slot);
  link_->runtime.record(*link_->arrived[slot], *link_->copies);
}

void MinibatchStream::before_step() {
  if (!link_) return wait_for_reader();
  gpu::Runtime& runtime = link_->runtime;
  while (returned_ < sent_ && runtime.reached(*link_->arrived[slot_of(returned_)])) ++returned_;
  for (; returned_ + kReadersShare <= next_; ++returned_, ++waits_.for_device) {
    runtime.synchronize(*link_->arrived[slot_of(returned_)]);
  }
  reader_->give_back(returned_);
  if (sent_ == next_) wait_for_reader();
  // A device slot is free for minibatch b once the step of b - kCount is done. That step has already been launched.
  while (sent_ < next_ + kCount && reader_->ready(sent_)) send(sent_++);
  runtime.wait(link_->steps, *link_->arrived[slot_of(next_)]);
}

void MinibatchStream::after_step() {
  if (link_) link_->runtime.record(*link_->taken[slot_of(next_)], link_->steps);
  ++next_;
  if (!link_) reader_->give_back(next_);
}

}  // namespace poise
