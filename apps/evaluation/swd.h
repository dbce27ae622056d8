// swd: the sliced Wasserstein distance between two sets of images, a simple measure of whether G gets closer to the
// data on a machine without a feature network.
//
//   swd(A, B) = mean over projections p of  mean_i | sort(A theta_p)_i - sort(B theta_p)_i |
//
// A, B: n images each, pixels x/127.5 - 1 flattened; theta_p: 256 random unit vectors that never change. Each term is
// the exact 1-Wasserstein distance between two one-dimensional samples. It reflects colours and coarse structure but
// little fine detail, and has no meaning outside Poise: compare it only between runs with the same data, image size and
// n. It is not FID and does not replace it. The distance between two disjoint halves of the data is its floor.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace poise {

class SlicedWasserstein {
 public:
  static constexpr int64_t kImages = 1024, kProjections = 256;

  // Keeps the projections of the reference images: `count` of `values` bytes each. If there are more than kImages, uses
  // kImages of them, spread evenly over the set.
  SlicedWasserstein(std::span<const uint8_t> reference, int64_t count, int64_t values);

  int64_t images() const { return images_; }  // number of images that distance() needs
  // Lower is better. The same bit for bit for any number of threads and any order of the images.
  double distance(std::span<const uint8_t> images) const;

 private:
  std::vector<double> sorted_projections(const std::vector<const uint8_t*>& images) const;

  int64_t images_ = 0, values_ = 0;
  std::vector<double> directions_;  // [kProjections, values]
  std::vector<double> reference_;   // [kProjections, images], each row sorted
};

}  // namespace poise
