// For tests of metrics: random rows of features, and arrays computed by NumPy and SciPy.
#pragma once
#include <string>
#include <vector>

#include "engine/io/npz.h"
#include "engine/metrics/moments.h"
#include "kernels/train/random.h"

namespace poise::test {

inline std::vector<float> normal_rows(int64_t count, uint64_t seed, double mean = 0) {
  std::vector<double> x(static_cast<size_t>(count));
  normal_on_host(seed, RandomStream::test, 0, count, x.data());
  for (double& value : x) value += mean;
  return {x.begin(), x.end()};
}

inline Moments moments_of(const std::vector<float>& rows, int64_t dims) {
  MomentAccumulator accumulator(dims);
  accumulator.add(rows);
  return accumulator.moments();
}

inline NpyArray golden_array(const std::string& name) {
  return NpzFile::read(POISE_GOLDEN_DIR "/metrics.npz").array(name);
}
inline std::vector<float> golden_floats(const std::string& name) {
  const NpyArray array = golden_array(name);
  return {array.values.begin(), array.values.end()};
}

}  // namespace poise::test
