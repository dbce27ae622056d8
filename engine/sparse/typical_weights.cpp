#include "engine/sparse/typical_weights.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "kernels/dense/conv2d/pooling_fold.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise {
namespace {

enum class Kind : uint8_t { one_pixel, one_tap, taps, enlarged };

Kind kind_of(const Conv2dGeometry& g) {
  if (g.kh * g.kw == 1) return g.h * g.w == 1 ? Kind::one_pixel : Kind::one_tap;
  return g.upsample > 1 ? Kind::enlarged : Kind::taps;
}

constexpr std::array<double, 7> kDensities = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5};

struct Row {
  Kind kind;
  Pass pass;
  int64_t outputs;  // of an entry; two count as one
  std::array<double, kDensities.size()> speedups;
};

// Two threads of an AMD EPYC (Zen 4), 64 images, from bench/results/2026-11-29-cpu-single-weights-layers.json: a linear
// layer of 128 to 4096, 1x1 of 256 channels, 3x3 of 128 and 256 channels at 8, 16 and 32 pixels, 3x3 enlarged of 256 at 8.
// A lower density counts as no slower than a higher one.
constexpr Row kRows[] = {
    {Kind::one_pixel, Pass::forward, 1, {21.40, 17.52, 13.78, 10.86, 5.54, 5.54, 3.85}},
    {Kind::one_pixel, Pass::forward, 4, {24.32, 21.46, 18.87, 13.62, 9.45, 4.79, 4.44}},
    {Kind::one_pixel, Pass::backward_input, 1, {13.68, 8.06, 7.08, 5.17, 3.24, 2.64, 1.66}},
    {Kind::one_pixel, Pass::backward_input, 4, {13.73, 9.11, 7.43, 4.16, 3.29, 2.42, 1.68}},
    {Kind::one_pixel, Pass::backward_weight, 1, {12.76, 11.14, 8.16, 6.29, 3.64, 2.78, 2.08}},
    {Kind::one_pixel, Pass::backward_weight, 4, {13.49, 11.23, 10.31, 7.86, 3.97, 3.97, 2.21}},
    {Kind::one_tap, Pass::forward, 1, {3.81, 3.68, 3.57, 2.72, 2.13, 1.70, 1.25}},
    {Kind::one_tap, Pass::forward, 4, {4.17, 4.17, 3.70, 2.46, 2.46, 2.08, 1.55}},
    {Kind::one_tap, Pass::backward_input, 1, {3.94, 3.89, 3.81, 2.43, 2.06, 1.68, 1.23}},
    {Kind::one_tap, Pass::backward_input, 4, {3.85, 3.85, 3.36, 2.19, 1.82, 1.44, 1.44}},
    {Kind::one_tap, Pass::backward_weight, 1, {3.74, 3.74, 3.22, 2.67, 2.22, 2.22, 1.52}},
    {Kind::one_tap, Pass::backward_weight, 4, {4.38, 3.91, 2.89, 2.89, 2.03, 2.03, 1.53}},
    {Kind::taps, Pass::forward, 1, {10.72, 8.81, 4.93, 4.65, 2.26, 1.97, 1.20}},
    {Kind::taps, Pass::forward, 4, {10.24, 8.67, 7.21, 3.29, 3.29, 2.34, 1.54}},
    {Kind::taps, Pass::backward_input, 1, {7.09, 7.09, 4.72, 4.05, 2.64, 1.89, 1.04}},
    {Kind::taps, Pass::backward_input, 4, {8.83, 8.17, 6.03, 2.84, 2.19, 1.97, 1.20}},
    {Kind::taps, Pass::backward_weight, 1, {6.95, 6.78, 5.39, 3.54, 2.56, 1.88, 1.30}},
    {Kind::taps, Pass::backward_weight, 4, {6.26, 6.26, 5.63, 4.15, 3.00, 1.97, 1.50}},
    {Kind::enlarged, Pass::forward, 1, {10.32, 7.64, 3.58, 2.86, 1.77, 1.29, 0.91}},
    {Kind::enlarged, Pass::forward, 4, {10.49, 8.71, 5.89, 3.66, 1.98, 1.66, 1.22}},
    {Kind::enlarged, Pass::backward_input, 1, {7.11, 5.09, 3.53, 2.42, 1.54, 1.19, 0.88}},
    {Kind::enlarged, Pass::backward_input, 4, {7.55, 5.81, 2.96, 2.56, 1.59, 1.09, 1.09}},
    {Kind::enlarged, Pass::backward_weight, 1, {9.26, 7.18, 4.33, 2.53, 1.52, 1.01, 0.84}},
    {Kind::enlarged, Pass::backward_weight, 4, {10.60, 6.62, 5.35, 3.12, 2.02, 1.42, 1.03}},
};

}  // namespace

SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell) {
  SpeedupPoints points;
  if (std::min(geometry.c_in, geometry.c_out) < kFewestTypicalChannels) return points;
  const Kind kind = kind_of(geometry);
  const int64_t outputs = outputs_of_entry(cell.out) == 4 ? 4 : 1;
  const Row* row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.kind == kind && r.pass == pass && r.outputs == outputs; });
  // Dense kernels do less where pooling folds into a 3x3, and take that much less time (bench/NOTES.md); ours do not.
  const bool folds = geometry.pool > 1 && geometry.kh == 3;
  const double dense = folds ? static_cast<double>(kPooledTaps * kPooledTaps) / (4 * 3 * 3) : 1;
  for (size_t i = 0; i < kDensities.size(); ++i) points.emplace_back(kDensities[i], row->speedups[i] * dense);
  return points;
}

}  // namespace poise
