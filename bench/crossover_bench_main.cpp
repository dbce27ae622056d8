// At which density does skipping dead blocks begin to pay? Times every masked layer of a model, each pass, dense and
// block-sparse in turns, over densities and cells, and keeps the speed-ups where the automatic switch of train_gan
// looks for them (engine/sparse/crossover.h).
//
//   crossover_bench                         SNGAN-32 at full width, batch 16, cells 16x16 and 16x16-all-taps
//   crossover_bench --no-save --csv FILE    only the numbers
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "apps/program.h"
#include "bench/bench_layer.h"
#include "engine/io/atomic_file.h"
#include "engine/sparse/execution.h"
#include "models/registry.h"

namespace {

using namespace poise;

constexpr Pass kPasses[] = {Pass::forward, Pass::backward_input, Pass::backward_weight};

struct BenchOptions {
  ModelOptions model;
  int64_t batch = 16, threads = 0;
  std::vector<double> densities = {1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05};
  std::vector<std::string> cells = {"16x16", "16x16-all-taps"};
  double seconds = 0.2;  // per number
  std::string csv;
  bool save = true;
};

// The convolutions that a network asks of its maskable layers, each once, by running it against kernels that do
// nothing.
std::vector<Conv2dGeometry> convolutions(Module& network, const Shape& input, int64_t block,
                                         const std::function<void(Tape&, Var)>& forward) {
  ParameterSlab slab(network, DType::f32, Device::cpu, false, /*planning=*/true);
  NetworkMasks masks(network, slab, {.out = block, .in = block}, MaskableHead::dense, Device::cpu, /*planning=*/true);
  const CrossoverTable nothing_measured;
  const NetworkExecution execution(network, masks, ExecutionChoice::block, nothing_measured, Device::cpu, true);
  const KernelTable kernels = planning_kernels(cpu_kernels());
  Arena arena = Arena::for_planning(Device::cpu);
  Context ctx{.kernels = &kernels, .arena = &arena, .planning = true};
  Tape tape(ctx);
  forward(tape, tape.constant(arena.alloc(input, DType::f32)));
  std::vector<Conv2dGeometry> found;
  network.for_each_parameter([&](Parameter& p) {
    if (!p.execution || p.execution->geometry.macs() == 0) return;
    if (std::find(found.begin(), found.end(), p.execution->geometry) == found.end())
      found.push_back(p.execution->geometry);
  });
  return found;
}

// The shortest of as many runs, in turns, as fit into the time.
struct Times {
  double dense = 1e9, block = 1e9;
};
Times measure(BenchLayer& layer, Pass pass, double seconds) {
  Times best;
  double spent = 0;
  layer.run_block(pass);
  for (int run = 0; run < 3 || (spent < seconds && run < 200); ++run) {
    const double dense = layer.run_dense(pass), block = layer.run_block(pass);
    best.dense = std::min(best.dense, dense);
    best.block = std::min(best.block, block);
    spent += dense + block;
  }
  return best;
}

int run(int argc, char** argv) {
  BenchOptions o;
  CLI::App app("Measures at which density block-sparse layers become faster than dense ones.");
  app.add_option("--model", o.model.name, "the networks")->capture_default_str();
  app.add_option("--width-g", o.model.width_g, "channels of G")->capture_default_str();
  app.add_option("--width-d", o.model.width_d, "channels of D")->capture_default_str();
  app.add_option("--batch", o.batch, "images")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--threads", o.threads, "0: as OpenMP would")->check(CLI::Range(0, 4096));
  app.add_option("--densities", o.densities, "shares of blocks alive")->delimiter(',')->check(CLI::Range(0.001, 1.0));
  app.add_option("--cells", o.cells, "cells of the masks")->delimiter(',');
  app.add_option("--seconds", o.seconds, "per number")->check(CLI::Range(0.0, 60.0))->capture_default_str();
  app.add_option("--csv", o.csv, "write the numbers to this file as well");
  app.add_flag("!--no-save", o.save, "leave the table of train_gan as it is");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    fail(ErrorKind::usage, error.what());
  }
  set_thread_count(o.threads);

  GanModel model = make_model(o.model);
  Generator& g = *model.generator;
  Discriminator& d = *model.discriminator;
  const Shape& image = g.image_shape;
  const auto labels = [&](Tape& t) { return g.classes > 0 ? t.alloc({o.batch}, DType::i32) : Tensor{}; };
  std::vector<Conv2dGeometry> layers =
      convolutions(g, {o.batch, g.latent_size}, 16, [&](Tape& t, Var z) { g(z, labels(t)); });
  for (const Conv2dGeometry& layer :
       convolutions(d, {o.batch, image[0], image[1], image[2]}, 16, [&](Tape&t, Var x) { d(x, labels(t)); })) {
    if (std::find(layers.begin(), layers.end(), layer) == layers.end()) layers.push_back(layer);
  }

  const std::string device = device_identity();
  const std::filesystem::path path = CrossoverTable::default_path(device);
  CrossoverTable table = CrossoverTable::load(path);
  std::string csv = "layer,pass,cell,density,dense_ms,block_ms,speedup,dense_gflop,dense_executed_gflop,block_gflop\n";
  print_result(fmt::format("{}\ndevice {}, batch {}; each number: dense time / block-sparse time at that density\n\n",
                           version_line("crossover_bench"), device, o.batch));
  std::string header = fmt::format("{:<62}", "pass, layer, cell");
  for (double density : o.densities) header += fmt::format("{:>7}", density);
  print_result(header + "   crossover\n");
  for (const Conv2dGeometry& geometry : layers) {
    for (const std::string& text : o.cells) {
      const std::optional<Cell> cell = cell_of(text);
      if (!cell || block_of(*cell) == 0) fail(ErrorKind::usage, "--cells: expected multiples of 16x16 but got " + text);
      if (!cell->divides(geometry.weight_shape()) || (cell->all_taps && geometry.kh * geometry.kw == 1)) continue;
      std::map<Pass, std::string> lines;
      for (double density : o.densities) {
        BenchLayer layer(geometry, *cell, density, 1);
        for (Pass pass : kPasses) {
          const Times t = measure(layer, pass, o.seconds);
          const CrossoverKey key{.geometry = geometry, .pass = pass, .cell = *cell};
          table.add(key, density, t.dense / t.block);
          lines[pass] += fmt::format("{:>6.2f}x", t.dense / t.block);
          csv += fmt::format("{}x{} {}->{} {}x{} upsample {},{},{},{},{:.4f},{:.4f},{:.3f},{:.4f},{:.4f},{:.4f}\n",
                             geometry.kh, geometry.kw, geometry.c_in, geometry.c_out, geometry.h, geometry.w,
                             geometry.upsample, name_of(pass), text, density, t.dense * 1e3, t.block * 1e3,
                             t.dense / t.block, 2e-9 * geometry.macs(), 2e-9 * layer.dense_executed_macs(pass),
                             2e-9 * layer.executed_macs(pass));
        }
      }
      for (Pass pass : kPasses) {
        const CrossoverKey key{.geometry = geometry, .pass = pass, .cell = *cell};
        print_result(fmt::format("{:<62}{}{:>12.2f}\n", key.to_string(), lines[pass], table.crossover_density(key)));
      }
    }
  }
  if (!o.csv.empty()) write_file_atomically(o.csv, csv);
  if (o.save && !path.empty()) {
    table.save(path, device);
    print_result(fmt::format("\nkept for train_gan in {}\n", path.string()));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("crossover_bench", [=] { return run(argc, argv); });
}
