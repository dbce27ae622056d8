#include "apps/report/band_advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "apps/console/progress.h"
#include "engine/metrics/quantile.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr int64_t kFewestValues = 4;  // enough for quartiles
constexpr double kPublishedMedian = 0.90, kPublishedLow = 0.45, kPublishedHigh = 0.55;
constexpr double kLeastHalfWidth = 0.1;

std::string options_text(const BandAdvice& a, double low, double high) {
  return fmt::format("  --br-mode {} --band-low {:.3g} --band-high {:.3g}\n", name_of(a.mode), low, high);
}

}  // namespace

BandAdvice band_advice(const RunRecord& run, std::optional<BalanceMode> mode) {
  BandAdvice a;
  a.mode = mode.value_or(named<BalanceMode>(run.option("br_mode")).value_or(BalanceMode::mean_of_ratios));
  const Points& points = run.of(a.mode == BalanceMode::mean_of_ratios ? "balance_ratio_mean" : "balance_ratio_of_sums");
  const double window = std::atof(run.option("br_window").c_str()), every = std::atof(run.option("br_every").c_str());
  const double last = points.empty() ? 0 : points.back().first, first = std::max(window, last / 2);
  std::vector<double> values;
  for (const auto& [iteration, value] : points) {
    if (iteration < first || !std::isfinite(value)) continue;
    if (values.empty()) a.first_iteration = std::llround(iteration);
    values.push_back(value);
  }
  a.values = static_cast<int64_t>(values.size());
  a.last_iteration = std::llround(last);
  if (a.values < kFewestValues) {
    fail(ErrorKind::usage,
         fmt::format("{}: expected at least {} values of the balance ratio after iteration {:.0f}, when its window is "
                     "full, but got {}; let the pilot run measure it (--br-every 10{}), longer, or with a smaller "
                     "--br-window or --log-every",
                     run.name, kFewestValues, first, a.values,
                     run.option("method") == "dense"
                         ? ", which takes a sparse method, as --method static --density-g 0.1"
                         : ""));
  }
  a.q05 = quantile(values, 0.05);
  a.q25 = quantile(values, 0.25);
  a.median = quantile(values, 0.5);
  a.q75 = quantile(values, 0.75);
  a.q95 = quantile(values, 0.95);
  if (!(a.median > 0)) {
    fail(ErrorKind::usage,
         fmt::format(
             "{}: expected a balance ratio above 0 but its median is {:.3g}: G's steps close nothing of the gap "
             "that D sees, or D sees none, and no band would mean anything; train the pilot longer, or with more "
             "weights",
             run.name, a.median));
  }
  if (window > 0 && every > 0) a.unusable = std::max(0.0, run.last("balance_unusable")) / std::ceil(window / every);
  a.hold_low = std::min(a.q25, (1 - kLeastHalfWidth) * a.median);
  if (!(a.hold_low > 0)) {
    fail(ErrorKind::usage,
         fmt::format(
             "{}: expected a balance ratio above 0 but its 25% quantile is {:.3g}: it has not settled, and a band "
             "down to 0 would never let D grow; train the pilot longer, or average over more of it (--br-window)",
             run.name, a.q25));
  }
  a.hold_high = std::max(a.q75, (1 + kLeastHalfWidth) * a.median);
  a.grow_low = a.median * kPublishedLow / kPublishedMedian;
  a.grow_high = a.median * kPublishedHigh / kPublishedMedian;
  return a;
}

std::string band_advice_text(const RunRecord& run, const BandAdvice& a) {
  std::string text = fmt::format("{}: method {}, densities {:.3g} (G) and {:.3g} (D)\n", run.name, run.option("method"),
                                 run.last("density_g"), run.last("density_d"));
  text +=
      fmt::format("balance ratio ({}), iterations {} to {}, {} values over windows of {} iterations\n", name_of(a.mode),
                  format_count(a.first_iteration), format_count(a.last_iteration), a.values, run.option("br_window"));
  text += fmt::format("quantiles   5% {:.3g}   25% {:.3g}   50% {:.3g}   75% {:.3g}   95% {:.3g}\n\n", a.q05, a.q25,
                      a.median, a.q75, a.q95);
  text += "D stays about as strong as it was in this run:\n" + options_text(a, a.hold_low, a.hold_high);
  text += fmt::format(
      "D grows from here as in the paper, whose band is {:.2f} to {:.2f} of the ratio that static masks at 10% of "
      "both\n"
      "networks have (right if this run is the like: equal densities, masks that stay):\n",
      kPublishedLow / kPublishedMedian, kPublishedHigh / kPublishedMedian);
  text += options_text(a, a.grow_low, a.grow_high);
  if (a.unusable > 0.05 && a.mode == BalanceMode::mean_of_ratios) {
    text += fmt::format(
        "\n{:.0f}% of the last window's measurements have no ratio: their mean says little; see --br-mode "
        "ratio-of-sums\n",
        100 * a.unusable);
  }
  return text;
}

}  // namespace poise
