// Times whole training iterations (n_critic D steps and one G step) of a model on random pictures, and prints where the
// time goes. Uses the Trainer of train_gan; nothing is left out except files.
//
//   train_step_bench                      SNGAN-32 at full width, batches 8 and 16, 5 D steps: 0.444 TFLOP
//   train_step_bench --sweep              the same under static masks, over densities and cells: dense, masked, block
//   train_step_bench --density 0.1        under static masks of single weights (or of --cell), 10% alive in G and D
//   train_step_bench --serve              one command per line on standard input, for runs interleaved with a peer:
//                                         run -> milliseconds of one iteration; memory -> peak MiB of the process;
//                                         profile, info -> a line of JSON; quit -> peak MiB, and ends
#include <fmt/format.h>
#include <oneapi/dnnl/dnnl_version.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/console/program.h"
#include "apps/training/trainer.h"
#include "bench/bench_program.h"
#include "bench/density_sweep.h"
#include "engine/io/atomic_file.h"
#include "kernels/core/philox.h"
#include "kernels/gpu/runtime.h"

namespace {

using namespace poise;
using nlohmann::ordered_json;

struct BenchOptions {
  TrainerOptions trainer;
  int64_t iterations = 7, warm_ups = 2, threads = 0, rows = 16;
  std::string json;
  bool serve = false, sweep = false;
  SweepOptions sweeping;
};

ImageSet random_images(int64_t side, int64_t count) {
  ImageSet set{.name = "random", .count = count, .height = side, .width = side, .channels = 3};
  set.pixels.resize(static_cast<size_t>(count * side * side * 3));
  for (size_t i = 0; i < set.pixels.size(); ++i) {
    set.pixels[i] = static_cast<uint8_t>(philox4x32(1, i, static_cast<uint32_t>(RandomStream::test), 0).x[0]);
  }
  set.labels.resize(static_cast<size_t>(count));
  return set;
}

ImageSet random_images(const TrainerOptions& o) {
  return random_images(image_side_of(o.model.name), 4 * o.train.n_critic * o.train.batch_size_d);
}

class TrainStepBench {
 public:
  explicit TrainStepBench(const BenchOptions& options)
      : options_(options.trainer), trainer_(options.trainer, random_images(options.trainer)) {}

  double milliseconds_of_one_iteration() {
    const auto start = std::chrono::steady_clock::now();
    trainer_.iterate();
    trainer_.synchronize();
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (!trainer_.report().finite()) fail(ErrorKind::runtime, "the losses are no longer finite");
    return ms;
  }

  // One iteration with a clock around every launch.
  struct Profiled {
    Profile profile;
    double seconds = 0;  // the whole iteration; the rows sum to a little less
  };
  Profiled profiled_iteration() {
    Profiled result;
    trainer_.set_profile(&result.profile);
    result.seconds = milliseconds_of_one_iteration() * 1e-3;
    trainer_.set_profile(nullptr);
    return result;
  }

  gpu::Runtime* runtime() const {  // null on the CPU
    const Device device = trainer_.device().device;
    return device == Device::cpu ? nullptr : &gpu::runtime(device);
  }

  const TrainingPlan& plan() const { return trainer_.training_plan(); }
  // The work of an iteration under the current masks and paths; plan() has that of dense execution.
  Work work() { return trainer_.work_by_layer().total().work; }

  ordered_json info() {
    const TrainOptions& o = options_.train;
    const ModelOptions& model = options_.model;
    const DeviceChoice& device = trainer_.device();
    const Work done = work();
    return {{"program", version_line("train_step_bench")},
            {"cpu", cpu_model()},
            {"device", name_of(device.device)},
            {"device_name", device.name},
            {"precision", name_of(device.precision)},
            {"graphs", o.graph},
            {"data", plan().data.streamed ? "streamed" : "on the device"},
            {"threads", thread_count()},
            {"onednn", fmt::format("{}.{}.{}", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH)},
            {"model", model.name},
            {"width_g", model.width_g},
            {"width_d", model.width_d},
            {"latent_size", model.latent_size},
            {"batch_size_d", o.batch_size_d},
            {"batch_size_g", o.batch_size_g},
            {"n_critic", o.n_critic},
            {"gflop_per_iteration", done.flops * 1e-9},
            {"executed_gflop_per_iteration", done.executed_flops * 1e-9},
            {"arena_mib", static_cast<double>(plan().arena_bytes) / kMiB},
            {"slab_mib", static_cast<double>(plan().slab_bytes) / kMiB},
            {"data_mib", static_cast<double>(plan().data.bytes) / kMiB}};
  }

 private:
  TrainerOptions options_;
  Trainer trainer_;
};

// Seconds by op ("conv2d forward", "adam update", ...), largest first.
std::vector<std::pair<std::string, double>> seconds_by_op(const Profile& profile) {
  std::map<std::string, double> sums;
  for (const Profile::Row& row : profile.rows()) {
    sums[fmt::format("{} {}", row.work.op, name_of(row.work.pass))] += row.seconds;
  }
  std::vector<std::pair<std::string, double>> sorted(sums.begin(), sums.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

double convolution_seconds(const Profile& profile) {
  double sum = 0;
  for (const Profile::Row& row : profile.rows()) sum += row.work.op == std::string("conv2d") ? row.seconds : 0;
  return sum;
}

ordered_json profile_json(const TrainStepBench::Profiled& profiled) {
  ordered_json shares, rows = ordered_json::array();
  for (const auto& [name, seconds] : seconds_by_op(profiled.profile)) shares[name] = seconds / profiled.seconds;
  for (const Profile::Row& row : profiled.profile.rows()) {
    rows.push_back({{"layer", row.layer},
                    {"op", row.work.op},
                    {"pass", name_of(row.work.pass)},
                    {"calls", row.calls},
                    {"ms", row.seconds * 1e3},
                    {"gflop", row.work.flops * 1e-9},
                    {"executed_gflop", row.work.executed_flops * 1e-9},
                    {"bytes", row.work.bytes}});
  }
  return {{"ms", profiled.seconds * 1e3},
          {"convolution_share", convolution_seconds(profiled.profile) / profiled.seconds},
          {"in_launches_share", profiled.profile.total().seconds / profiled.seconds},
          {"shares", shares},
          {"rows", rows}};
}

// The sums by op, followed by the largest rows by layer, op and pass.
std::string profile_text(const TrainStepBench::Profiled& profiled, int64_t row_limit) {
  const double all = profiled.seconds;
  std::string text =
      fmt::format("share of time, in one iteration of {:.0f} ms with a clock around every launch\n  {:<45}{:>7.1f}%\n",
                  all * 1e3, "all convolutions", 100 * convolution_seconds(profiled.profile) / all);
  for (const auto& [name, seconds] : seconds_by_op(profiled.profile)) {
    if (seconds >= 0.005 * all) text += fmt::format("    {:<43}{:>7.1f}%\n", name, 100 * seconds / all);
  }
  text +=
      fmt::format("    {:<43}{:>7.1f}%\n\n", "outside of launches", 100 * (1 - profiled.profile.total().seconds / all));

  std::vector<Profile::Row> rows = profiled.profile.rows();
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  rows.resize(std::min(rows.size(), static_cast<size_t>(row_limit)));
  text += fmt::format("  {:<24}{:<14}{:<16}{:>6}{:>9}{:>8}{:>10}{:>8}\n", "layer", "op", "pass", "calls", "ms", "share",
                      "GFLOP/s", "GB/s");
  for (const Profile::Row& row : rows) {
    text += fmt::format("  {:<24}{:<14}{:<16}{:>6}{:>9.1f}{:>7.1f}%{:>10.1f}{:>8.1f}\n", row.layer, row.work.op,
                        name_of(row.work.pass), row.calls, row.seconds * 1e3, 100 * row.seconds / all,
                        row.work.flops / row.seconds * 1e-9, row.work.bytes / row.seconds * 1e-9);
  }
  return text;
}

int measure(TrainStepBench& bench, const BenchOptions& options) {
  for (int64_t i = 0; i < options.warm_ups; ++i) bench.milliseconds_of_one_iteration();
  gpu::Runtime* const device = bench.runtime();
  if (device) device->begin_profile();
  std::vector<double> ms;
  for (int64_t i = 0; i < options.iterations; ++i) ms.push_back(bench.milliseconds_of_one_iteration());
  if (device) device->end_profile();
  const double peak_mib = peak_memory_mib();
  std::vector<double> sorted = ms;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  const double median = sorted.size() % 2 == 1 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
  const TrainStepBench::Profiled profiled = bench.profiled_iteration();

  const TrainOptions& o = options.trainer.train;
  const ModelOptions& model = options.trainer.model;
  const TrainingPlan& plan = bench.plan();
  const Work work = bench.work();
  ordered_json report = bench.info();
  std::string text =
      fmt::format("{}\ndevice     {} {}, {}, threads {}, oneDNN {}\n", report["program"].get<std::string>(),
                  report["device"].get<std::string>(), report["device_name"].get<std::string>(),
                  report["precision"].get<std::string>(), thread_count(), report["onednn"].get<std::string>());
  text +=
      fmt::format("iteration  {} D steps on {} + {} images and one G step on {}; {} of widths {} and {}\n", o.n_critic,
                  o.batch_size_d, o.batch_size_d, o.batch_size_g, model.name, model.width_g, model.width_d);
  text += fmt::format("work       {:.1f} GFLOP per iteration, {:.1f} executed\n", work.flops * 1e-9,
                      work.executed_flops * 1e-9);
  text += fmt::format("speed      {:.3f} iterations/s, median of {} (min {:.3f}, max {:.3f}): {:.1f} ms\n",
                      1e3 / median, ms.size(), 1e3 / sorted.back(), 1e3 / sorted.front(), median);
  text += fmt::format("           {:.1f} GFLOP/s, {:.1f} executed\n", work.flops / median * 1e-6,
                      work.executed_flops / median * 1e-6);
  text += fmt::format(
      "memory     {:.0f} MiB at peak: step arena {:.0f}, parameter slabs {:.0f}, images {:.1f}, the rest oneDNN and "
      "the program\n\n",
      peak_mib, static_cast<double>(plan.arena_bytes) / kMiB, static_cast<double>(plan.slab_bytes) / kMiB,
      static_cast<double>(plan.data.bytes) / kMiB);
  print_result(text + profile_text(profiled, options.rows));
  if (!options.json.empty()) {
    report.update({{"ms", ms},
                   {"median_ms", median},
                   {"iterations_per_second", 1e3 / median},
                   {"gflops", work.flops / median * 1e-6},
                   {"executed_gflops", work.executed_flops / median * 1e-6},
                   {"peak_mib", peak_mib},
                   {"profile", profile_json(profiled)}});
    write_file_atomically(options.json, report.dump(2) + "\n");
  }
  return 0;
}

int run(int argc, char** argv) {
  BenchOptions options;
  TrainerOptions& t = options.trainer;
  t.train.batch_size_d = 8;
  t.train.batch_size_g = 16;
  CLI::App app("Times whole training iterations on random pictures and says where the time goes.");
  app.add_option("--model", t.model.name, "the networks")->capture_default_str();
  app.add_option("--width-g", t.model.width_g, "channels of G")->capture_default_str();
  app.add_option("--width-d", t.model.width_d, "channels of D")->capture_default_str();
  app.add_option("--latent-size", t.model.latent_size, "numbers that G starts from")->capture_default_str();
  app.add_option("--batch-size-d", t.train.batch_size_d, "real images of a D step, and as many fakes")
      ->capture_default_str();
  app.add_option("--batch-size-g", t.train.batch_size_g, "images of a G step")->capture_default_str();
  app.add_option("--n-critic", t.train.n_critic, "D steps per G step")->capture_default_str();
  const auto at_least = [](int64_t least) { return CLI::Range(least, int64_t{1000000}); };
  std::string device = "auto", precision = "auto", placement = "auto";
  app.add_option("--device", device, "auto, cpu, cuda or emulated")->check(device_name())->capture_default_str();
  app.add_option("--precision", precision, "auto, fp32, tf32 or bf16")->check(precision_name())->capture_default_str();
  app.add_option("--data-placement", placement, "auto, device or stream")
      ->check(CLI::IsMember(names_of<DataPlacement>()))
      ->capture_default_str();
  bool no_graph = false;
  app.add_flag("--no-graph", no_graph, "launch each kernel instead of replaying captured steps");
  app.add_option("--iterations", options.iterations, "timed iterations")->check(at_least(1))->capture_default_str();
  app.add_option("--warm-ups", options.warm_ups, "iterations before these")->check(at_least(0))->capture_default_str();
  app.add_option("--threads", options.threads, "0: all processors")->check(at_least(0))->capture_default_str();
  app.add_option("--rows", options.rows, "rows of the table by layer")->check(at_least(0))->capture_default_str();
  app.add_option("--json", options.json, "also write the numbers to this file");
  double density = 1;
  std::string cell = "1x1";
  CLI::Option* asks_density =
      app.add_option("--density", density, "of G and D, under static masks")->check(CLI::Range(0.001, 1.0));
  app.add_option("--cell", cell, "of these masks: 1x1, 16x16, ..")->capture_default_str()->needs(asks_density);
  CLI::Option* asks_sweep =
      app.add_flag("--sweep", options.sweep, "static masks: dense, masked and sparse iterations in turns");
  app.add_option("--densities", options.sweeping.densities, "of the sweep, falling")->delimiter(',')->needs(asks_sweep);
  app.add_option("--cells", options.sweeping.cells, "of the sweep")->delimiter(',')->needs(asks_sweep);
  app.add_option("--csv", options.sweeping.csv, "also write the sweep to this file")->needs(asks_sweep);
  app.add_option("--svg", options.sweeping.svg, "draw the sweep into this file")->needs(asks_sweep);
  app.add_flag("--serve", options.serve,
               "obey commands on standard input, one per line: run, memory, profile, info, quit");
  if (!parse_flags(app, argc, argv)) return 0;
  set_thread_count(options.threads);
  t.train.device = named<Device>(device);
  t.train.precision = named<Precision>(precision);
  t.train.graph = !no_graph;
  t.data.data_placement = *named<DataPlacement>(placement);
  if (options.sweep) {
    SweepOptions& sweep = options.sweeping;
    sweep.trainer = options.trainer;
    sweep.iterations = options.iterations;
    sweep.json = options.json;
    run_density_sweep(sweep, random_images(options.trainer));
    return 0;
  }
  if (density < 1) t.sparse = static_masks(density, cell_named("--cell", cell), ExecutionChoice::automatic);
  TrainStepBench bench(options);
  if (!options.serve) return measure(bench, options);
  return serve({{"run", [&] { return fmt::format("{:.3f}", bench.milliseconds_of_one_iteration()); }},
                {"profile", [&] { return profile_json(bench.profiled_iteration()).dump(); }},
                {"info", [&] { return bench.info().dump(); }}});
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("train_step_bench", [=] { return run(argc, argv); });
}
