#include "apps/report/run_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/progress.h"
#include "apps/report/arithmetic_text.h"

namespace poise {
namespace {

constexpr int kRows = 8;

struct Column {
  const char *key, *heading;
};
constexpr Column kColumns[] = {{"loss_d", "loss D"},        {"loss_g", "loss G"},       {"mean_real", "D(real)"},
                               {"mean_fake", "D(fake)"},    {"density_g", "density G"}, {"density_d", "density D"},
                               {"balance_ratio_mean", "BR"}};

// What holds at `iteration`: the last value up to there. NaN: none yet.
double value_at(const Points& points, double iteration) {
  double value = NAN;
  for (const auto& [x, y] : points)
    if (x <= iteration) value = y;
  return value;
}

}  // namespace

std::string run_summary(const RunRecord& run) {
  std::string text =
      fmt::format("{}: {} of {} iterations\n", run.name, format_count(run.last_iteration()), run.option("iterations"));
  text += fmt::format("model {}, widths {} and {}; {}\n", run.option("model"), run.option("width_g"),
                      run.option("width_d"), run.last_line.empty() ? "nothing logged yet" : run.last_line);
  const Points& logged = run.of("loss_d");
  if (!logged.empty()) {
    std::string heading = fmt::format("{:>12}", "iteration");
    for (const auto& [key, name] : kColumns)
      if (!run.of(key).empty()) heading += fmt::format("{:>11}", name);
    text += "\n" + heading + "\n";
    const size_t rows = std::min<size_t>(kRows, logged.size());
    for (size_t i = 0; i < rows; ++i) {
      const double iteration = logged[rows == 1 ? 0 : i * (logged.size() - 1) / (rows - 1)].first;
      text += fmt::format("{:>12}", format_count(std::llround(iteration)));
      for (const auto& [key, name] : kColumns)
        if (!run.of(key).empty()) text += fmt::format("{:>11.4g}", value_at(run.of(key), iteration));
      text += "\n";
    }
    text += "\n";
  }
  const double seconds = run.last("seconds");
  if (seconds > 0) {
    text += fmt::format("time        {}, {:.3g} it/s\n", format_duration(seconds),
                        run.of("seconds").back().first / seconds);
  }
  if (const std::string arithmetic = arithmetic_text(run); !arithmetic.empty()) {
    text += fmt::format("arithmetic  {}\n", arithmetic);
  }
  for (const RunRecord::Metric& metric : run.metrics()) {
    text += fmt::format("{:<11} best {:.5f} at iteration {}, last {:.5f}\n", metric.name, metric.best().second,
                        format_count(std::llround(metric.best().first)), metric.points->back().second);
  }
  for (const char* network : {"G", "D"}) {
    int64_t updates = 0, dropped = 0, grown = 0;
    double density = NAN;
    for (const MaskUpdate& update : run.updates) {
      if (update.network != network) continue;
      updates += update.kind != "initial" && update.kind != "none";
      dropped += update.dropped;
      grown += update.grown;
      density = update.density;
    }
    if (std::isfinite(density)) {
      text += fmt::format("masks of {}  density {:.4g}, {} updates, {} weights dropped, {} grown\n", network, density,
                          updates, format_count(dropped), format_count(grown));
    }
  }
  return text;
}

}  // namespace poise
