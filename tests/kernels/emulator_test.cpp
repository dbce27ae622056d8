// The emulated device: kernels get what CUDA guarantees, in any order of threads, plain and under the checker.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <random>
#include <thread>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/options.h"
#include "kernels/gpu/emulated/stream.h"
#include "kernels/table.h"
#include "tests/emulator/collectives.h"
#include "tests/emulator/device_array.h"
#include "tests/emulator/gemm.h"

namespace poise {
namespace {

// The two bodies of each test kernel.
struct Body {
  const char* name;
  decltype(&emulated::reverse_through_shared) reverse_through_shared;
  decltype(&emulated::shuffle) shuffle;
  decltype(&emulated::votes) votes;
  decltype(&emulated::block_votes) block_votes;
  decltype(&emulated::indices) indices;
  decltype(&emulated::atomics) atomics;
  decltype(&emulated::empty) empty;
  decltype(&emulated::fresh_shared_memory) fresh_shared_memory;
  decltype(&emulated::shuffles) shuffles;
  decltype(&emulated::scale_and_add) scale_and_add;
  TestGemm* gemm;
};
#define POISE_BODY(n)                                                                                      \
  {                                                                                                        \
#n, n::reverse_through_shared, n::shuffle, n::votes, n::block_votes, n::indices, n::atomics, n::empty, \
        n::fresh_shared_memory, n::shuffles, n::scale_and_add, n::gemm                                     \
  }
constexpr Body kBodies[] = {POISE_BODY(emulated), POISE_BODY(checked)};

class Emulator : public testing::Test {
 protected:
  ~Emulator() override { emulator::set_options({}); }
  Context ctx{.device = Device::emulated};

  // Runs f(body) in order, eagerly and in four random orders.
  template <class F>
  void everywhere(F f) {
    for (const Body& body : kBodies) {
      for (uint64_t seed = 0; seed < 6; ++seed) {
        SCOPED_TRACE(std::string(body.name) + ", seed " + std::to_string(seed));
        emulator::Options options = seed < 2 ? emulator::Options{} : emulator::randomised(seed);
        if (seed == 1) options.async_copies = emulator::AsyncCopies::eager;
        emulator::set_options(options);
        f(body);
      }
    }
  }

  // The message of the error that f ends with.
  template <class F>
  std::string error_of(F f) {
    try {
      f();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::runtime);
      return error.what();
    }
    return "no error";
  }
};

std::vector<int> numbers(int n) {
  std::vector<int> x(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) x[static_cast<size_t>(i)] = 1000 + i * 7;
  return x;
}

TEST_F(Emulator, RunsKernelsOfTheTable) {
  for (const KernelTable* kernels : {&emulated::kernels(), &checked::kernels()}) {
    ctx.kernels = kernels;
    OwnedTensor x({1000}, DType::f32, Device::emulated), y({1000}, DType::f32, Device::emulated);
    for (int i = 0; i < 1000; ++i) x.tensor().data<float>()[i] = static_cast<float>(i - 500);
    ctx.kernels->leaky_relu_forward(ctx, 0.5f, x.tensor(), y.tensor());
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(y.tensor().data<float>()[i], i < 500 ? static_cast<float>(i - 500) / 2 : static_cast<float>(i - 500));
    }
  }
}

TEST_F(Emulator, ThreadsMeetAtABarrier) {
  everywhere([&](const Body& body) {
    for (const int threads : {1, 31, 32, 33, 256, 1024}) {
      DeviceArray<int> x(numbers(3 * threads)), y(x.size());
      body.reverse_through_shared(ctx, 3, threads, x.data(), y.data());
      for (int i = 0; i < 3 * threads; ++i) {
        const int from = i / threads * threads + threads - 1 - i % threads;
        ASSERT_EQ(y[static_cast<size_t>(i)], x[static_cast<size_t>(from)]);
      }
    }
  });
}

// The four shuffles as the CUDA programming guide defines them: lane i of a segment of `width` lanes reads lane
// `operand` (modulo the width), i - operand, i + operand or i ^ operand. It keeps its own value if the first three
// leave the segment, or if the fourth reaches into a higher one.
TEST_F(Emulator, LanesShuffle) {
  everywhere([&](const Body& body) {
    DeviceArray<int> x(numbers(64)), y(64);
    for (const int width : {1, 2, 4, 8, 16, 32}) {
      for (const int operand : {0, 1, 2, 3, 5, 8, 16, 31}) {
        for (int kind = 0; kind < 4; ++kind) {
          body.shuffle(ctx, static_cast<TestShuffle>(kind), 64, operand, width, x.data(), y.data());
          for (int thread = 0; thread < 64; ++thread) {
            const int warp = thread / 32 * 32, lane = thread % 32, segment = lane / width, i = lane % width;
            int source = lane;
            if (kind == 0) source = segment * width + operand % width;
            if (kind == 1 && i - operand >= 0) source = lane - operand;
            if (kind == 2 && i + operand < width) source = lane + operand;
            if (kind == 3 && (lane ^ operand) / width <= segment) source = lane ^ operand;
            ASSERT_EQ(y[static_cast<size_t>(thread)], x[static_cast<size_t>(warp + source)])
                << "kind " << kind << " width " << width << " operand " << operand << " thread " << thread;
          }
        }
      }
    }
  });
}

TEST_F(Emulator, LanesAndThreadsVote) {
  std::mt19937 random(1);
  everywhere([&](const Body& body) {
    for (const int ones_of_eight : {0, 1, 7, 8}) {
      DeviceArray<int> x(96), warp(4 * 96), block(3 * 96);
      for (size_t i = 0; i < 96; ++i) x[i] = static_cast<int>(random() % 8) < ones_of_eight ? 5 : 0;
      body.votes(ctx, 96, x.data(), warp.data());
      body.block_votes(ctx, 96, x.data(), block.data());
      const auto count = std::count(x.data(), x.data() + 96, 5);
      for (size_t i = 0; i < 96; ++i) {
        const size_t half = i / 16 * 16;
        uint32_t ballot = 0;
        for (size_t lane = 0; lane < 16; ++lane) ballot |= (x[half + lane] != 0 ? 1u : 0u) << (half % 32 + lane);
        EXPECT_EQ(static_cast<uint32_t>(warp[4 * i]), ballot);
        EXPECT_EQ(warp[4 * i + 1], ballot != 0 ? 1 : 0);
        EXPECT_EQ(warp[4 * i + 2], std::popcount(ballot) == 16 ? 1 : 0);
        EXPECT_EQ(warp[4 * i + 3], std::popcount(ballot));
        EXPECT_EQ(block[3 * i], count > 0 ? 1 : 0);
        EXPECT_EQ(block[3 * i + 1], count == 96 ? 1 : 0);
        EXPECT_EQ(block[3 * i + 2], count);
      }
    }
  });
}

TEST_F(Emulator, IndicesCoverGridAndBlock) {
  everywhere([&](const Body& body) {
    DeviceArray<uint64_t> y(3 * 2 * 4 * 5 * 3 * 2);
    body.indices(ctx, 3, 2, 4, 5, 3, 2, y.data());
    size_t i = 0;
    for (uint64_t bz = 0; bz < 4; ++bz)
      for (uint64_t by = 0; by < 2; ++by)
        for (uint64_t bx = 0; bx < 3; ++bx)
          for (uint64_t z = 0; z < 2; ++z)
            for (uint64_t ty = 0; ty < 3; ++ty)
              for (uint64_t x = 0; x < 5; ++x, ++i) {
                ASSERT_EQ(y[i], x | ty << 10 | z << 20 | bx << 30 | by << 40 | bz << 50);
              }
  });
}

TEST_F(Emulator, AtomicsAreExact) {
  everywhere([&](const Body& body) {
    DeviceArray<int> x(numbers(4 * 96)), y(4);
    body.atomics(ctx, 4, 96, x.data(), y.data());
    EXPECT_EQ(y[0], std::accumulate(x.data(), x.data() + x.size(), 0));
    EXPECT_EQ(y[1], 1000 + 383 * 7);
    EXPECT_EQ(y[2], 1);
  });
}

TEST_F(Emulator, ArithmeticHasCudasMeaning) {
  DeviceArray<float> y(10);
  emulated::arithmetic(ctx, y.data());
  const float expected[10] = {0.5f, 3, 127, 31, 4, 8, 3, 1 + 0x1p-10f, std::bit_cast<float>(0x40003f80u), 3};
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(y[i], expected[i]) << i;
}

TEST_F(Emulator, SharedMemoryIsNaNInEveryBlock) {
  emulator::set_options({.check = false});  // the checker would reject the kernel
  for (const Body& body : kBodies) {
    DeviceArray<int> y(20);
    body.fresh_shared_memory(ctx, 20, y.data());
    EXPECT_EQ(y.values(), std::vector<int>(20, 1));
  }
}

// c = a b on tensor cores through a pipeline equals the plain sum in the same order, bit for bit.
TEST_F(Emulator, PipelinedMatrixProduct) {
  everywhere([&](const Body& body) {
    const int m = 70, n = 72, k = 168;  // ragged, and six tiles through two buffers
    DeviceArray<bf16> a(static_cast<size_t>(m * k)), b(static_cast<size_t>(k * n));
    DeviceArray<float> c(static_cast<size_t>(m * n));
    std::mt19937 random(3);
    for (DeviceArray<bf16>* matrix : {&a, &b}) {
      for (size_t i = 0; i < matrix->size(); ++i)
        (*matrix)[i] = to_bf16(static_cast<float>(random() % 2001) / 1000 - 1);
    }
    body.gemm(ctx, m, n, k, a.data(), b.data(), c.data());
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        float sum = 0;
        for (int l = 0; l < k; ++l) {
          sum += to_float(a[static_cast<size_t>(i * k + l)]) * to_float(b[static_cast<size_t>(l * n + j)]);
        }
        ASSERT_EQ(c[static_cast<size_t>(i * n + j)], sum) << i << "," << j;
      }
    }
    EXPECT_TRUE(c.intact());
  });
}

TEST_F(Emulator, SameSeedSameOrderOtherSeedOther) {
  // The order of blocks shows in the order of atomic tickets.
  const auto ticket_winners = [&](uint64_t seed) {
    emulator::set_options(emulator::randomised(seed));
    std::vector<int> winners;
    for (int run = 0; run < 3; ++run) {
      DeviceArray<int> counter(1), y(64 * 32);
      emulated::tickets(ctx, 64, 32, counter.data(), y.data());
      for (const int v : y.values()) winners.push_back(v);
    }
    return winners;
  };
  EXPECT_EQ(ticket_winners(7), ticket_winners(7));
  EXPECT_NE(ticket_winners(7), ticket_winners(8));
  const std::vector<int> one = ticket_winners(9);
  EXPECT_FALSE(std::equal(one.begin(), one.begin() + 64 * 32, one.begin() + 64 * 32));  // launches differ
}

TEST_F(Emulator, RefusesWhatTheHardwareRefuses) {
  const auto attempt = [&](int gx, int gy, int bx, size_t shared_bytes) {
    return error_of([&] { emulated::empty(ctx, gx, gy, bx, shared_bytes); });
  };
  EXPECT_EQ(attempt(1, 1, 1024, 227 << 10), "no error");
  EXPECT_NE(attempt(0, 1, 32, 0).find("the grid is empty"), std::string::npos);
  EXPECT_NE(attempt(1, 65536, 32, 0).find("a grid has at most"), std::string::npos);
  EXPECT_NE(attempt(1, 1, 0, 0).find("the block is empty"), std::string::npos);
  EXPECT_NE(attempt(1, 1, 1025, 0).find("at most 1024 threads"), std::string::npos);
  EXPECT_NE(attempt(1, 1, 32, (227 << 10) + 1).find("shared memory"), std::string::npos);
}

TEST_F(Emulator, ErrorsNameKernelAndLaunch) {
  const std::string text = error_of([&] { emulated::empty(ctx, 2, 3, 2000, 16); });
  for (const char* part : {"empty_kernel", "emulator/collectives.cu:", "grid 2x3x1", "block 2000x1x1", "16 bytes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST_F(Emulator, StreamsRunLaterWithArgumentsByValue) {
  struct Later : emulator::Stream {
    std::vector<std::function<void()>> work;
    void submit(std::function<void()> f) override { work.push_back(std::move(f)); }
  } stream;
  ctx.stream = &stream;
  DeviceArray<float> x(std::vector<float>(300, 1.0f)), y(300);
  for (const float scale : {1.0f, 10.0f, 100.0f}) checked::scale_and_add(ctx, 300, scale, x.data(), y.data());
  EXPECT_EQ(y[299], 0);
  for (int replay = 1; replay <= 2; ++replay) {
    for (const auto& work : stream.work) work();
    EXPECT_EQ(y[299], static_cast<float>(111 * replay));
  }
}

TEST_F(Emulator, SeveralThreadsMayLaunch) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int run = 0; run < 20; ++run) {
        DeviceArray<int> x(numbers(256)), y(256);
        (run % 2 == 0 ? emulated::reverse_through_shared : checked::reverse_through_shared)(ctx, 1, 256, x.data(),
                                                                                            y.data());
        EXPECT_EQ(y[0], x[255]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// --- The checker's view of registered memory ---

TEST_F(Emulator, CheckerKnowsWhatMemoryHolds) {
  const auto run = [&](DeviceArray<float>& x, DeviceArray<float>& y) {
    return error_of([&] { checked::scale_and_add(ctx, 100, 2, x.data(), y.data()); });
  };
  DeviceArray<float> x(100, emulator::Contents::undefined), y(100);
  EXPECT_NE(run(x, y).find("byte 0 of an allocation of 400, which no thread has written yet"), std::string::npos);
  emulator::mark_memory(x.data(), 400, emulator::Contents::defined);
  EXPECT_EQ(run(x, y), "no error");
  emulator::mark_memory(x.data() + 50, 3, emulator::Contents::undefined);  // three of the four bytes
  EXPECT_NE(run(x, y).find("byte 200 of an allocation of 400, which no thread has written"), std::string::npos);
  emulator::mark_memory(x.data() + 50, 4, emulator::Contents::defined);
  emulator::mark_memory(y.data() + 99, 4, emulator::Contents::inaccessible);
  EXPECT_NE(run(x, y).find("out of bounds"), std::string::npos);
  emulator::mark_memory(y.data() + 99, 4, emulator::Contents::defined);
  EXPECT_EQ(run(x, y), "no error");
}

TEST_F(Emulator, WritingDefinesMemory) {
  DeviceArray<int> x(numbers(256)), y(256, emulator::Contents::undefined), z(256);
  checked::reverse_through_shared(ctx, 1, 256, x.data(), y.data());
  checked::reverse_through_shared(ctx, 1, 256, y.data(), z.data());
  EXPECT_EQ(z.values(), x.values());
}

TEST_F(Emulator, FreedMemoryIsOutOfBounds) {
  std::vector<float> x(100), y(100);
  const auto run = [&] { return error_of([&] { checked::scale_and_add(ctx, 100, 2, x.data(), y.data()); }); };
  emulator::register_memory(x.data(), 400, emulator::Contents::defined);
  emulator::register_memory(y.data(), 400, emulator::Contents::defined);
  EXPECT_EQ(run(), "no error");
  emulator::unregister_memory(x.data());
  EXPECT_NE(run().find("out of bounds"), std::string::npos);
  emulator::unregister_memory(y.data());
  EXPECT_THROW(emulator::unregister_memory(y.data()), Error);
}

TEST_F(Emulator, AFailedLaunchLeavesNothingBehind) {
  std::vector<float> host(1000);
  for (int run = 0; run < 200; ++run) {
    EXPECT_NE(error_of([&] { checked::scale_and_add(ctx, 1000, 2, host.data(), host.data()); }), "no error");
  }
  DeviceArray<int> x(numbers(256)), y(256);
  checked::reverse_through_shared(ctx, 1, 256, x.data(), y.data());
  EXPECT_EQ(y[0], x[255]);
}

}  // namespace
}  // namespace poise
