#include "engine/sparse/typical_weights.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "kernels/sparse/weights/weight_index.h"

namespace poise {
namespace {

enum class Kind : uint8_t { one_pixel, one_tap, taps, enlarged, pooled };

Kind kind_of(const Conv2dGeometry& g) {
  if (g.kh * g.kw == 1) return g.h * g.w == 1 ? Kind::one_pixel : Kind::one_tap;
  return g.upsample > 1 ? Kind::enlarged : g.pools_sums() ? Kind::pooled : Kind::taps;
}

constexpr std::array<double, 7> kDensities = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5};

struct Row {
  Kind kind;
  Pass pass;
  int64_t outputs;  // per entry of the list; two count as one
  std::array<double, kDensities.size()> speedups;
};

// Measured with two threads of an AMD EPYC (Zen 4). From bench/results/2026-11-29-cpu-single-weights-layers.json, 64
// images: a linear layer of 128 to 4096, 1x1 of 256 channels, 3x3 of 128 and 256 channels at 8, 16 and 32 pixels. From
// 2026-11-29-cpu-single-weights-windows.json, 16 images: 3x3 enlarged of 256 channels at 8 and 16, pooled of 128 at 16
// and 32. A lower density is never entered as slower than a higher one.
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
    {Kind::enlarged, Pass::forward, 1, {9.48, 7.67, 5.73, 4.44, 2.99, 2.17, 1.54}},
    {Kind::enlarged, Pass::forward, 4, {9.53, 9.23, 8.30, 6.02, 4.38, 3.34, 2.16}},
    {Kind::enlarged, Pass::backward_input, 1, {8.28, 7.69, 6.08, 4.56, 3.05, 2.48, 2.03}},
    {Kind::enlarged, Pass::backward_input, 4, {8.82, 7.14, 5.85, 4.41, 3.30, 2.58, 1.95}},
    {Kind::enlarged, Pass::backward_weight, 1, {10.13, 9.07, 7.63, 5.87, 4.05, 2.82, 2.01}},
    {Kind::enlarged, Pass::backward_weight, 4, {10.96, 10.62, 7.74, 5.59, 4.03, 3.14, 2.40}},
    {Kind::pooled, Pass::forward, 1, {5.85, 5.70, 4.32, 3.76, 2.36, 2.21, 1.90}},
    {Kind::pooled, Pass::forward, 4, {6.34, 5.90, 5.16, 3.67, 3.67, 3.13, 2.34}},
    {Kind::pooled, Pass::backward_input, 1, {6.13, 6.13, 4.25, 3.26, 2.06, 1.78, 1.36}},
    {Kind::pooled, Pass::backward_input, 4, {6.70, 6.10, 4.59, 3.01, 2.39, 1.88, 1.39}},
    {Kind::pooled, Pass::backward_weight, 1, {5.38, 5.38, 4.91, 4.20, 3.03, 2.35, 1.64}},
    {Kind::pooled, Pass::backward_weight, 4, {7.00, 6.24, 5.56, 4.34, 2.85, 2.58, 2.08}},
};

}  // namespace

SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell) {
  SpeedupPoints points;
  if (std::min(geometry.c_in, geometry.c_out) < kFewestTypicalChannels) return points;
  const Kind kind = kind_of(geometry);
  const int64_t outputs = outputs_of_entry(cell.out) == 4 ? 4 : 1;
  const Row* row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.kind == kind && r.pass == pass && r.outputs == outputs; });
  for (size_t i = 0; i < kDensities.size(); ++i) points.emplace_back(kDensities[i], row->speedups[i]);
  return points;
}

}  // namespace poise
