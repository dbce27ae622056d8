#include "engine/sparse/typical_weights.h"

#include <algorithm>
#include <array>

#include "kernels/sparse/weights/weight_index.h"

namespace poise {
namespace {

enum class Kind : uint8_t { few_channels, one_pixel, one_tap, taps, enlarged };

constexpr int64_t kFewChannels = 16;  // on either side: a transposition is not full, or a weight serves little

Kind kind_of(const Conv2dGeometry& g) {
  if (std::min(g.c_in, g.c_out) < kFewChannels) return Kind::few_channels;
  if (g.kh * g.kw == 1) return g.h * g.w == 1 ? Kind::one_pixel : Kind::one_tap;
  return g.upsample > 1 ? Kind::enlarged : Kind::taps;
}

constexpr std::array<double, 9> kDensities = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1};

// From bench/results/2026-11-29-cpu-crossover-weights.json: all layers of SNGAN-32 at full width, 16 images, two threads of
// an AMD EPYC (Zen 4). A lower density counts as no slower than a higher one.
struct Row {
  Kind kind;
  Pass pass;
  int64_t outputs;  // of an entry
  std::array<double, kDensities.size()> speedups;
};
constexpr Row kRows[] = {
    {Kind::few_channels, Pass::forward, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::forward, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::forward, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_input, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_input, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_input, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_weight, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_weight, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::few_channels, Pass::backward_weight, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::forward, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::forward, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::forward, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_input, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_input, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_input, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_weight, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_weight, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_pixel, Pass::backward_weight, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::forward, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::forward, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::forward, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_input, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_input, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_input, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_weight, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_weight, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::one_tap, Pass::backward_weight, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::forward, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::forward, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::forward, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_input, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_input, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_input, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_weight, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_weight, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::taps, Pass::backward_weight, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::forward, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::forward, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::forward, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_input, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_input, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_input, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_weight, 1, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_weight, 2, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
    {Kind::enlarged, Pass::backward_weight, 4, {0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50}},
};

}  // namespace

SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell) {
  const Kind kind = kind_of(geometry);
  const int64_t outputs = outputs_of_entry(cell.out);
  const Row* row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.kind == kind && r.pass == pass && r.outputs == outputs; });
  SpeedupPoints points;
  for (size_t i = 0; i < kDensities.size(); ++i) points.emplace_back(kDensities[i], row->speedups[i]);
  return points;
}

}  // namespace poise
