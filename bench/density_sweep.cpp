#include "bench/density_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/console/program.h"
#include "bench/bench_program.h"
#include "engine/io/atomic_file.h"

namespace poise {
namespace {

using nlohmann::ordered_json;

// Where the time of an iteration is spent, as fractions of 1.
struct Shares {
  double forward = 0, backward_input = 0, backward_weight = 0;  // of convolutions and linear layers
  double other = 0;                                             // of all other launches
  double outside() const { return 1 - forward - backward_input - backward_weight - other; }
  double products() const { return forward + backward_input + backward_weight; }
};

struct Point {
  std::string cell;
  double density, gflop, executed_gflop;
  double dense_ms, masked_ms, auto_ms;
  double cusparse_ms;  // NaN if the device has no cuSPARSE
  Shares shares;       // of an iteration with --execution auto
  double dense_mib, auto_mib;
  int64_t sparse_passes, passes;
};

double milliseconds(Trainer& trainer) {
  const auto start = std::chrono::steady_clock::now();
  trainer.iterate();
  trainer.synchronize();
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (!trainer.report().finite()) fail(ErrorKind::runtime, "the losses are no longer finite");
  return ms;
}

// The memory of a training: the step's arena, which fits every path at full density, plus parameters, moments, masks
// and lists.
double counted_mib(const Trainer& trainer) {
  return static_cast<double>(trainer.training_plan().arena_bytes + trainer.slab_bytes()) / kMiB;
}

Point measure(const SweepOptions& options, const ImageSet& images, Trainer& dense, double density, const Cell& cell) {
  TrainerOptions o = options.trainer;
  o.sparse = static_masks(density, cell, ExecutionChoice::dense);
  Trainer masked(o, images);
  o.sparse.execution = ExecutionChoice::automatic;
  Trainer automatic(o, images);
  std::unique_ptr<Trainer> cusparse;
  o.sparse.execution = ExecutionChoice::cusparse;
  if (has_cusparse(dense.device().device) && block_of(cell) != 0) cusparse = std::make_unique<Trainer>(o, images);
  Point point{.cell = to_string(cell), .density = density};
  for (const ExecutionEvent& event : automatic.take_execution_events()) {
    ++point.passes;
    point.sparse_passes += event.decision.execution != Execution::dense;
  }
  const Work work = automatic.work_by_layer().total().work;
  point.gflop = work.flops * 1e-9;
  point.executed_gflop = work.executed_flops * 1e-9;
  point.dense_mib = counted_mib(dense);
  point.auto_mib = counted_mib(automatic);
  point.dense_ms = point.masked_ms = point.auto_ms = 1e12;
  point.cusparse_ms = cusparse ? 1e12 : std::numeric_limits<double>::quiet_NaN();
  for (int64_t i = 0; i <= options.iterations; ++i) {
    const double d = milliseconds(dense), m = milliseconds(masked), b = milliseconds(automatic);
    const double c = cusparse ? milliseconds(*cusparse) : point.cusparse_ms;
    if (i == 0) continue;  // builds primitives, touches memory
    point.dense_ms = std::min(point.dense_ms, d);
    point.masked_ms = std::min(point.masked_ms, m);
    point.auto_ms = std::min(point.auto_ms, b);
    point.cusparse_ms = std::min(point.cusparse_ms, c);
  }
  Profile profile;
  automatic.set_profile(&profile);
  const double ms = milliseconds(automatic);
  automatic.set_profile(nullptr);
  for (const Profile::Row& row : profile.rows()) {
    const std::string op = row.work.op;
    const double share = 1e3 * row.seconds / ms;
    if (op != "conv2d" && op != "linear")
      point.shares.other += share;
    else if (row.work.pass == Pass::forward)
      point.shares.forward += share;
    else
      (row.work.pass == Pass::backward_input ? point.shares.backward_input : point.shares.backward_weight) += share;
  }
  return point;
}

// The density at which the speed-up passes 1, by linear interpolation; the highest density or 0 if it does not pass 1.
double crossover(const std::vector<Point>& points, const std::string& cell) {
  const Point* denser = nullptr;
  for (const Point& p : points) {  // densities fall
    if (p.cell != cell) continue;
    const double speedup = p.dense_ms / p.auto_ms;
    if (speedup >= 1) {
      if (!denser) return p.density;
      const double before = denser->dense_ms / denser->auto_ms;
      return denser->density + (p.density - denser->density) * (1 - before) / (speedup - before);
    }
    denser = &p;
  }
  return 0;
}

// Plots the speed-up over density, a line per cell, next to the ideal speed-up from the saved arithmetic.
std::string plot(const std::vector<Point>& points, const std::vector<std::string>& cells) {
  constexpr double kWidth = 640, kHeight = 400, kLeft = 60, kBottom = 350, kTop = 20, kRight = 500;
  constexpr const char* kColors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};
  double highest = 1;
  for (const Point& p : points) highest = std::max({highest, p.dense_ms / p.auto_ms, p.gflop / p.executed_gflop});
  double densest = 0;
  for (const Point& p : points) densest = std::max(densest, p.density);
  const auto x = [&](double density) { return kLeft + (kRight - kLeft) * density / (1.1 * densest); };
  const auto y = [&](double speedup) { return kBottom - (kBottom - kTop) * speedup / (1.05 * highest); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (const Point& p : points) {
    const double d = p.density;
    if (p.cell != points.front().cell) continue;
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(d), kBottom + 16, d);
  }
  for (double s = 0; s <= highest; s += highest > 6 ? 2 : 1) {
    svg += fmt::format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{}x</text>\n",
        kLeft, kRight, y(s), y(s), kLeft - 6, y(s) + 4, s);
  }
  for (size_t c = 0; c < cells.size(); ++c) {
    std::string time, work;
    for (const Point& p : points) {
      if (p.cell != cells[c]) continue;
      time += fmt::format("{:.1f},{:.1f} ", x(p.density), y(p.dense_ms / p.auto_ms));
      work += fmt::format("{:.1f},{:.1f} ", x(p.density), y(p.gflop / p.executed_gflop));
    }
    const char* color = kColors[c % 4];
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", time, color);
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-dasharray=\"4 4\"/>\n", work, color);
    const double label = kTop + 20 + 36 * static_cast<double>(c);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}: time</text>\n", kRight + 10, label, color, cells[c]);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">(dashed: arithmetic)</text>\n", kRight + 10, label + 15,
                       color);
  }
  return svg +
         fmt::format(
             "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">density of G and D</text>\n<text x=\"16\" y=\"{}\" "
             "transform=\"rotate(-90 16 {})\" text-anchor=\"middle\">speed-up of a training iteration</text>\n</svg>\n",
             (kLeft + kRight) / 2, kBottom + 36, (kTop + kBottom) / 2, (kTop + kBottom) / 2);
}

std::string heading(const SweepOptions& options, const DeviceChoice& device) {
  const TrainOptions& t = options.trainer.train;
  const ModelOptions& model = options.trainer.model;
  return fmt::format(
      "{}\ndevice     {}\niteration  {} D steps on {} + {} images, one G step on {}; {} of widths {} and {}; static "
      "masks, "
      "density_g = density_d, layers by ERK\nGFLOP per iteration; ms: the best of {} in turns; auto: what "
      "--execution auto does; passes: layer passes on a sparse path\n{}\n{:<16}{:>8}{:>9}{:>10}{:>10}{:>10}{:>10}"
      "{:>12}{:>10}{:>10}{:>9}\n",
      version_line("train_step_bench"), device_identity(device.device, device.precision), t.n_critic, t.batch_size_d,
      t.batch_size_d, t.batch_size_g, model.name, model.width_g, model.width_d, options.iterations,
      has_cusparse(device.device) ? "" : "cusparse: not on this device\n", "cell", "density", "GFLOP", "executed",
      "dense ms", "masked ms", "auto ms", "cusparse ms", "speed-up", "FLOP red.", "passes");
}

std::string line_of(const Point& p) {
  return fmt::format("{:<16}{:>8}{:>9.1f}{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}{:>12}{:>9.2f}x{:>9.2f}x{:>9}\n", p.cell,
                     p.density, p.gflop, p.executed_gflop, p.dense_ms, p.masked_ms, p.auto_ms,
                     std::isnan(p.cusparse_ms) ? "-" : fmt::format("{:.1f}", p.cusparse_ms), p.dense_ms / p.auto_ms,
                     p.gflop / p.executed_gflop, fmt::format("{}/{}", p.sparse_passes, p.passes));
}

std::string shares_table(const std::vector<Point>& points) {
  std::string text = fmt::format(
      "\nwhere the time of the auto column went (products: conv2d and linear), and memory: arena and parameters\n"
      "{:<16}{:>8}{:>10}{:>16}{:>17}{:>16}{:>10}{:>12}{:>12}\n",
      "cell", "density", "forward", "backward_input", "backward_weight", "other launches", "outside", "dense MiB",
      "auto MiB");
  for (const Point& p : points) {
    text +=
        fmt::format("{:<16}{:>8}{:>9.0f}%{:>15.0f}%{:>16.0f}%{:>15.0f}%{:>9.0f}%{:>12.1f}{:>12.1f}\n", p.cell,
                    p.density, 100 * p.shares.forward, 100 * p.shares.backward_input, 100 * p.shares.backward_weight,
                    100 * p.shares.other, 100 * p.shares.outside(), p.dense_mib, p.auto_mib);
  }
  return text;
}

std::string csv_of(const std::vector<Point>& points) {
  std::string csv =
      "cell,density,gflop,executed_gflop,dense_ms,masked_ms,auto_ms,speedup,flop_reduction,products_share,cusparse_ms,"
      "dense_mib,auto_mib\n";
  for (const Point& p : points) {
    csv += fmt::format("{},{},{:.3f},{:.3f},{:.2f},{:.2f},{:.2f},{:.3f},{:.3f},{:.3f},{},{:.1f},{:.1f}\n", p.cell,
                       p.density, p.gflop, p.executed_gflop, p.dense_ms, p.masked_ms, p.auto_ms, p.dense_ms / p.auto_ms,
                       p.gflop / p.executed_gflop, p.shares.products(),
                       std::isnan(p.cusparse_ms) ? "" : fmt::format("{:.2f}", p.cusparse_ms), p.dense_mib, p.auto_mib);
  }
  return csv;
}

ordered_json json_of(const std::vector<Point>& points) {
  ordered_json rows = ordered_json::array();
  for (const Point& p : points) {
    rows.push_back({{"cell", p.cell},
                    {"density", p.density},
                    {"gflop", p.gflop},
                    {"executed_gflop", p.executed_gflop},
                    {"dense_ms", p.dense_ms},
                    {"masked_ms", p.masked_ms},
                    {"auto_ms", p.auto_ms},
                    {"cusparse_ms", std::isnan(p.cusparse_ms) ? ordered_json() : ordered_json(p.cusparse_ms)},
                    {"speedup", p.dense_ms / p.auto_ms},
                    {"flop_reduction", p.gflop / p.executed_gflop},
                    {"shares",
                     {{"forward", p.shares.forward},
                      {"backward_input", p.shares.backward_input},
                      {"backward_weight", p.shares.backward_weight},
                      {"other_launches", p.shares.other},
                      {"outside", p.shares.outside()}}},
                    {"dense_mib", p.dense_mib},
                    {"auto_mib", p.auto_mib},
                    {"sparse_passes", p.sparse_passes},
                    {"passes", p.passes}});
  }
  return rows;
}

}  // namespace

SparseOptions static_masks(double density, const Cell& cell, ExecutionChoice execution) {
  SparseOptions o;
  o.method = "static";
  o.density_g = o.density_d = density;
  o.cell = cell;
  o.execution = execution;
  o.br_every = 0;
  return o;
}

void run_density_sweep(const SweepOptions& options, const ImageSet& images) {
  Trainer dense(options.trainer, images);
  std::vector<Point> points;
  const TrainOptions& t = options.trainer.train;
  const ModelOptions& model = options.trainer.model;
  const DeviceChoice& device = dense.device();
  print_result(heading(options, device));
  for (const std::string& text : options.cells) {
    const Cell cell = cell_named("--cells", text);
    for (double density : options.densities) {
      points.push_back(measure(options, images, dense, density, cell));
      print_result(line_of(points.back()));
    }
  }
  print_result(shares_table(points));
  print_result(fmt::format("peak of the process, all of these together: {:.0f} MiB\n\n", peak_memory_mib()));
  ordered_json crossovers;
  for (const std::string& cell : options.cells) {
    crossovers[cell] = crossover(points, cell);
    print_result(fmt::format("crossover {:<16} {:.2f}\n", cell, crossover(points, cell)));
  }
  if (!options.csv.empty()) write_file_atomically(options.csv, csv_of(points));
  if (!options.svg.empty()) write_file_atomically(options.svg, plot(points, options.cells));
  if (!options.json.empty()) {
    const ordered_json report = {{"program", version_line("train_step_bench")},
                                 {"device", device_identity(device.device, device.precision)},
                                 {"model", model.name},
                                 {"width_g", model.width_g},
                                 {"width_d", model.width_d},
                                 {"batch_size_d", t.batch_size_d},
                                 {"batch_size_g", t.batch_size_g},
                                 {"n_critic", t.n_critic},
                                 {"cusparse", has_cusparse(device.device) ? "measured" : "not on this device"},
                                 {"crossovers", crossovers},
                                 {"peak_process_mib", peak_memory_mib()},
                                 {"points", json_of(points)}};
    write_file_atomically(options.json, report.dump(2) + "\n");
  }
}

}  // namespace poise
