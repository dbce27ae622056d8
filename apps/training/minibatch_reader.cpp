#include "apps/training/minibatch_reader.h"

#include <cstring>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/train/gather_images.h"

namespace poise {

MinibatchReader::MinibatchReader(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order,
                                 const MinibatchSlots& slots, BeforeBatch before_batch)
    : images_(std::move(images)), order_(order), slots_(slots), before_batch_(std::move(before_batch)) {}

void MinibatchReader::start(uint64_t seed, uint64_t first) {
  stop();
  seed_ = seed;
  read_ = given_back_ = first;
  stopping_ = false;
  error_ = nullptr;
  thread_ = std::thread([this] { run(); });
}

void MinibatchReader::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();  // it finishes its current minibatch first
}

bool MinibatchReader::ready(uint64_t batch) const {
  const std::lock_guard lock(mutex_);
  return batch < read_;
}

void MinibatchReader::wait_for(uint64_t batch) {
  std::unique_lock lock(mutex_);
  require(batch < given_back_ + static_cast<uint64_t>(slots_.count), "a minibatch is waited for that has no slot");
  changed_.wait(lock, [&] { return batch < read_ || error_; });
  if (batch >= read_) std::rethrow_exception(error_);
}

void MinibatchReader::give_back(uint64_t end) {
  {
    const std::lock_guard lock(mutex_);
    given_back_ = end;
  }
  changed_.notify_all();
}

void MinibatchReader::run() {
  std::unique_lock lock(mutex_);
  try {
    while (true) {
      const uint64_t batch = read_;
      changed_.wait(lock, [&] { return stopping_ || batch < given_back_ + static_cast<uint64_t>(slots_.count); });
      if (stopping_) return;
      lock.unlock();
      if (before_batch_) before_batch_(batch);
      read(batch);
      lock.lock();
      read_ = batch + 1;
      changed_.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

void MinibatchReader::read(uint64_t batch) {
  const auto image_bytes = static_cast<size_t>(images_->height * images_->width * images_->channels);
  const auto batch_size = static_cast<uint64_t>(order_.batch_size);
  const uint64_t first = batch % static_cast<uint64_t>(slots_.count) * batch_size;
  for (uint64_t j = 0; j < batch_size; ++j) {
    const uint64_t image = gathered_image(seed_, static_cast<uint64_t>(images_->count),
                                          static_cast<uint64_t>(order_.batches_per_epoch), batch_size, batch, j);
    std::memcpy(slots_.pixels + (first + j) * image_bytes, images_->pixels.data() + image * image_bytes, image_bytes);
    if (slots_.labels) slots_.labels[first + j] = images_->labels[image];
  }
}

}  // namespace poise
