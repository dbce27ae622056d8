// Times every model-sized OpCase, forward and backward, at the batch size of training.
//
//   op_bench --benchmark_filter=conv2d --benchmark_format=json    the flags of Google Benchmark
//   op_bench --list                                               names only
//   op_bench --once [--benchmark_filter=REGEX]                    each case once, without timing, for profilers
//   op_bench --device=cuda --precision=bf16                       cpu (fp32), cuda or emulated; fp32, tf32 or bf16
//   op_bench --linear=blas --block=64 --splits=2                  matrix products on a GPU done so, not as the shape
//   says
//                                                                 (tiles or blas; 64 or 128; parts of the sum)
//
// GFLOP/s count the textbook operations of the op; GB/s its operands and results, each once: both from the same Work
// that a training run reports. The backward pass needs a forward pass before it, which is not timed.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <regex>

#include "apps/device_choice.h"
#include "kernels/gpu/runtime.h"
#include "tests/op_fixture.h"

namespace {

using namespace poise;

constexpr int64_t kBatch = 64;

enum class Direction { forward, backward };

void run_once(OpFixture& fixture) {
  fixture.forward(fixture.op_case.build);
  fixture.prepare_backward();
  fixture.backward();
}

// Google Benchmark calls a function several times to find its number of iterations; the memory of the case stays.
OpFixture& fixture_of(const OpCase& c, const RunOptions& options) {
  static std::unique_ptr<OpFixture> fixture;
  if (!fixture || fixture->op_case.name != c.name) {
    fixture.reset();  // before the next one allocates
    fixture = std::make_unique<OpFixture>(c, options);
    fixture->load();
    run_once(*fixture);  // builds oneDNN's primitives, touches the memory
  }
  return *fixture;
}

void wait_for(Device device) {
  if (device != Device::cpu) gpu::runtime(device).synchronize();
}

void time_case(benchmark::State& state, const OpCase& c, const RunOptions& options, Direction direction) {
  OpFixture& fixture = fixture_of(c, options);
  using Clock = std::chrono::steady_clock;
  double seconds = 0;
  for (auto _ : state) {
    if (direction == Direction::backward) {
      fixture.forward(c.build);
      fixture.prepare_backward();
    }
    wait_for(options.device);
    const auto start = Clock::now();
    direction == Direction::forward ? fixture.forward(c.build) : fixture.backward();
    wait_for(options.device);
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(elapsed);
    seconds += elapsed;
  }
  const Work& work = direction == Direction::forward ? fixture.plan.forward : fixture.plan.backward;
  const double iterations = static_cast<double>(state.iterations());
  if (work.flops > 0) state.counters["GFLOP/s"] = work.flops * iterations / seconds * 1e-9;
  state.counters["GB/s"] = work.bytes * iterations / seconds * 1e-9;
}

// The value of --name=value, or null.
const char* value_of(const std::string& argument, const std::string& name) {
  const std::string flag = "--" + name + "=";
  return argument.starts_with(flag) ? argument.c_str() + flag.size() : nullptr;
}

}  // namespace

int main(int argc, char** argv) try {
  Settings settings;
  settings.device = "cpu";
  GemmChoice gemm;
  bool once = false, list = false;
  std::string filter = ".*";
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i], filter_flag = "--benchmark_filter=";
    if (argument == "--once" || argument == "--list") {
      (argument == "--once" ? once : list) = true;
      continue;
    }
    if (const char* value = value_of(argument, "device")) {
      settings.device = value;
    } else if (const char* precision = value_of(argument, "precision")) {
      settings.precision = precision;
    } else if (const char* method = value_of(argument, "linear")) {
      gemm.linear = std::string(method) == "blas" ? LinearMethod::blas : LinearMethod::tiles;
    } else if (const char* block = value_of(argument, "block")) {
      gemm.block = std::atoi(block);
    } else if (const char* splits = value_of(argument, "splits")) {
      gemm.splits = std::atoi(splits);
    } else {
      arguments.push_back(argv[i]);
    }
    if (argument.starts_with(filter_flag)) filter = argument.substr(filter_flag.size());
  }
  const DeviceChoice choice = choose_device(settings);
  const RunOptions options{.dtype = choice.precision == Precision::bf16 ? DType::bf16 : DType::f32,
                           .kernels = &kernels_of(choice.device),
                           .device = choice.device,
                           .precision = choice.precision,
                           .gemm = gemm};
  std::vector<OpCase> cases = op_cases(kBatch);
  std::erase_if(cases, [](const OpCase& c) { return !c.model_sized; });
  if (once || list) {
    const std::regex wanted(filter);
    for (const OpCase& c : cases) {
      if (!std::regex_search(c.name, wanted)) continue;
      std::puts(c.name.c_str());
      if (list) continue;
      OpFixture fixture(c, options);
      fixture.load();
      run_once(fixture);
    }
    return 0;
  }
  for (const OpCase& c : cases) {
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      const std::string name = c.name + (direction == Direction::forward ? "/forward" : "/backward");
      benchmark::RegisterBenchmark(name.c_str(), time_case, c, options, direction)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const poise::Error& error) {
  std::fprintf(stderr, "op_bench: %s\n", error.what());
  return error.exit_code();
}
