// Improved precision and recall (Kynkaanniemi et al. 2019). Each image of a set is the centre of a ball whose radius is
// the distance to its k-th nearest neighbour in that set, not counting itself; the balls together represent the set.
//
//   precision = share of the generated images that lie in a ball of a reference image: are they good?
//   recall    = share of the reference images that lie in a ball of a generated image: are they all there?
//
// A ball includes its boundary (distance <= radius). Distances are sums of squares in double over the dimensions in
// order, not |x|^2 + |y|^2 - 2 x.y, which is zero only up to rounding where images repeat and a radius is zero, so that
// membership would be a matter of chance. As it is, equal rows are at distance zero, d(x, y) is d(y, x), and neither
// the order of images nor the number of threads changes a bit.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace poise {

struct PrecisionRecall {
  double precision = 0, recall = 0;
  int64_t neighbours = 0;
  std::vector<std::string> warnings;

  // One number for both, low unless both are high, zero if both are zero; not from the paper.
  double harmonic_mean() const;
};

// The paper compares sets of 50,000 images; with fewer than this in either set there is a warning.
constexpr int64_t kPrecisionRecallImages = 10000;

struct PrecisionRecallOptions {
  int64_t neighbours = 3;  // k, as in the paper
};

// generated [n, dims], reference [m, dims]. Computes n n + m m + n m distances; needs memory for n + m numbers and a
// small tile per thread in addition to the features. Error(data) unless both sets have more than k images,
// Error(runtime) for features that are not finite.
PrecisionRecall precision_recall(std::span<const float> generated, std::span<const float> reference, int64_t dims,
                                 const PrecisionRecallOptions& options);

}  // namespace poise
