// Measures the speed of the emulated device, which sets the cost of kernel tests without a GPU. Prints the best runs.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>

#include "kernels/gpu/emulated/options.h"
#include "tests/emulator/collectives.h"
#include "tests/emulator/device_array.h"
#include "tests/emulator/gemm.h"

namespace poise {
namespace {

// CPU time, not wall-clock time: the emulator is one thread, and the machine may be busy.
double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double best_seconds(int runs, const std::function<void()>& f) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const double start = now();
    f();
    best = std::min(best, now() - start);
  }
  return best;
}

struct Mode {
  const char* name;
  bool check;
  emulator::Options options;
};

void run() {
  const Mode modes[] = {
      {"plain", false, {}},
      {"plain, random order", false, {.seed = 1, .order = emulator::Order::random}},
      {"checked", true, {}},
      {"checked, random, preempted", true, emulator::randomised(1)},
  };
  constexpr int kN = 1 << 20, kSide = 512;
  Context ctx{.device = Device::emulated};
  DeviceArray<float> x(kN), y(kN), c(kSide * kSide);
  DeviceArray<bf16> a(kSide * kSide), b(kSide * kSide);
  DeviceArray<int> out(1 << 16);

  std::printf("%-28s %8s %8s %8s %8s %9s %9s %9s\n", "", "barrier ns per thread", "", "", "shuffle", "launch", "saxpy",
              "GEMM");
  std::printf("%-28s %8s %8s %8s %8s %9s %9s %9s\n", "", "32", "256", "1024", "ns/lane", "us", "1M, ms", "512^3, ms");
  for (const Mode& mode : modes) {
    emulator::set_options(mode.options);
    std::printf("%-28s", mode.name);
    for (const int threads : {32, 256, 1024}) {
      const int rounds = 500, blocks = 4096 / threads;
      const double s = best_seconds(
          7, [&] { (mode.check ? checked::barriers : emulated::barriers)(ctx, blocks, threads, rounds, out.data()); });
      std::printf(" %8.1f", s * 1e9 / (double{rounds} * blocks * threads));
    }
    const double shuffle =
        best_seconds(7, [&] { (mode.check ? checked::shuffles : emulated::shuffles)(ctx, 16, 256, 100, out.data()); });
    const double launch = best_seconds(7, [&] {
      for (int i = 0; i < 1000; ++i) (mode.check ? checked::empty : emulated::empty)(ctx, 1, 1, 1, 0);
    });
    const double saxpy = best_seconds(
        5, [&] { (mode.check ? checked::scale_and_add : emulated::scale_and_add)(ctx, kN, 2, x.data(), y.data()); });
    const double product = best_seconds(3, [&] {
      (mode.check ? checked::gemm : emulated::gemm)(ctx, kSide, kSide, kSide, a.data(), b.data(), c.data());
    });
    std::printf(" %8.1f %9.2f %9.1f %9.0f\n", shuffle * 1e9 / (16 * 256 * 100), launch * 1e3, saxpy * 1e3,
                product * 1e3);
  }
}

}  // namespace
}  // namespace poise

int main() { poise::run(); }
