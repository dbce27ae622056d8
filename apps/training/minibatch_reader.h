// The host half of streaming (apps/training/minibatch_stream.h): a thread looks up the images of the next minibatches
// and copies them into a ring of slots, minibatch b into slot b % slots, as far ahead as slots are free. It is
// independent of devices.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "data/image_set.h"

namespace poise {

// How a data set is split into minibatches; kernels/train/gather_images.h has the formula.
struct MinibatchOrder {
  int64_t batch_size = 1, batches_per_epoch = 1;
};

// Host memory for minibatches, which outlives the reader.
struct MinibatchSlots {
  int64_t count = 0;
  uint8_t* pixels = nullptr;  // [count * batch_size, H, W, C]
  int32_t* labels = nullptr;  // [count * batch_size]; null: labels are not needed
};

// Only one thread at a time may call it.
class MinibatchReader {
 public:
  using BeforeBatch = std::function<void(uint64_t batch)>;

  // The thread calls `before_batch` before each minibatch; wait_for() rethrows what it throws.
  MinibatchReader(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order, const MinibatchSlots& slots,
                  BeforeBatch before_batch = {});
  ~MinibatchReader() { stop(); }
  MinibatchReader(const MinibatchReader&) = delete;
  MinibatchReader& operator=(const MinibatchReader&) = delete;

  // Starts reading this seed's minibatches at `first`. Discards what was read before and frees all slots.
  void start(uint64_t seed, uint64_t first);
  // Is minibatch `batch` in its slot?
  bool ready(uint64_t batch) const;
  // Waits until it is. Rethrows what the thread threw. `batch` must have a slot: it is below given-back + count.
  void wait_for(uint64_t batch);
  // Frees the slots of the minibatches before `end`.
  void give_back(uint64_t end);

 private:
  void run();
  void read(uint64_t batch);
  void stop() noexcept;

  const std::shared_ptr<const ImageSet> images_;
  const MinibatchOrder order_;
  const MinibatchSlots slots_;
  const BeforeBatch before_batch_;
  uint64_t seed_ = 0;
  mutable std::mutex mutex_;  // guards the members below, except thread_
  std::condition_variable changed_;
  uint64_t read_ = 0, given_back_ = 0;  // minibatches given_back_ .. read_ - 1 are in their slots
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace poise
