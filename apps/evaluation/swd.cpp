#include "apps/evaluation/swd.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/train/random.h"

namespace poise {
namespace {

constexpr uint64_t kDirectionSeed = 20230001;  // must never change: keeps values of different versions comparable

// Sums have a fixed order: eight lanes, which a compiler can keep in one register, are added in order at the end.
constexpr int64_t kLanes = 8;
using Lanes [[gnu::vector_size(kLanes * sizeof(double))]] = double;
// Images processed at once. Their independent sums hide the latency of additions, and a direction is read once for all.
constexpr int64_t kImagesAtOnce = 4;

// sums[i] = direction . x_i for i < `images`. The x_i are stored one after the other, `count` values each.
template <int64_t images>
void dots(const double* direction, const double* x, int64_t count, double* sums) {
  Lanes lanes[images] = {};
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    Lanes left, right;
    std::memcpy(&left, direction + i, sizeof left);
    for (int64_t image = 0; image < images; ++image) {
      std::memcpy(&right, x + image * count + i, sizeof right);
      lanes[image] += left * right;
    }
  }
  for (int64_t image = 0; image < images; ++image) {
    double sum = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[image][lane];
    for (int64_t i = whole; i < count; ++i) sum += direction[i] * x[image * count + i];
    sums[image] = sum;
  }
}

// sums[p][i], in rows of `images` values, for images `first` to `last` and all directions p.
void project(const double* directions, const double* pixels, int64_t values, int64_t first, int64_t last,
             int64_t images, double* sums) {
  for (int64_t p = 0; p < SlicedWasserstein::kProjections; ++p) {
    const double* direction = directions + p * values;
    double* row = sums + p * images;
    int64_t i = first;
    for (; i + kImagesAtOnce <= last; i += kImagesAtOnce)
      dots<kImagesAtOnce>(direction, pixels + i * values, values, row + i);
    for (; i < last; ++i) dots<1>(direction, pixels + i * values, values, row + i);
  }
}

}  // namespace

SlicedWasserstein::SlicedWasserstein(std::span<const uint8_t> reference, int64_t count, int64_t values)
    : images_(std::min(count, kImages)), values_(values), directions_(static_cast<size_t>(kProjections * values)) {
  require(count > 0 && static_cast<int64_t>(reference.size()) == count * values,
          "swd reference of count x values bytes");
  parallel_for(kProjections, [&](int64_t p) {
    double* direction = directions_.data() + p * values_;
    normal_on_host(kDirectionSeed, RandomStream::metric, static_cast<uint64_t>(p), values_, direction);
    double square = 0;
    dots<1>(direction, direction, values_, &square);
    const double length = std::sqrt(square);
    for (int64_t i = 0; i < values_; ++i) direction[i] /= length;
  });
  std::vector<const uint8_t*> chosen;  // spread evenly, as data sets may be sorted by class
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
  // A task projects a few images onto all directions, so that directions are loaded into the cache once per task.
  const double *directions = directions_.data(), *x = pixels.data();
  double* sums = rows.data();
  const int64_t values = values_, count = images_;
  simd_chunks(images_, 32,
              [=](int64_t first, int64_t last) { project(directions, x, values, first, last, count, sums); });
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
