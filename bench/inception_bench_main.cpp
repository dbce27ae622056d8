// Times the features of FID and IS: enlargement to 299x299 and Inception-v3, on random 32x32 pictures.
//
//   inception_bench --weights FILE            one pass, and where its time goes
//   inception_bench --weights FILE --serve    one command per line on standard input, for runs in turns with a peer:
//                                             run -> milliseconds of one pass; memory, quit -> peak MiB of the process
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>

#include "apps/console/program.h"
#include "apps/evaluation/inception_network.h"
#include "apps/training/device_choice.h"
#include "apps/training/train_options.h"
#include "bench/bench_program.h"
#include "kernels/core/philox.h"

namespace {

using namespace poise;

constexpr int64_t kSide = 32, kImageBytes = kSide * kSide * 3;

struct BenchOptions {
  std::string weights;
  std::string device = "auto", precision = "auto";
  int64_t images = 16, batch = 0, passes = 5, threads = 0, rows = 20;
  bool serve = false;
};

class InceptionBench {
 public:
  InceptionBench(const BenchOptions& o, const InceptionNetworkOptions& network)
      : network_(o.weights, network), images_(o.images), pixels_(static_cast<size_t>(o.images * kImageBytes)) {
    for (size_t i = 0; i < pixels_.size(); ++i) {
      pixels_[i] = static_cast<uint8_t>(philox4x32(1, i, static_cast<uint32_t>(RandomStream::test), 0).x[0]);
    }
  }

  double milliseconds() {
    const auto start = std::chrono::steady_clock::now();
    network_.features({network_.taps().back()}, pixels_, images_, kSide, kSide);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  InceptionNetwork& network() { return network_; }

 private:
  InceptionNetwork network_;
  int64_t images_;
  std::vector<uint8_t> pixels_;
};

int measure(InceptionBench& bench, const BenchOptions& o) {
  bench.milliseconds();
  std::vector<double> ms;
  for (int64_t i = 0; i < o.passes; ++i) ms.push_back(bench.milliseconds());
  std::sort(ms.begin(), ms.end());
  const double median = ms[ms.size() / 2], images = static_cast<double>(o.images);
  const InceptionNetwork& network = bench.network();
  std::string text =
      fmt::format("{}\nnetwork    {} ({})\n", version_line("inception_bench"), network.name(), network.identity().note);
  text += fmt::format("speed      {:.1f} ms per image, median of {} passes over {} images (min {:.1f}), {} threads\n",
                      median / images, ms.size(), o.images, ms.front() / images, thread_count());
  text += fmt::format("memory     {:.0f} MiB at peak; arena {:.0f} MiB for batches of {}\n\n", peak_memory_mib(),
                      static_cast<double>(network.arena_bytes()) / kMiB, network.batch());

  Profile profile;
  bench.network().set_profile(&profile);
  const double profiled = bench.milliseconds();
  bench.network().set_profile(nullptr);
  std::map<std::string, double> by_op;
  for (const Profile::Row& row : profile.rows()) by_op[row.work.op] += row.seconds * 1e3;
  for (const auto& [op, t] : by_op) text += fmt::format("  {:<20}{:>8.1f}%\n", op, 100 * t / profiled);
  text +=
      fmt::format("  {:<20}{:>8.1f}%\n\n", "outside of launches", 100 * (1 - profile.total().seconds * 1e3 / profiled));
  std::vector<Profile::Row> rows = profile.rows();
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  rows.resize(std::min(rows.size(), static_cast<size_t>(o.rows)));
  for (const Profile::Row& row : rows) {
    text += fmt::format("  {:<42}{:<18}{:>8.2f} ms per image{:>7.1f}%{:>9.1f} GFLOP/s\n", row.layer, row.work.op,
                        row.seconds * 1e3 / images, 100 * row.seconds * 1e3 / profiled,
                        row.work.flops / row.seconds * 1e-9);
  }
  print_result(text);
  return 0;
}

int run(int argc, char** argv) {
  BenchOptions o;
  o.device = "cpu";
  o.precision = "fp32";
  CLI::App app("Times the features of FID and IS on random pictures.");
  app.add_option("--weights", o.weights, "safetensors file of Inception-v3")->required();
  app.add_option("--device", o.device, "auto, cpu, cuda or emulated")->capture_default_str();
  app.add_option("--precision", o.precision, "fp32, tf32 or bf16")->capture_default_str();
  const auto at_least_one = CLI::Range(int64_t{1}, int64_t{1000000});
  app.add_option("--images", o.images, "of one pass")->check(at_least_one)->capture_default_str();
  app.add_option("--batch", o.batch, "images at once; 0: what suits the device")->capture_default_str();
  app.add_option("--passes", o.passes, "timed passes")->check(at_least_one)->capture_default_str();
  app.add_option("--threads", o.threads, "0: all processors")->capture_default_str();
  app.add_option("--rows", o.rows, "layers to list")->capture_default_str();
  app.add_flag("--serve", o.serve, "obey commands on standard input");
  if (!parse_flags(app, argc, argv)) return 0;
  set_thread_count(o.threads);
  const DeviceChoice choice = choose_device(named<Device>(o.device), named<Precision>(o.precision));
  InceptionBench bench(o,
                       {.device = choice.device, .precision = choice.precision, .allow_bf16 = true, .batch = o.batch});
  if (!o.serve) return measure(bench, o);
  return serve({{"run", [&] { return fmt::format("{:.3f}", bench.milliseconds()); }}});
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("inception_bench", [&] { return run(argc, argv); });
}
