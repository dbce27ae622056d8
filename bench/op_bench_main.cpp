// Times every model-sized OpCase, forward and backward, at the batch size of training.
//
//   op_bench --benchmark_filter=conv2d --benchmark_format=json    the flags of Google Benchmark
//   op_bench --device cuda --precision bf16                       on a GPU (cpu, fp32)
//   op_bench --device cuda --linear blas --block 64 --splits 2    overrides the choice by shape: linear layers by tiles
//                                                                 or blas, blocks of 64 or 128, split-K
//   op_bench --sparse --benchmark_filter=conv2d_3x3_256_16px      block-sparse layers instead: every pass, cell and
//                                                                 density, beside dense kernels in the same run
//   op_bench --list                                               names only
//   op_bench --once [--benchmark_filter=REGEX]                    each case once, without timing, for profilers
//
// GFLOP/s count the textbook operations of the op, GB/s its operands and results, each once. Both come from the Work
// that a training run reports. The backward pass needs a forward pass before it, which is not timed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <regex>

#include "apps/console/program.h"
#include "bench/op_bench_sparse.h"
#include "bench/stopwatch.h"
#include "tests/support/op_fixture.h"

namespace {

using namespace poise;

constexpr int64_t kBatch = 64;
constexpr int64_t kSparseBatch = 16;  // for --sparse: the batch of a G step of SNGAN-32 on a CPU

enum class Direction { forward, backward };

struct Setting {
  RunOptions run;
  Stopwatch* stopwatch = nullptr;
};

void run_once(OpFixture& fixture) {
  fixture.forward(fixture.op_case.build);
  fixture.prepare_backward();
  fixture.backward();
}

// Google Benchmark calls a function several times to find its number of iterations; the fixture is kept between calls.
OpFixture& fixture_of(const OpCase& c, const Setting& setting) {
  static std::unique_ptr<OpFixture> fixture;
  if (!fixture || fixture->op_case.name != c.name) {
    fixture.reset();  // before the next one allocates
    fixture = std::make_unique<OpFixture>(c, setting.run);
    fixture->use_stream(setting.stopwatch->stream());
    fixture->load();
    run_once(*fixture);  // builds oneDNN's primitives, loads kernels, touches the memory
  }
  return *fixture;
}

void time_case(benchmark::State& state, const OpCase& c, Direction direction, const Setting& setting) {
  OpFixture& fixture = fixture_of(c, setting);
  double seconds = 0;
  for (auto _ : state) {
    if (direction == Direction::backward) {
      fixture.forward(c.build);
      fixture.prepare_backward();
    }
    const double elapsed = setting.stopwatch->seconds_of(
        [&] { direction == Direction::forward ? fixture.forward(c.build) : fixture.backward(); });
    state.SetIterationTime(elapsed);
    seconds += elapsed;
  }
  const Work& work = direction == Direction::forward ? fixture.plan.forward : fixture.plan.backward;
  const double iterations = static_cast<double>(state.iterations());
  if (work.flops > 0) state.counters["GFLOP/s"] = work.flops * iterations / seconds * 1e-9;
  state.counters["GB/s"] = work.bytes * iterations / seconds * 1e-9;
}

RunOptions run_options(const std::string& device, const std::string& precision) {
  RunOptions options;
  for (const Device d : {Device::cpu, Device::cuda, Device::emulated}) {
    if (device == name_of(d)) options.device = d;
  }
  for (const Precision p : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    if (precision == name_of(p)) options.precision = p;
  }
  if (device != name_of(options.device)) fail(ErrorKind::usage, "--device: expected cpu, cuda or emulated");
  if (precision != name_of(options.precision)) fail(ErrorKind::usage, "--precision: expected fp32, tf32 or bf16");
  if (options.device == Device::cpu && options.precision == Precision::tf32) {
    fail(ErrorKind::usage, "--precision: the CPU computes in fp32 and bf16 but got tf32; use --device cuda");
  }
  options.dtype = options.precision == Precision::bf16 ? DType::bf16 : DType::f32;
  options.kernels = &kernels_of(options.device);
  return options;
}

// `--linear`, `--block` and `--splits`, each of which may be absent.
GemmChoice gemm_choice(const std::map<std::string, std::string>& given) {
  GemmChoice choice;
  for (const auto& [flag, value] : given) {
    const auto one_of = [&](std::initializer_list<const char*> values, const char* expected) {
      const auto same = [&](const char* v) { return value == v; };
      if (std::none_of(values.begin(), values.end(), same)) fail(ErrorKind::usage, flag + ": expected " + expected);
    };
    if (flag == "--linear") {
      one_of({"tiles", "blas"}, "tiles or blas");
      choice.linear = value == "tiles" ? LinearMethod::tiles : LinearMethod::blas;
    } else if (flag == "--block") {
      one_of({"64", "128"}, "64 or 128");
      choice.block = std::stoi(value);
    } else {
      one_of({"1", "2", "3", "4", "6", "8", "12", "16", "24", "32", "48", "64"}, "1, 2, 3, 4, 6, 8, 12 ... or 64");
      choice.splits = std::stoi(value);
    }
  }
  return choice;
}

int run(int argc, char** argv) {
  bool once = false, list = false, sparse = false;
  std::string device = "cpu", precision = "fp32";
  std::map<std::string, std::string> products;
  std::string filter = ".*";
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i], filter_flag = "--benchmark_filter=";
    if (argument == "--device" || argument == "--precision") {
      (argument == "--device" ? device : precision) = i + 1 < argc ? argv[++i] : "";
      continue;
    }
    if (argument == "--linear" || argument == "--block" || argument == "--splits") {
      products[argument] = i + 1 < argc ? argv[++i] : "";
      continue;
    }
    if (argument == "--once" || argument == "--list" || argument == "--sparse") {
      (argument == "--once" ? once : argument == "--list" ? list : sparse) = true;
      continue;
    }
    if (argument.starts_with(filter_flag)) filter = argument.substr(filter_flag.size());
    arguments.push_back(argv[i]);
  }
  std::vector<OpCase> cases = sparse ? std::vector<OpCase>() : op_cases(kBatch);
  std::erase_if(cases, [](const OpCase& c) { return !c.model_sized; });
  Setting setting{.run = run_options(device, precision)};
  BenchDevice sparse_device(setting.run.device, setting.run.precision);
  const std::vector<SparseOp> sparse_cases = sparse ? sparse_ops(sparse_device, kSparseBatch) : std::vector<SparseOp>();
  setting.run.gemm = gemm_choice(products);
  Stopwatch stopwatch(setting.run.device);
  setting.stopwatch = &stopwatch;
  if (once || list) {
    const std::regex wanted(filter);
    for (const OpCase& c : cases) {
      if (!std::regex_search(c.name, wanted)) continue;
      std::puts(c.name.c_str());
      if (list) continue;
      OpFixture fixture(c, setting.run);
      fixture.use_stream(stopwatch.stream());
      fixture.load();
      run_once(fixture);
      stopwatch.wait();
    }
    for (const SparseOp& op : sparse_cases) {
      if (!std::regex_search(op.name, wanted)) continue;
      std::puts(op.name.c_str());
      if (!list) run_sparse_op(op, sparse_device);
    }
    return 0;
  }
  for (const OpCase& c : cases) {
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      const std::string name = c.name + (direction == Direction::forward ? "/forward" : "/backward");
      benchmark::RegisterBenchmark(name.c_str(), time_case, c, direction, setting)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  for (const SparseOp& op : sparse_cases) {
    benchmark::RegisterBenchmark(op.name.c_str(),
                                 [&](benchmark::State& state) { time_sparse_op(state, op, sparse_device); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::AddCustomContext("device", device == "cpu" ? cpu_model() : gpu::runtime(setting.run.device).facts().name);
  benchmark::AddCustomContext("precision", precision);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("op_bench", [=] { return run(argc, argv); });
}
