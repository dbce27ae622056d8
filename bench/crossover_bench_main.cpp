// At which density does skipping dead weights begin to pay? Times every pass of every masked layer of a model, dense
// and on the paths that skip its cells: by block, on a GPU also through cuSPARSE, on the CPU by single weight. The
// paths run in turns, over densities and cells. Stores the speed-ups where the automatic switch of train_gan reads them
// (engine/sparse/crossover.h). Then measures the path that the switch chooses again, and fails (exit code 6) if it is
// slower than dense by more than 5%.
//
//   crossover_bench                         SNGAN-32 at full width, batch 16, all cells that the device's kernels skip
//   crossover_bench --no-save --csv FILE    only writes the numbers (or --json FILE)
//   crossover_bench --device cuda --precision bf16 --batch 64 --cells 16x16,32x32
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/console/program.h"
#include "apps/training/device_choice.h"
#include "apps/training/train_options.h"
#include "bench/bench_layer.h"
#include "bench/bench_program.h"
#include "engine/io/atomic_file.h"
#include "engine/sparse/execution.h"
#include "models/registry.h"

namespace {

using namespace poise;

constexpr std::array<Pass, 3> kPasses = {Pass::forward, Pass::backward_input, Pass::backward_weight};

struct BenchOptions {
  ModelOptions model;
  int64_t batch = 16, threads = 0;
  std::vector<double> densities = {1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01};
  std::vector<std::string> cells = {"16x16", "16x16-all-taps", "1x1", "2x1", "4x1"};
  double seconds = 0.2;  // per number
  int64_t layers = 0;    // 0: all
  std::string device = "auto", precision = "auto";
  std::string csv, json;
  bool save = true;
};

// The distinct convolutions of a network's maskable layers, found by a forward pass that only plans.
std::vector<Conv2dGeometry> convolutions(Module& network, const Shape& input,
                                         const std::function<void(Tape&, Var)>& forward) {
  const Memory nowhere(Device::cpu, /*is_planned=*/true);
  ParameterSlab slab(network, DType::f32, nowhere, false);
  NetworkMasks masks(network, slab, {}, MaskableHead::dense, nowhere);
  const CrossoverTable nothing_measured;
  const NetworkExecution execution(network, masks, ExecutionChoice::weights, nothing_measured, nowhere);
  Context ctx{.kernels = &cpu_kernels()};
  const PlanningScope planning(ctx);
  Tape tape(ctx);
  forward(tape, tape.constant(ctx.arena->alloc(input, DType::f32)));
  std::vector<Conv2dGeometry> found;
  network.for_each_parameter([&](Parameter& p) {
    if (!p.execution || p.execution->geometry.macs() == 0) return;
    if (std::find(found.begin(), found.end(), p.execution->geometry) == found.end())
      found.push_back(p.execution->geometry);
  });
  return found;
}

std::string layer_name(const Conv2dGeometry& g) {
  return fmt::format("{}x{} {}->{} {}x{} upsample {}", g.kh, g.kw, g.c_in, g.c_out, g.h, g.w, g.upsample) +
         (g.pool > 1 ? " pooled" : "");
}

// One pass of one layer under masks of one cell.
struct Subject {
  Conv2dGeometry geometry;
  Pass pass;
  Cell cell;
  CrossoverKey key(Execution path) const { return {.geometry = geometry, .pass = pass, .cell = cell, .path = path}; }
};

// A subject at one density.
struct Point {
  Subject subject;
  double density;
  PathNumbers seconds, gflop;           // executed; NaN if the cells or the device have no such path
  Execution chosen = Execution::dense;  // by the automatic switch, once the table is complete
  double over_dense = 1;                // time of the chosen path relative to dense, measured again
  bool too_slow = false;

  Point(const Subject& s, double d) : subject(s), density(d) {
    seconds.fill(std::numeric_limits<double>::quiet_NaN());
    gflop = seconds;
  }
  double speedup(Execution path) const { return seconds[0] / seconds[static_cast<size_t>(path)]; }
};

constexpr double kTolerance = 1.05;
// The number of times that each point is measured, seconds apart and in different memory: disturbances on a shared
// machine may last for a second, and the speed of memory-bound layers depends on the addresses of their tensors.
constexpr uint64_t kVisits = 2;

// Measures a point during one visit; the shortest time of all visits counts.
void measure(Point& point, BenchLayer& layer, const std::vector<Execution>& paths, double seconds) {
  const std::vector<double> times = shortest_times(layer, point.subject.pass, paths, seconds / kVisits);
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto path = static_cast<size_t>(paths[i]);
    point.seconds[path] = std::fmin(point.seconds[path], times[i]);  // ignores NaN
    point.gflop[path] = 2e-9 * layer.executed_macs(point.subject.pass, paths[i]);
  }
}

// Measures the path that the switch chooses and dense again in turns, and up to twice more if the path looks too slow.
void judge(Point& point, BenchDevice& device, const CrossoverTable& table, double seconds) {
  PathNumbers speedups;
  speedups.fill(std::numeric_limits<double>::quiet_NaN());
  speedups[0] = 1;
  for (const Execution path : device.paths(point.subject.cell)) {
    if (path == Execution::dense) continue;
    speedups[static_cast<size_t>(path)] = table.speedup(point.subject.key(path), point.density, 1);
  }
  point.chosen = choose_path(speedups, Execution::dense);
  if (point.chosen == Execution::dense) return;
  for (uint64_t attempt = 0; attempt < 3; ++attempt) {
    BenchLayer layer(device, point.subject.geometry, point.subject.cell, point.density, 2 + attempt);
    const std::vector<double> times =
        shortest_times(layer, point.subject.pass, {Execution::dense, point.chosen}, seconds);
    point.over_dense = times[1] / times[0];
    point.too_slow = point.over_dense > kTolerance;
    if (!point.too_slow) return;
  }
}

std::string csv_of(const std::vector<Point>& points) {
  std::string csv = "layer,pass,cell,density";
  for (const auto& path : EnumNames<Execution>::all) csv += fmt::format(",{0}_ms,{0}_gflop", path.name);
  csv += ",auto,auto_over_dense\n";
  for (const Point& p : points) {
    const Subject& s = p.subject;
    csv += fmt::format("{},{},{},{:.4f}", layer_name(s.geometry), name_of(s.pass), to_string(s.cell), p.density);
    for (size_t path = 0; path < kExecutions; ++path) {
      csv += std::isnan(p.seconds[path]) ? ",," : fmt::format(",{:.4f},{:.4f}", p.seconds[path] * 1e3, p.gflop[path]);
    }
    csv += fmt::format(",{},{:.3f}\n", name_of(p.chosen), p.over_dense);
  }
  return csv;
}

std::string json_of(const std::vector<Point>& points, const std::string& device, int64_t batch) {
  using nlohmann::ordered_json;
  ordered_json rows = ordered_json::array();
  int64_t too_slow = 0;
  for (const Point& p : points) {
    const Subject& s = p.subject;
    too_slow += p.too_slow;
    ordered_json row = {{"layer", layer_name(s.geometry)},
                        {"pass", name_of(s.pass)},
                        {"cell", to_string(s.cell)},
                        {"density", p.density}};
    for (const auto& path : EnumNames<Execution>::all) {
      const double seconds = p.seconds[static_cast<size_t>(path.value)];
      if (!std::isnan(seconds)) row[std::string(path.name) + "_ms"] = seconds * 1e3;
    }
    row.update({{"auto", name_of(p.chosen)}, {"auto_over_dense", p.over_dense}, {"too_slow", p.too_slow}});
    rows.push_back(row);
  }
  const ordered_json report = {{"program", version_line("crossover_bench")},
                               {"device", device},
                               {"batch", batch},
                               {"tolerance", kTolerance},
                               {"too_slow", too_slow},
                               {"points", rows}};
  return report.dump(2) + "\n";
}

// Whether kernels of the device skip such cells in this layer.
bool skips(const Conv2dGeometry& geometry, const Cell& cell, const std::vector<Execution>& paths) {
  if (!cell.divides(geometry.weight_shape()) || (cell.all_taps && geometry.kh * geometry.kw == 1)) return false;
  if (paths.size() < 2) return false;
  const Conv2dGeometry form = sparse_form_on(paths[1], geometry);
  return paths[1] == Execution::weights ? weights_conv2d_serves(form) : block_conv2d_serves(form, block_of(cell));
}

// The distinct maskable convolutions of both networks: the first o.layers, or all if that is 0.
std::vector<Conv2dGeometry> layers_of(const BenchOptions& o) {
  GanModel model = make_model(o.model);
  Generator& g = *model.generator;
  Discriminator& d = *model.discriminator;
  const Shape& image = g.image_shape;
  const auto labels = [&](Tape& t) { return g.classes > 0 ? t.alloc({o.batch}, DType::i32) : Tensor{}; };
  std::vector<Conv2dGeometry> layers =
      convolutions(g, {o.batch, g.latent_size}, [&](Tape& t, Var z) { g(z, labels(t)); });
  for (const Conv2dGeometry& layer :
       convolutions(d, {o.batch, image[0], image[1], image[2]}, [&](Tape&t, Var x) { d(x, labels(t)); })) {
    if (std::find(layers.begin(), layers.end(), layer) == layers.end()) layers.push_back(layer);
  }
  if (o.layers > 0 && o.layers < static_cast<int64_t>(layers.size())) layers.resize(static_cast<size_t>(o.layers));
  return layers;
}

// Measures a layer under masks of one cell at all densities, by density and then by pass; adds to `table` and judges.
std::vector<Point> measure_layer(const BenchOptions& o, BenchDevice& device, const Conv2dGeometry& geometry,
                                 const Cell& cell, const std::vector<Execution>& paths, CrossoverTable& table) {
  std::vector<Point> points;
  for (double density : o.densities) {
    for (Pass pass : kPasses) points.emplace_back(Subject{geometry, pass, cell}, density);
  }
  for (uint64_t visit = 0; visit < kVisits; ++visit) {
    for (size_t i = 0; i < points.size(); i += kPasses.size()) {
      BenchLayer layer(device, geometry, cell, points[i].density, visit);
      for (size_t pass = 0; pass < kPasses.size(); ++pass) measure(points[i + pass], layer, paths, o.seconds);
    }
  }
  for (const Point& p : points) {
    for (const Execution path : paths) {
      if (path != Execution::dense) table.add(p.subject.key(path), p.density, p.speedup(path));
    }
  }
  for (Point& p : points) judge(p, device, table, o.seconds);
  return points;
}

// The table lines for the points of measure_layer(): per pass, one for each sparse path and one for the switch.
std::string lines_of(const std::vector<Point>& points, const std::vector<Execution>& paths,
                     const CrossoverTable& table) {
  std::string lines;
  for (size_t first = 0; first < kPasses.size(); ++first) {
    const Subject& subject = points[first].subject;
    for (size_t path = 1; path <= paths.size(); ++path) {
      const bool is_auto = path == paths.size();
      lines += fmt::format("{:<72}", is_auto ? "    auto" : subject.key(paths[path]).to_string());
      for (size_t i = first; i < points.size(); i += kPasses.size()) {
        const Point& p = points[i];
        lines += is_auto ? fmt::format("{:>15}", fmt::format("{} {:.2f}", name_of(p.chosen), p.over_dense))
                         : fmt::format("{:>14.2f}x", p.speedup(paths[path]));
      }
      if (!is_auto) lines += fmt::format("{:>12.2f}", table.crossover_density(subject.key(paths[path])));
      lines += "\n";
    }
  }
  return lines;
}

// A line for each point at which the switch chooses a path that is too slow.
std::string slow_points(const std::vector<Point>& points) {
  std::string lines;
  for (const Point& p : points) {
    if (!p.too_slow) continue;
    lines += fmt::format("{} at density {}: {} takes {:.2f} of the dense time\n", p.subject.key(p.chosen).to_string(),
                         p.density, name_of(p.chosen), p.over_dense);
  }
  return lines;
}

int run(int argc, char** argv) {
  BenchOptions o;
  CLI::App app("Measures at which density sparse layers become faster than dense ones.");
  app.add_option("--model", o.model.name, "the networks")->capture_default_str();
  app.add_option("--width-g", o.model.width_g, "channels of G")->capture_default_str();
  app.add_option("--width-d", o.model.width_d, "channels of D")->capture_default_str();
  app.add_option("--batch", o.batch, "images")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--device", o.device, "auto, cpu, cuda or emulated")->check(device_name())->capture_default_str();
  app.add_option("--precision", o.precision, "auto, fp32, tf32 or bf16")
      ->check(precision_name())
      ->capture_default_str();
  app.add_option("--threads", o.threads, "0: all processors")->check(CLI::Range(0, 4096));
  app.add_option("--densities", o.densities, "shares of cells alive")->delimiter(',')->check(CLI::Range(0.001, 1.0));
  app.add_option("--cells", o.cells, "cells of the masks")->delimiter(',');
  app.add_option("--seconds", o.seconds, "per number")->check(CLI::Range(0.0, 60.0))->capture_default_str();
  app.add_option("--layers", o.layers, "measure only the first so many, 0: all")->check(CLI::Range(0, 1000));
  app.add_option("--csv", o.csv, "write the numbers to this file as well");
  app.add_option("--json", o.json, "write the numbers to this file as well");
  app.add_flag("!--no-save", o.save, "leave the table of train_gan as it is");
  if (!parse_flags(app, argc, argv)) return 0;
  set_thread_count(o.threads);
  const DeviceChoice choice = choose_device(named<Device>(o.device), named<Precision>(o.precision));
  BenchDevice device(choice.device, choice.precision);

  const std::vector<Conv2dGeometry> layers = layers_of(o);
  const std::string identity = device_identity(choice.device, choice.precision);
  const std::filesystem::path path = CrossoverTable::default_path(identity);
  CrossoverTable table = CrossoverTable::load(path);
  print_result(fmt::format(
      "{}\ndevice {}, batch {}; each number: dense time / time at that density. auto: the path that the switch takes, "
      "and its\ntime over dense, measured again\n\n",
      version_line("crossover_bench"), identity, o.batch));
  std::string header = fmt::format("{:<72}", "pass, layer, cell");
  for (double density : o.densities) header += fmt::format("{:>15}", density);
  print_result(header + "   crossover\n");
  std::vector<Point> points;
  std::string slow;
  for (const Conv2dGeometry& geometry : layers) {
    for (const std::string& text : o.cells) {
      const Cell cell = cell_named("--cells", text);
      const std::vector<Execution> paths = device.paths(cell);
      if (!skips(geometry, cell, paths)) continue;
      const std::vector<Point> measured = measure_layer(o, device, geometry, cell, paths, table);
      print_result(lines_of(measured, paths, table));
      slow += slow_points(measured);
      points.insert(points.end(), measured.begin(), measured.end());
    }
  }
  if (!o.csv.empty()) write_file_atomically(o.csv, csv_of(points));
  if (!o.json.empty()) write_file_atomically(o.json, json_of(points, identity, o.batch));
  if (o.save && !path.empty()) {
    table.save(path, identity);
    print_result(fmt::format("\nkept for train_gan in {}\n", path.string()));
  }
  if (!slow.empty()) {
    fail(ErrorKind::check,
         "the automatic switch makes layers slower than dense by more than 5%, measured three times:\n" + slow);
  }
  print_result(
      fmt::format("the automatic switch makes no layer slower than dense by more than 5%: {} points\n", points.size()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("crossover_bench", [=] { return run(argc, argv); });
}
