// The emulated device: that kernels run as they would on a GPU.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/gpu/emulated/options.h"
#include "kernels/table.h"
#include "tests/emulator/collectives.h"

namespace poise {
namespace {

TEST(Emulator, RunsAKernelOfTheTable) {
  Context ctx{.device = Device::emulated, .kernels = &emulated::kernels()};
  OwnedTensor x({1000}, DType::f32, Device::emulated), y({1000}, DType::f32, Device::emulated);
  for (int i = 0; i < 1000; ++i) x.tensor().data<float>()[i] = static_cast<float>(i - 500);
  ctx.kernels->leaky_relu_forward(ctx, 0.5f, x.tensor(), y.tensor());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(y.tensor().data<float>()[i], i < 500 ? static_cast<float>(i - 500) / 2 : static_cast<float>(i - 500));
  }
}

TEST(Emulator, ThreadsMeetAtABarrier) {
  Context ctx{.device = Device::emulated};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    emulator::set_options(seed == 0 ? emulator::Options{} : emulator::randomised(seed));
    for (const int threads : {1, 31, 32, 33, 256, 1024}) {
      std::vector<int> x(static_cast<size_t>(3 * threads)), y(x.size());
      std::iota(x.begin(), x.end(), 0);
      emulated::reverse_through_shared(ctx, 3, threads, x.data(), y.data());
      for (int i = 0; i < 3 * threads; ++i) {
        EXPECT_EQ(y[static_cast<size_t>(i)], i / threads * threads + threads - 1 - i % threads);
      }
    }
  }
}

TEST(Emulator, LanesShuffle) {
  Context ctx{.device = Device::emulated};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    emulator::set_options(seed == 0 ? emulator::Options{} : emulator::randomised(seed));
    std::vector<float> x(128), y(4);
    std::iota(x.begin(), x.end(), 0.0f);
    emulated::warp_sums(ctx, 128, x.data(), y.data());
    for (int w = 0; w < 4; ++w) EXPECT_EQ(y[static_cast<size_t>(w)], static_cast<float>(496 + 1024 * w));
  }
}

}  // namespace
}  // namespace poise
