#include "apps/report/run_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/progress.h"
#include "apps/report/arithmetic_text.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr size_t kRows = 8;

struct Column {
  const char *key, *heading;
};
constexpr Column kColumns[] = {{"loss_d", "loss D"},        {"loss_g", "loss G"},       {"mean_real", "D(real)"},
                               {"mean_fake", "D(fake)"},    {"density_g", "density G"}, {"density_d", "density D"},
                               {"balance_ratio_mean", "BR"}};

}  // namespace

std::string run_summary(const RunRecord& run) {
  if (run.options.empty()) {
    fail(ErrorKind::checkpoint,
         run.path + "/config.toml has no options: it is damaged; copy it from where the run was made");
  }
  std::string text =
      fmt::format("{}: {} of {} iterations\n", run.name, format_count(run.last_iteration()), run.option("iterations"));
  text += fmt::format("model {}, widths {} and {}; {}\n", run.option("model"), run.option("width_g"),
                      run.option("width_d"), run.last_line.empty() ? "nothing logged yet" : run.last_line);
  if (const std::vector<double> logged = run.logged_iterations(kRows); !logged.empty()) {
    std::string heading = fmt::format("{:>12}", "iteration");
    const auto known = [&](const char* key) {
      const Points& points = run.of(key);
      return std::any_of(points.begin(), points.end(), [](const auto& point) { return std::isfinite(point.second); });
    };
    for (const auto& [key, name] : kColumns)
      if (known(key)) heading += fmt::format("{:>11}", name);
    text += "\n" + heading + "\n";
    for (const double iteration : logged) {
      text += fmt::format("{:>12}", format_count(std::llround(iteration)));
      for (const auto& [key, name] : kColumns)
        if (known(key)) text += fmt::format("{:>11.4g}", run.at(key, iteration));
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
    text += fmt::format("{:<11} {}\n", metric.name, metric.text());
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
  if (run.unread_lines > 0) {
    text += fmt::format("warning     {} of train.jsonl and metrics.jsonl {} no record: left out here and in reports\n",
                        counted(run.unread_lines, "line"), run.unread_lines == 1 ? "is" : "are");
  }
  return text;
}

}  // namespace poise
