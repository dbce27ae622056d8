#include "engine/sparse/density.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace poise {
namespace {

double scale_of(const Shape& shape, DensityRule rule) {
  if (rule == DensityRule::uniform) return 1;
  int64_t sum = shape[0] + shape.back(), product = shape[0] * shape.back();
  if (rule == DensityRule::erk && shape.rank() == 4) {
    sum += shape[1] + shape[2];
    product *= shape[1] * shape[2];
  }
  return static_cast<double>(sum) / static_cast<double>(product);
}

// The formula's densities; `dense` marks the layers that have to be dense regardless of the formula.
std::vector<double> formula(const std::vector<MaskableLayer>& layers, DensityRule rule, double alive_weights,
                            std::vector<bool> dense) {
  const size_t count = layers.size();
  std::vector<double> densities(count, 1.0);
  while (true) {
    double budget = alive_weights, scaled_weights = 0, largest = 0;
    for (size_t i = 0; i < count; ++i) {
      const double n = static_cast<double>(layers[i].shape.elements()), scale = scale_of(layers[i].shape, rule);
      if (dense[i]) {
        budget -= n;
      } else {
        scaled_weights += scale * n;
        largest = std::max(largest, scale);
      }
    }
    if (scaled_weights == 0) return densities;  // all dense
    const double eps = budget / scaled_weights;
    for (size_t i = 0; i < count; ++i) densities[i] = dense[i] ? 1.0 : eps * scale_of(layers[i].shape, rule);
    if (eps * largest <= 1) return densities;
    for (size_t i = 0; i < count; ++i) dense[i] = dense[i] || scale_of(layers[i].shape, rule) == largest;
  }
}

// Rounds to whole cells: each layer rounds what the formula gives it plus what the layers before it lost to rounding.
// Layers with large cells come first, so that small cells absorb their error.
void round_to_cells(const std::vector<MaskableLayer>& layers, std::vector<LayerDensity>& result) {
  const auto cell_size = [&](size_t i) { return layers[i].shape.elements() / result[i].cells; };
  std::vector<size_t> order(layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cell_size(a) > cell_size(b); });
  double lost = 0;  // weights
  for (const size_t i : order) {
    LayerDensity& layer = result[i];
    layer.alive_cells = layer.cells;
    if (layer.density == 1) continue;
    const double weights = static_cast<double>(cell_size(i));
    const double asked = layer.density * static_cast<double>(layers[i].shape.elements()) + lost;
    layer.alive_cells = std::clamp<int64_t>(std::llround(asked / weights), 1, layer.cells);
    lost = asked - static_cast<double>(layer.alive_cells) * weights;
  }
}

}  // namespace

std::vector<LayerDensity> layer_densities(const std::vector<MaskableLayer>& layers, DensityRule rule, double density,
                                          const Cell& cell) {
  if (!(density > 0 && density <= 1)) {
    fail(ErrorKind::usage, fmt::format("density: expected a number in (0, 1] but got {}", density));
  }
  std::vector<LayerDensity> result(layers.size());
  std::vector<bool> stays_dense(layers.size());
  int64_t weights = 0, dense_weights = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t n = layers[i].shape.elements();
    result[i].divisible = cell.divides(layers[i].shape);
    result[i].cells = result[i].divisible ? cell.cells_in(layers[i].shape) : n;
    stays_dense[i] = !result[i].divisible || density == 1;
    weights += n;
    if (!result[i].divisible) dense_weights += n;
  }
  const double alive = density * static_cast<double>(weights);
  if (dense_weights > 0 && alive < static_cast<double>(dense_weights) && density < 1) {
    fail(ErrorKind::usage,
         fmt::format(
             "density {} cannot be reached with cell {}: the layers that it does not divide stay dense and hold {} "
             "of {} weights; use a smaller cell or a higher density",
             density, to_string(cell), dense_weights, weights));
  }
  int64_t least = 0;  // weights
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t n = layers[i].shape.elements();
    least += stays_dense[i] ? n : n / result[i].cells;
  }
  if (alive < 0.5 * static_cast<double>(least)) {
    fail(ErrorKind::usage,
         fmt::format("density {} cannot be reached: each of {} layers keeps at least one cell {}, together {:.1e} of "
                     "all weights; give a higher density{}",
                     density, layers.size(), to_string(cell), static_cast<double>(least) / static_cast<double>(weights),
                     to_string(cell) != "1x1" ? ", or a smaller cell" : ""));
  }
  const std::vector<double> densities = formula(layers, rule, alive, stays_dense);
  for (size_t i = 0; i < layers.size(); ++i) result[i].density = densities[i];
  round_to_cells(layers, result);
  return result;
}

}  // namespace poise
