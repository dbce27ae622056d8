#include "apps/report/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/arithmetic_text.h"
#include "apps/report/html_execution.h"
#include "apps/report/html_page.h"
#include "apps/report/html_picture.h"
#include "apps/report/speed_report.h"
#include "apps/report/svg_chart.h"
#include "apps/report/training_cost.h"
#include "engine/io/atomic_file.h"
#include "engine/io/utf8.h"
#include "engine/metrics/quantile.h"

namespace poise {
namespace {

constexpr const char* kIterations = "iteration (generator steps)";

class Page {
 public:
  explicit Page(const RunRecord& run) : run_(run) {}

  std::string text() {
    header();
    heading("Figures");
    speed();
    losses();
    logits();
    balance();
    densities();
    heat_map("G", "generator");
    heat_map("D", "discriminator");
    flops();
    for (const RunRecord::Metric& metric : run_.metrics()) evaluation(metric);
    if (figures_ == 0) paragraph("Nothing was logged yet.");
    body_ += html_execution(run_);
    samples();
    options();
    environment();
    return html_page(run_.name, body_);
  }

 private:
  void heading(const char* text) { body_ += fmt::format("<h2>{}</h2>\n", text); }
  void paragraph(const std::string& text) { body_ += fmt::format("<p>{}</p>\n", xml_escaped(text)); }
  LineChart chart_of(const char* title, const std::string& y_label) const {
    return {.title = title,
            .x_label = kIterations,
            .y_label = y_label,
            .x_end = static_cast<double>(run_.last_iteration())};
  }
  void figure(const std::string& picture, const std::string& caption) {
    body_ += html_figure(picture, ++figures_, caption);
  }
  static std::string row(const std::string& name, const std::string& value) {
    return value.empty() ? "" : fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", xml_escaped(name), xml_escaped(value));
  }
  std::string environment_of(const std::string& key) const {
    for (const auto& [name, value] : run_.environment)
      if (name == key) return value;
    return "";
  }

  void header() {
    const int64_t done = run_.last_iteration();
    std::string rows;
    const auto add = [&](const char* name, const std::string& value) { rows += row(name, value); };
    add("model", fmt::format("{}, widths {} (G) and {} (D), latents {}", run_.option("model"), run_.option("width_g"),
                             run_.option("width_d"), run_.option("latent_size")));
    if (!environment_of("data").empty()) {
      add("data", fmt::format("{}, {} images from {}", run_.option("dataset"), environment_of("images"),
                              environment_of("data")));
    }
    add("iterations", fmt::format("{} of {}", format_count(done), run_.option("iterations")));
    add("one iteration",
        fmt::format("{} D steps of {} real and as many fake images, one G step of {}", run_.option("n_critic"),
                    run_.option("batch_size_d"), run_.option("batch_size_g")));
    const double seconds = run_.last("seconds");
    if (seconds > 0) {
      add("training time",
          fmt::format("{}, {:.3g} iterations/s", format_duration(seconds), run_.of("seconds").back().first / seconds));
    }
    const auto final_value = [&](const char* name, const char* key) {
      if (std::isfinite(run_.last(key))) add(name, fmt::format("{:.4g}", run_.last(key)));
    };
    add("method", run_.option("method"));
    final_value("density of G at the end", "density_g");
    final_value("density of D at the end", "density_d");
    final_value("balance ratio at the end (mean)", "balance_ratio_mean");
    if (const std::string text = arithmetic_text(run_); !text.empty()) add("arithmetic", text);
    for (const RunRecord::Metric& metric : run_.metrics()) {
      add(metric.name.c_str(), metric.text());
    }
    add("state", run_.last_line);
    body_ += fmt::format("<h1>{}</h1>\n<table>\n{}</table>\n", xml_escaped(run_.name), rows);
  }

  void speed() {
    if (!run_.speed) return;
    figure(svg_speed_chart(*run_.speed),
           fmt::format("At the end of training, {}. Dense: the same networks without masks.", speed_text(*run_.speed)));
  }

  void losses() {
    LineChart chart = chart_of("losses", "loss");
    add_with_mean(chart, run_.of("loss_d"), "discriminator", 0);
    add_with_mean(chart, run_.of("loss_g"), "generator", 1);
    if (chart.series.empty()) return;
    figure(svg_line_chart(chart), fmt::format("Losses ({}){}", run_.option("loss"), pale_note(chart)));
  }

  void logits() {
    LineChart chart = chart_of("mean output of D", "mean logit");
    add_with_mean(chart, run_.of("mean_real"), "real images", 2);
    add_with_mean(chart, run_.of("mean_fake"), "generated images", 3);
    if (chart.series.empty()) return;
    figure(svg_line_chart(chart), "Mean output of D over the D steps of an iteration" + pale_note(chart));
  }

  static std::string pale_note(const LineChart& chart) {
    for (const ChartSeries& series : chart.series)
      if (series.faint) return "; pale: as logged, strong: moving mean.";
    return ".";
  }

  void balance() {
    const Points &raw = run_.of("balance_ratio"), &mean = run_.of("balance_ratio_mean"),
                 &sums = run_.of("balance_ratio_of_sums");
    LineChart chart = chart_of("balance ratio", "balance ratio");
    if (!raw.empty()) chart.series.push_back({.name = "single", .points = raw, .colour = 4, .faint = true});
    if (!mean.empty()) chart.series.push_back({.name = "mean of ratios", .points = mean, .colour = 0});
    if (!sums.empty()) chart.series.push_back({.name = "ratio of sums", .points = sums, .colour = 1});
    std::vector<double> values;
    for (const Points* points : {&raw, &mean, &sums})
      for (const auto& [iteration, value] : *points)
        if (std::isfinite(value)) values.push_back(value);
    if (values.empty()) return;
    const std::string low = run_.option("band_low"), high = run_.option("band_high");
    std::string caption =
        "Balance ratio: how much of the gap between real and fake that D sees one G step closes. "
        "Near 0, D is too strong; near 1 and above, too weak. Mean of ratios, ratio of sums: over the window that "
        "decisions look at.";
    double bottom = std::min(0.0, quantile(values, 0.02)), top = std::max(1.0, quantile(values, 0.98));
    if (!low.empty() && !high.empty()) {
      chart.band = {std::atof(low.c_str()), std::atof(high.c_str()), fmt::format("band {} to {}", low, high)};
      bottom = std::min(bottom, chart.band->low);
      top = std::max(top, chart.band->high);
    }
    const double margin = 0.05 * (top - bottom);
    chart.y_range = {bottom - margin, top + margin};
    const auto outside = std::count_if(values.begin(), values.end(), [&](double value) {
      return value < chart.y_range->first || value > chart.y_range->second;
    });
    if (outside > 0) caption += fmt::format(" {} of {} values are outside the axis.", outside, values.size());
    figure(svg_line_chart(chart), caption);
  }

  void densities() {
    LineChart chart = chart_of("densities", "density (alive / maskable)");
    for (const auto& [network, key, colour] : {std::tuple{"G", "density_g", 1}, {"D", "density_d", 0}}) {
      Points points = run_.of(key);
      if (points.empty()) {
        for (const MaskUpdate& update : run_.updates)
          if (update.network == network) points.emplace_back(update.iteration, update.density);
      }
      if (!points.empty()) chart.series.push_back({.name = network, .points = points, .colour = colour, .steps = true});
    }
    const auto sparse = [](const ChartSeries& series) {
      return std::any_of(series.points.begin(), series.points.end(),
                         [](const auto& point) { return point.second < 1; });
    };
    if (std::none_of(chart.series.begin(), chart.series.end(), sparse)) return;
    chart.y_range = {0, 1.02};
    figure(svg_line_chart(chart), "Density of the generator and of the discriminator.");
  }

  void heat_map(const std::string& network, const char* name) {
    HeatMap map{.title = std::string("layer densities of the ") + name,
                .x_label = kIterations,
                .value_label = "density (logarithmic)",
                .end = static_cast<double>(run_.last_iteration())};
    int64_t changes = 0;
    for (const MaskUpdate& update : run_.updates) {
      if (update.network != network || update.layers.empty()) continue;
      if (map.rows.empty()) {
        for (const auto& [layer, density] : update.layers) map.rows.push_back(layer);
        map.values.resize(map.rows.size());
      }
      if (update.layers.size() != map.rows.size()) continue;
      map.starts.push_back(static_cast<double>(update.iteration));
      for (size_t r = 0; r < map.rows.size(); ++r) map.values[r].push_back(update.layers[r].second);
      changes += update.kind != "initial" && update.kind != "none";
    }
    if (map.starts.empty()) return;
    figure(svg_heat_map(map), fmt::format("Density of each masked layer of the {}, {} mask update{}. Right: the first "
                                          "and the last value.",
                                          name, changes, changes == 1 ? "" : "s"));
  }

  void flops() {
    const auto total = [&](const char* key) { return run_.of(key).empty() ? 0 : run_.last(key); };
    double largest = std::max(total("flops"), total("executed_flops"));
    if (!(largest > 0) || !std::isfinite(largest)) return;
    static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t prefix = 0;
    double unit = 1;
    for (; largest >= 1000 && prefix < 6; largest /= 1000, unit *= 1000) ++prefix;
    LineChart chart = chart_of("arithmetic", fmt::format("cumulative {}FLOP", kPrefixes[prefix]));
    chart.y_from_zero = true;
    const auto add = [&](const char* key, const char* name, int colour) {
      Points points = run_.of(key);
      for (auto& [iteration, value] : points) value /= unit;
      if (!points.empty()) chart.series.push_back({.name = name, .points = points, .colour = colour});
    };
    add("flops", "dense-equivalent", 4);
    if (total("unmasked_flops") < total("flops")) add("unmasked_flops", "convolutions folded, no masks", 3);
    add("executed_flops", "executed", 0);
    std::string caption =
        "Arithmetic since the start (a multiply-add is 2): what dense layers would cost, and what the kernels did";
    if (Points alive = alive_flops(); alive.size() > 1) {
      for (auto& [iteration, value] : alive) value /= unit;
      chart.series.push_back({.name = "alive weights", .points = alive, .colour = 2});
      caption += "; alive weights: what their products alone would cost (convention full of inspect_run flops)";
    }
    figure(svg_line_chart(chart), caption + ".");
  }

  // Empty without masks, or if this version cannot read the run's options.
  Points alive_flops() const {
    if (run_.updates.empty()) return {};
    try {
      Points points = recorded_cost(run_, settings_of_run(run_), FlopConvention::full).cumulative();
      for (auto& [iteration, value] : points) value *= 2;
      return points;
    } catch (const Error&) {
      return {};
    }
  }

  void evaluation(const RunRecord::Metric& metric) {
    LineChart chart = chart_of(metric.name.c_str(), metric.name);
    chart.y_from_zero = true;
    chart.series.push_back({.points = *metric.points, .colour = 0});
    figure(svg_line_chart(chart), fmt::format("{}: {} ({} is better).", metric.name, metric_caption(metric.name),
                                              metric.larger_is_better ? "higher" : "lower"));
  }

  void samples() {
    std::string grids;
    if (!run_.pictures.empty()) {
      std::vector<size_t> shown = {0, run_.pictures.size() / 2, run_.pictures.size() - 1};
      shown.erase(std::unique(shown.begin(), shown.end()), shown.end());
      for (const size_t i : shown) {
        grids += html_picture(run_.path, run_.pictures[i].second, "iteration " + format_count(run_.pictures[i].first));
      }
    }
    grids += html_picture(run_.path, "samples/reals.png", "real images");
    if (grids.empty()) return;
    heading("Samples");
    paragraph("Averaged weights, the same latents in each grid.");
    body_ += "<div class=\"grids\">\n" + grids + "</div>\n";
  }

  void options() {
    heading("Options");
    std::string given, others;
    for (const RecordedOption& option : run_.options) {
      const std::string line =
          fmt::format("<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n", xml_escaped(option.key),
                      xml_escaped(option.value), xml_escaped(option.origin));
      (option.origin == "default" ? others : given) += line;
    }
    const char* table = "<table>\n<tr><th>option</th><th>value</th><th>from</th></tr>\n{}</table>\n";
    if (!given.empty()) body_ += fmt::format(fmt::runtime(table), given);
    if (!others.empty()) {
      body_ += "<details><summary>Options left at their defaults</summary>\n";
      body_ += fmt::format(fmt::runtime(table), others) + "</details>\n";
    }
  }

  void environment() {
    heading("What was run");
    std::string rows;
    for (const auto& [key, value] : run_.environment) {
      if (key != "host") rows += row(key, value);  // for privacy
    }
    rows += row("log begins", run_.started) + row("log ends", run_.last_written);
    if (run_.resumed > 0) rows += row("resumed", fmt::format("{} time{}", run_.resumed, run_.resumed == 1 ? "" : "s"));
    rows += row("report", fmt::format("Poise {}, {}", version(), iso_time_now()));
    body_ += "<table>\n" + rows + "</table>\n";
  }

  const RunRecord& run_;
  std::string body_;
  size_t figures_ = 0;
};

}  // namespace

std::string html_report(const RunRecord& run) { return Page(run).text(); }

std::string write_html_report(const std::string& run_directory) {
  const RunRecord run = read_run(run_directory);
  const std::string path = run_directory + "/report.html";
  write_file_atomically(path, to_utf8(html_report(run)));
  return path;
}

}  // namespace poise
