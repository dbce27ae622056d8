// Progress of an evaluation: a line with the rate and the remaining time, at intervals.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace poise {

class ImageProgress {
 public:
  // `say` receives "reference: 1,200 of 10,000 images, 23.4 images/s, ETA 6m16s", at most every `seconds`.
  ImageProgress(std::string what, int64_t total, double seconds, std::function<void(const std::string&)> say);
  void done(int64_t images);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  int64_t total_;
  double seconds_;
  std::function<void(const std::string&)> say_;
  Clock::time_point started_ = Clock::now(), said_ = started_;
};

}  // namespace poise
