#include "apps/evaluation/image_progress.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/console/progress.h"

namespace poise {

ImageProgress::ImageProgress(std::string what, int64_t total, double seconds,
                             std::function<void(const std::string&)> say)
    : what_(std::move(what)), total_(total), seconds_(seconds), say_(std::move(say)) {}

void ImageProgress::done(int64_t images) {
  const Clock::time_point now = Clock::now();
  if (images == 0 || std::chrono::duration<double>(now - said_).count() < seconds_) return;
  said_ = now;
  const double rate = static_cast<double>(images) / std::chrono::duration<double>(now - started_).count();
  say_(fmt::format("{}: {} of {} images, {} images/s, ETA {}", what_, format_count(images), format_count(total_),
                   rate < 10 ? fmt::format("{:.1f}", rate) : format_count(std::llround(rate)),
                   format_duration(static_cast<double>(total_ - images) / rate)));
}

}  // namespace poise
