// swd: the sliced Wasserstein distance between two sets of images, our small honest number for "does G get closer to
// the data" on a machine without a feature network.
//
//   swd(A, B) = mean over projections p of  mean_i | sort(A theta_p)_i - sort(B theta_p)_i |
//
// A, B: n images each, pixels x/127.5 - 1 flattened; theta_p: 256 random unit vectors, the same for ever. Each term is
// the exact 1-Wasserstein distance of two one-dimensional samples. It sees colours and coarse structure, little of fine
// detail, and has no meaning outside Poise: compare it only between runs with the same data, image size and n. It is
// not FID and not a replacement for it. Two disjoint halves of the data give its floor.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace poise {

class SlicedWasserstein {
 public:
  static constexpr int64_t kImages = 1024, kProjections = 256;

  // Keeps the projections of the reference images: `count` of `values` bytes each, taken evenly from the whole set if
  // there are more than kImages.
  SlicedWasserstein(std::span<const uint8_t> reference, int64_t count, int64_t values);

  int64_t images() const { return images_; }  // number of images that distance() needs
  // Lower is better. Same bits for any number of threads and any order of the images.
  double distance(std::span<const uint8_t> images) const;

 private:
  std::vector<double> sorted_projections(const std::vector<const uint8_t*>& images) const;

  int64_t images_ = 0, values_ = 0;
  std::vector<double> directions_;  // [kProjections, values]
  std::vector<double> reference_;   // [kProjections, images], each row sorted
};

}  // namespace poise
