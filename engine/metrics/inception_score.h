// The Inception Score (Salimans et al. 2016): over `splits` consecutive parts of the images,
//
//   s = exp( mean_x  sum_c p(c|x) (log p(c|x) - log mean_x p(c)) ),   p = softmax over all logits
//
// The result is the mean of the parts' scores and their standard deviation (dividing by the number of parts, as usual).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace poise {

struct InceptionScore {
  double mean = 0, deviation = 0;
  int64_t splits = 0;
  std::vector<std::string> warnings;
};

struct InceptionScoreOptions {
  int64_t splits = 10;  // part i: rows i*n/splits up to (i+1)*n/splits
  // Images sorted by class have to be shuffled: otherwise each part has one class, and its score is far too low. The
  // paper's code does not shuffle generated images.
  std::optional<uint64_t> shuffle_seed;
};

// logits [n, classes]. Error(data) for fewer images than splits, Error(runtime) for logits that are not finite.
InceptionScore inception_score(std::span<const float> logits, int64_t classes, const InceptionScoreOptions& options);

// 0 .. n-1 in a random order that depends on n and seed alone (Fisher-Yates on Philox).
std::vector<int64_t> random_order(int64_t n, uint64_t seed);

}  // namespace poise
