#include "apps/evaluation/swd.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "kernels/train/random.h"

namespace poise {
namespace {

constexpr uint64_t kDirectionSeed = 20230001;  // never to change: numbers of different versions stay comparable

// Sums of a fixed shape: eight lanes that a compiler can keep in one register, added at the end in order.
constexpr int64_t kLanes = 8;

double dot(const double* direction, const double* x, int64_t count) {
  double lanes[kLanes] = {};
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += direction[i + lane] * x[i + lane];
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (int64_t i = whole; i < count; ++i) sum += direction[i] * x[i];
  return sum;
}

}  // namespace

SlicedWasserstein::SlicedWasserstein(std::span<const uint8_t> reference, int64_t count, int64_t values)
    : images_(std::min(count, kImages)), values_(values), directions_(static_cast<size_t>(kProjections * values)) {
  require(count > 0 && static_cast<int64_t>(reference.size()) == count * values,
          "swd reference of count x values bytes");
  parallel_for(kProjections, [&](int64_t p) {
    double* direction = directions_.data() + p * values_;
    normal_on_host(kDirectionSeed, RandomStream::metric, static_cast<uint64_t>(p), values_, direction);
    const double length = std::sqrt(dot(direction, direction, values_));
    for (int64_t i = 0; i < values_; ++i) direction[i] /= length;
  });
  std::vector<const uint8_t*> chosen;  // data sets may be sorted by class: spread the choice
  for (int64_t i = 0; i < images_; ++i) chosen.push_back(reference.data() + i * count / images_ * values);
  reference_ = sorted_projections(chosen);
}

std::vector<double> SlicedWasserstein::sorted_projections(const std::vector<const uint8_t*>& images) const {
  std::vector<double> pixels(static_cast<size_t>(images_ * values_));
  std::vector<double> rows(static_cast<size_t>(kProjections * images_));  // [kProjections, images]
  parallel_for(images_, [&](int64_t image) {
    double* x = pixels.data() + image * values_;
    for (int64_t i = 0; i < values_; ++i) x[i] = images[static_cast<size_t>(image)][i] / 127.5 - 1;
  });
  // A task takes a few images to all projections: the directions pass through the cache once per task, not per image.
  parallel_chunks(images_, 16, [&](int64_t first, int64_t last) {
    for (int64_t p = 0; p < kProjections; ++p) {
      for (int64_t image = first; image < last; ++image) {
        rows[static_cast<size_t>(p * images_ + image)] =
            dot(directions_.data() + p * values_, pixels.data() + image * values_, values_);
      }
    }
  });
  parallel_for(kProjections,
               [&](int64_t p) { std::sort(rows.begin() + p * images_, rows.begin() + (p + 1) * images_); });
  return rows;
}

double SlicedWasserstein::distance(std::span<const uint8_t> images) const {
  require(static_cast<int64_t>(images.size()) == images_ * values_, "swd compares equally many images");
  std::vector<const uint8_t*> all;
  for (int64_t i = 0; i < images_; ++i) all.push_back(images.data() + i * values_);
  const std::vector<double> rows = sorted_projections(all);
  std::vector<double> means(kProjections);
  parallel_for(kProjections, [&](int64_t p) {
    double sum = 0;
    for (int64_t i = p * images_; i < (p + 1) * images_; ++i) {
      sum += std::abs(rows[static_cast<size_t>(i)] - reference_[static_cast<size_t>(i)]);
    }
    means[static_cast<size_t>(p)] = sum / static_cast<double>(images_);
  });
  double sum = 0;
  for (const double mean : means) sum += mean;
  return sum / kProjections;
}

}  // namespace poise
