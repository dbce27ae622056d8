// The host's half of streaming (apps/training/minibatch_stream.h): a thread that finds out which images the next minibatches are
// made of and copies them into a ring of slots, minibatch b into slot b % slots, as far ahead as slots are free. It
// knows nothing of devices.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "data/image_set.h"

namespace poise {

// How a data set is cut into minibatches: kernels/train/gather_images.h has the formula.
struct MinibatchOrder {
  int64_t batch_size = 1, batches_per_epoch = 1;
};

// Host memory for minibatches, which outlives the reader.
struct MinibatchSlots {
  int64_t count = 0;
  uint8_t* pixels = nullptr;  // [count * batch_size, H, W, C]
  int32_t* labels = nullptr;  // [count * batch_size], or null: not wanted
};

// One thread at a time calls it.
class MinibatchReader {
 public:
  using BeforeBatch = std::function<void(uint64_t batch)>;

  // `before_batch` is called by the thread before each minibatch; what it throws, wait_for() throws.
  MinibatchReader(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order, const MinibatchSlots& slots,
                  BeforeBatch before_batch = {});
  ~MinibatchReader() { stop(); }
  MinibatchReader(const MinibatchReader&) = delete;
  MinibatchReader& operator=(const MinibatchReader&) = delete;

  // Reads the minibatches of this seed from `first` on; what was read before is forgotten, all slots are free.
  void start(uint64_t seed, uint64_t first);
  // Is minibatch `batch` in its slot?
  bool ready(uint64_t batch) const;
  // Until it is. Throws what the thread threw. It must have a slot: `batch` is below given-back + count.
  void wait_for(uint64_t batch);
  // Minibatches before `end` are no longer needed.
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
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  uint64_t read_ = 0, given_back_ = 0;  // the minibatches from given_back_ to before read_ are in their slots
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace poise
