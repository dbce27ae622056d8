// Measures a GPU's ceilings with our own kernels: copy bandwidth, L2 bandwidth, matrix rates in bf16 and tf32.
//
//   ceilings [--device cuda|emulated] [--json FILE]
//
// `emulated` runs the same program on the host with small sizes, to prove that it works; its numbers mean nothing. The
// matrix rates are those of mma.sync: on Hopper, only wgmma reaches the full rate of the tensor cores.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "apps/console/program.h"
#include "bench/bench_program.h"
#include "bench/ceilings/ceilings.h"
#include "engine/io/atomic_file.h"
#include "kernels/gpu/runtime.h"

namespace {

using namespace poise;

struct Sizes {
  int64_t copy_bytes, read_bytes;
  int read_times, rounds, repeats;
};
constexpr Sizes kOnGpu{.copy_bytes = int64_t{2} << 30,
                       .read_bytes = int64_t{kReadBlocks} * 16 * 1024,  // 17 MB: fits into half of a Hopper's L2
                       .read_times = 32,
                       .rounds = 20000,
                       .repeats = 15};
constexpr Sizes kOnHost{
    .copy_bytes = 1 << 20, .read_bytes = int64_t{kReadBlocks} * 16, .read_times = 1, .rounds = 1, .repeats = 1};

class Bench {
 public:
  Bench(Device device, const CeilingKernels& kernels)
      : sizes_(device == Device::cuda ? kOnGpu : kOnHost),
        device_(device),
        kernels_(kernels),
        runtime_(gpu::runtime(device)),
        stream_(runtime_.make_stream()),
        begin_(runtime_.make_event()),
        end_(runtime_.make_event()) {
    ctx_.device = device;
    ctx_.stream = stream_.get();
  }

  // Bytes read and written per second.
  double copy_rate() {
    const OwnedTensor from = floats(sizes_.copy_bytes / 4);
    OwnedTensor to = floats(sizes_.copy_bytes / 4);
    return 2.0 * static_cast<double>(sizes_.copy_bytes) /
           median_seconds([&] { kernels_.copy(ctx_, from.tensor(), to.tensor()); });
  }
  double read_rate() {
    const OwnedTensor x = floats(sizes_.read_bytes / 4);
    OwnedTensor sums = floats(int64_t{kReadBlocks} * kReadThreads);
    return static_cast<double>(sizes_.read_bytes) * sizes_.read_times /
           median_seconds([&] { kernels_.read(ctx_, sizes_.read_times, x.tensor(), sums.tensor()); });
  }
  double product_rate(void (*multiply)(Context&, int, Tensor&), double flops_of_product) {
    OwnedTensor sums = floats(int64_t{kProductBlocks} * kWarpsPerBlock * 32);
    return flops_of_product * kProductsPerRound * kWarpsPerBlock * kProductBlocks * sizes_.rounds /
           median_seconds([&] { multiply(ctx_, sizes_.rounds, sums.tensor()); });
  }

 private:
  OwnedTensor floats(int64_t count) const { return {Shape{count}, DType::f32, device_}; }

  double median_seconds(const std::function<void()>& launch) {
    std::vector<double> seconds;
    for (int i = -2; i < sizes_.repeats; ++i) {  // two to warm up
      runtime_.record(*begin_, *stream_);
      launch();
      runtime_.record(*end_, *stream_);
      runtime_.synchronize(*stream_);
      if (i >= 0) seconds.push_back(runtime_.seconds_between(*begin_, *end_));
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
  }

  const Sizes sizes_;
  Device device_;
  CeilingKernels kernels_;
  gpu::Runtime& runtime_;
  std::unique_ptr<gpu::Stream> stream_;
  std::unique_ptr<gpu::Event> begin_, end_;
  Context ctx_;
};

CeilingKernels kernels_for([[maybe_unused]] Device device) {
#ifdef POISE_HAVE_CUDA
  if (device == Device::cuda) return cuda::ceiling_kernels();
#endif
  return emulated::ceiling_kernels();
}

int run(int argc, char** argv) {
  std::string name = "cuda", json;
  CLI::App app("Measures a GPU's copy and L2 bandwidth and its matrix rates.");
  app.add_option("--device", name, "cuda or emulated")->check(device_name(/*with_auto=*/false))->capture_default_str();
  app.add_option("--json", json, "write the numbers to this file as well");
  if (!parse_flags(app, argc, argv)) return 0;
  const Device device = name == "cuda" ? Device::cuda : Device::emulated;
  const gpu::DeviceFacts facts = gpu::runtime(device).facts();
  const CeilingKernels kernels = kernels_for(device);
  Bench bench(device, kernels);
  const double copy = bench.copy_rate(), read = bench.read_rate();
  const double bf16 = bench.product_rate(kernels.multiply_bf16, kFlopsOfBf16Product);
  const double tf32 = bench.product_rate(kernels.multiply_tf32, kFlopsOfTf32Product);
  print_result(
      fmt::format("{}, {} multiprocessors\n"
                  "copy, bytes read and written {:>10.1f} GB/s\n"
                  "read from L2                 {:>10.1f} GB/s\n"
                  "bf16 products (mma.sync)     {:>10.1f} TFLOP/s\n"
                  "tf32 products (mma.sync)     {:>10.1f} TFLOP/s\n",
                  facts.name, facts.multiprocessors, copy * 1e-9, read * 1e-9, bf16 * 1e-12, tf32 * 1e-12));
  if (!json.empty()) {
    const nlohmann::ordered_json report = {{"device", facts.name},
                                           {"multiprocessors", facts.multiprocessors},
                                           {"memory_bytes", facts.memory_bytes},
                                           {"copy_gb_per_s", copy * 1e-9},
                                           {"l2_read_gb_per_s", read * 1e-9},
                                           {"bf16_mma_tflops", bf16 * 1e-12},
                                           {"tf32_mma_tflops", tf32 * 1e-12}};
    write_file_atomically(json, report.dump(2) + "\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return poise::run_program("ceilings", [=] { return run(argc, argv); });
}
