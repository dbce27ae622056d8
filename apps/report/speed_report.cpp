#include "apps/report/speed_report.h"

#include <fmt/format.h>

#include "apps/report/svg_chart.h"

namespace poise {
namespace {

// "2.1x faster", "1.3x slower"; `equal` if they differ by less than 0.5%.
std::string ratio_text(double dense, double sparse, const char* better, const char* worse, const char* equal) {
  const double ratio = dense / sparse;
  if (ratio > 0.995 && ratio < 1.005) return equal;
  return ratio > 1 ? fmt::format("{:.3g}x {}", ratio, better) : fmt::format("{:.3g}x {}", 1 / ratio, worse);
}

std::string time_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", 1000 * seconds) : fmt::format("{:.3g} s", seconds);
}

std::string flops_text(double flops) {
  return flops < 1e12 ? fmt::format("{:.3g} GFLOP", flops / 1e9) : fmt::format("{:.3g} TFLOP", flops / 1e12);
}

}  // namespace

std::string speed_text(const SpeedComparison& s) {
  return fmt::format(
      "{} and {} with {:.1f}% of the weights of G and {:.1f}% of D: {} instead of {} per iteration ({} of each in "
      "turns, {})",
      ratio_text(s.dense_seconds, s.sparse_seconds, "faster than dense", "slower than dense", "as fast as dense"),
      ratio_text(s.dense_flops, s.sparse_flops, "fewer FLOPs", "more FLOPs", "as many FLOPs"), 100 * s.density_g,
      100 * s.density_d, time_text(s.sparse_seconds), time_text(s.dense_seconds), s.turns, s.machine);
}

std::string svg_speed_chart(const SpeedComparison& s) {
  const auto pair = [](double dense, double sparse, std::string (*text)(double)) {
    return std::vector<BarChart::Bar>{{"dense", text(dense), dense, 4}, {"this run", text(sparse), sparse, 0}};
  };
  return svg_bar_chart({.title = "dense and sparse iterations",
                        .groups = {{"time of an iteration", pair(s.dense_seconds, s.sparse_seconds, time_text)},
                                   {"arithmetic executed", pair(s.dense_flops, s.sparse_flops, flops_text)}}});
}

}  // namespace poise
