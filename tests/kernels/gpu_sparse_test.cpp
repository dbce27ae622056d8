// The GPU kernels of sparse training against the CPU's, bit for bit: masks depend on every one of these bits. Shapes,
// cells, densities and ties are random, as is the order of threads and blocks on the emulated device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

#include "engine/sparse/mask.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/op_fixture.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

// Guarded memory on a device that starts `offset` elements after a multiple of 16 bytes.
template <class T>
class Placed {
 public:
  Placed(Device device, const std::vector<T>& values, int64_t offset = 0)
      : memory_({static_cast<int64_t>(values.size()) + offset}, dtype_of<T>(), device),
        tensor(memory_.tensor().slice(offset, static_cast<int64_t>(values.size()))) {
    copy_from_host(tensor, values.data());
  }
  std::vector<T> values() const {
    EXPECT_TRUE(memory_.intact()) << "written outside of the tensor";
    std::vector<T> result(static_cast<size_t>(tensor.elements()));
    copy_to_host(result.data(), tensor);
    return result;
  }

 private:
  GuardedTensor memory_;

 public:
  Tensor tensor;
};

// Compares bits, so that a NaN equals itself.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  int64_t pick(int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(engine_); }
  bool chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  template <class T>
  std::vector<T> normal(int64_t n) {
    std::vector<T> x(static_cast<size_t>(n));
    for (T& value : x) value = static_cast<T>(distribution_(engine_));
    return x;
  }
  std::vector<uint8_t> coins(int64_t n, double p) {
    std::vector<uint8_t> x(static_cast<size_t>(n));
    for (uint8_t& value : x) value = chance(p) ? 1 : 0;
    return x;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<double> distribution_;
};

// A weight and a cell that divides it.
struct Layer {
  Shape shape;
  Cell cell;
};
Layer some_layer(Dice& dice) {
  const Cell cell{dice.pick(1, 4), dice.chance(0.2) ? 32 : dice.pick(1, 5), dice.chance(0.4)};
  const int64_t out = cell.out * dice.pick(1, 4), in = cell.in * dice.pick(1, 6);
  Layer layer{dice.chance(0.5) ? Shape{out, 3, 3, in} : Shape{out, in}, cell};
  if (dice.chance(0.3)) layer.cell = {};
  return layer;
}

class GpuSparseTest : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    if (!available(GetParam().device)) GTEST_SKIP() << gpu::why_unavailable(GetParam().device);
  }
  Device device() const { return GetParam().device; }

  // Runs f(context) on the CPU and on the device, and returns both results.
  template <class F>
  auto on_both(const F& f) {
    StepState step{.seed = 0x123456789abcdef0, .step = 41};
    Context cpu{.kernels = &cpu_reference_kernels(), .step = &step};
    const OwnedTensor device_step(Shape{static_cast<int64_t>(sizeof(StepState))}, DType::u8, device());
    copy_from_host(device_step.tensor(), &step);
    Context gpu{
        .device = device(), .kernels = GetParam().kernels, .step = static_cast<StepState*>(device_step.tensor().bytes)};
    return std::pair(f(cpu), f(gpu));
  }
  // Uses another order of threads and blocks from now on, on devices that support it.
  void shuffle(uint64_t seed) {
    order_.reset();
    if (seed % 2 != 0) order_.emplace(seed);
  }

 private:
  std::optional<RandomOrder> order_;
};

TEST_P(GpuSparseTest, ScoresOfCellsHaveTheBitsOfTheCpu) {
  Dice dice(1);
  for (int trial = 0; trial < 40; ++trial) {
    Layer layer = some_layer(dice);
    if (trial == 0) layer = {{3, 3001}, {}};
    auto x = dice.normal<float>(layer.shape.elements());
    if (trial % 4 == 0) x[0] = -0.0f, x.back() = -1e-42f;
    const CellGrid grid = grid_of(layer.shape, layer.cell);
    const int64_t offset = dice.pick(0, 1);
    const auto [expected, got] = on_both([&](Context& ctx) {
      const Placed<float> values(ctx.device, x);
      Placed<float> scores(ctx.device, std::vector<float>(static_cast<size_t>(grid.cells()), NAN), offset);
      ctx.kernels->cell_scores(ctx, grid, values.tensor, scores.tensor);
      return scores.values();
    });
    EXPECT_TRUE(same_bits(expected, got)) << layer.shape.to_string() << " by " << to_string(layer.cell);
  }
}

TEST_P(GpuSparseTest, RandomScoresHaveTheBitsOfTheCpu) {
  for (const int64_t n : {1, 3, 4, 1027}) {
    for (const RandomStream stream : {RandomStream::mask_g, RandomStream::mask_d}) {
      const auto [expected, got] = on_both([&](Context& ctx) {
        Placed<float> scores(ctx.device, std::vector<float>(static_cast<size_t>(n)), 1);
        ctx.kernels->random_scores(ctx, stream, scores.tensor);
        return scores.values();
      });
      EXPECT_TRUE(same_bits(expected, got)) << n;
    }
  }
}

struct Network {
  std::vector<CellSegment> segments;
  std::vector<float> scores;
  std::vector<uint8_t> alive;
  int64_t weights = 0;
};

Network some_network(Dice& dice, int64_t layers, int64_t longest, bool mixed, bool ties, float scale) {
  Network n;
  int64_t cells = 0;
  for (; layers > 0; --layers) {
    cells += dice.pick(0, 3);  // cells of layers that are not selected from
    n.segments.push_back({cells, dice.pick(1, longest), mixed ? dice.pick(1, 9) : 4});
    cells += n.segments.back().cells;
    n.weights += n.segments.back().cells * n.segments.back().weights_per_cell;
  }
  cells += dice.pick(0, 2);
  n.alive = dice.coins(cells, 0.1 * static_cast<double>(dice.pick(0, 10)));
  for (int64_t i = 0; i < cells; ++i) n.scores.push_back(scale * static_cast<float>(dice.pick(0, ties ? 3 : 1000000)));
  return n;
}

using Selected = std::pair<std::vector<uint8_t>, std::vector<uint64_t>>;  // alive, and counted by segment

Selected select_and_count(Context& ctx, Selection selection, const Network& n, int64_t budget) {
  const Placed<float> scores(ctx.device, n.scores, 1);
  const Placed<uint8_t> workspace(ctx.device, std::vector<uint8_t>(select_workspace(n.segments), 0xee));
  Placed<uint8_t> alive(ctx.device, n.alive, 3);
  Placed<uint64_t> counts(ctx.device, std::vector<uint64_t>(n.segments.size(), 77));
  Tensor scratch = workspace.tensor;
  ctx.kernels->select_cells(ctx, selection, n.segments, budget, scores.tensor, scratch, alive.tensor);
  ctx.kernels->count_alive(ctx, n.segments, alive.tensor, counts.tensor);
  workspace.values();  // checks its guards
  return {alive.values(), counts.values()};
}

TEST_P(GpuSparseTest, SelectionIsThatOfTheCpuForAnyTiesSizesAndBudgets) {
  Dice dice(2);
  const bool checked = GetParam().kernels == &checked::kernels();
  const int trials = checked ? 60 : 200;
  for (int trial = 0; trial < trials; ++trial) {
    // Some trials have segments of several chunks, or more segments than one launch can process.
    const int64_t longest = trial % 20 == 0 ? (checked ? 5000 : 20000) : 60;
    const int64_t layers = trial % 20 == 7 ? 150 : dice.pick(1, 4);
    const Network n = some_network(dice, layers, longest, trial % 3 == 0, trial % 2 == 1, trial % 5 ? 1.0f : 1e-42f);
    const int64_t budget = trial % 7 ? dice.pick(0, n.weights) : trial % 2 ? 0 : n.weights;
    for (const Selection selection : {Selection::keep, Selection::grow}) {
      shuffle(static_cast<uint64_t>(trial));
      const auto [expected, got] = on_both([&](Context& ctx) { return select_and_count(ctx, selection, n, budget); });
      ASSERT_EQ(expected.first, got.first)
          << "trial " << trial << ", " << (selection == Selection::keep ? "keep" : "grow");
      ASSERT_EQ(expected.second, got.second) << "trial " << trial;
    }
  }
}

TEST_P(GpuSparseTest, NothingGrowsOntoZeroOrNotANumber) {
  Network n;
  n.segments = {{0, 5, 1}};
  n.scores = {0.0f, NAN, 1.0f, -0.0f, 2.0f};
  n.alive.assign(5, 0);
  const auto [expected, got] = on_both([&](Context& ctx) { return select_and_count(ctx, Selection::grow, n, 5); });
  EXPECT_EQ(got.first, (std::vector<uint8_t>{0, 0, 1, 0, 1}));
  EXPECT_EQ(expected, got);
}

TEST_P(GpuSparseTest, AChangeOfAMaskHasTheBitsOfTheCpu) {
  Dice dice(3);
  for (int trial = 0; trial < 40; ++trial) {
    const Layer layer = some_layer(dice);
    const int64_t n = layer.shape.elements();
    const auto grad = dice.normal<float>(n), value = dice.normal<float>(n), m = dice.normal<float>(n),
               v = dice.normal<float>(n), ema = dice.normal<float>(n);
    const int64_t run = mask_run(layer.cell.in, DType::f32);
    const auto mask = dice.coins(n / run, 0.5), alive = dice.coins(layer.cell.cells_in(layer.shape), 0.5);
    for (const MomentPolicy policy : {MomentPolicy::seed, MomentPolicy::keep, MomentPolicy::zero}) {
      const auto [expected, got] = on_both([&](Context& ctx) {
        const Placed<uint8_t> cells(ctx.device, alive);
        const Placed<float> g(ctx.device, grad);
        Placed<uint8_t> bytes(ctx.device, mask, 1);
        Placed<float> w(ctx.device, value), first(ctx.device, m), second(ctx.device, v), average(ctx.device, ema);
        ctx.kernels->change_mask(ctx, policy, grid_of(layer.shape, layer.cell),
                                 {.alive = cells.tensor,
                                  .mask = bytes.tensor,
                                  .grad = g.tensor,
                                  .value = w.tensor,
                                  .m = first.tensor,
                                  .v = second.tensor,
                                  .ema = trial % 2 ? average.tensor : Tensor{}});
        std::vector<float> all;
        for (const Placed<float>* p : {&w, &first, &second, &average}) {
          const auto values = p->values();
          all.insert(all.end(), values.begin(), values.end());
        }
        for (const uint8_t byte : bytes.values()) all.push_back(byte);
        return all;
      });
      EXPECT_TRUE(same_bits(expected, got)) << layer.shape.to_string() << " by " << to_string(layer.cell);
    }
  }
}

// On each device, leaving out dead runs does not change the bits of the sums, since zeros add nothing.
TEST_P(GpuSparseTest, SpectralNormLeavesDeadRunsOut) {
  Dice dice(11);
  constexpr int64_t kOut = 32, kRest = 9 * 48, kN = kOut * kRest;
  const std::vector<uint8_t> alive = dice.coins(kN / kLongestRun, 0.1);
  auto w = dice.normal<float>(kN), dy = dice.normal<float>(kN);
  for (size_t i = 0; i < w.size(); ++i) {
    if (!alive[i / kLongestRun]) w[i] = 0, dy[i] = 0;
  }
  const auto u = dice.normal<float>(kOut), v = dice.normal<float>(kRest);
  // The normalised weight, then its gradient.
  const auto run = [&](Context& ctx, bool masked) {
    const auto empty = [&](int64_t n) {
      return Placed<float>(ctx.device, std::vector<float>(static_cast<size_t>(n), NAN));
    };
    const Placed<float> weight(ctx.device, w), left(ctx.device, u), right(ctx.device, v), gradient(ctx.device, dy);
    const Placed<float> left_used = empty(kOut), right_used = empty(kRest), sigma = empty(1), y = empty(kN),
                        dweight = empty(kN);
    const Placed<uint8_t> mask(ctx.device, alive);
    const Shape shape{kOut, kRest};
    const SpectralNormLayer layer{.weight = weight.tensor.reshaped(shape),
                                  .u = left.tensor,
                                  .v = right.tensor,
                                  .mask = masked ? mask.tensor : Tensor{},
                                  .u_used = left_used.tensor,
                                  .v_used = right_used.tensor,
                                  .sigma = sigma.tensor,
                                  .y = y.tensor.reshaped(shape)};
    GuardedTensor workspace({static_cast<int64_t>(spectral_norm_workspace({&layer, 1}))}, DType::u8, ctx.device);
    ctx.kernels->spectral_norm_forward(ctx, true, {&layer, 1}, workspace.tensor());
    const SpectralNormGradient backward{.y = layer.y,
                                        .u_used = layer.u_used,
                                        .v_used = layer.v_used,
                                        .sigma = layer.sigma,
                                        .dy = gradient.tensor.reshaped(shape),
                                        .mask = layer.mask,
                                        .dweight = dweight.tensor.reshaped(shape)};
    GuardedTensor partials({static_cast<int64_t>(spectral_norm_backward_workspace(1))}, DType::u8, ctx.device);
    ctx.kernels->spectral_norm_backward(ctx, {&backward, 1}, partials.tensor());
    return std::pair(y.values(), dweight.values());
  };
  const auto [on_cpu, on_gpu] = on_both([&](Context& ctx) { return std::pair(run(ctx, false), run(ctx, true)); });
  for (const auto& [all, masked] : {on_cpu, on_gpu}) {
    EXPECT_TRUE(same_bits(all.first, masked.first));
    std::vector<float> expected = all.second;
    EXPECT_NE(std::count(expected.begin(), expected.end(), 0.0f), std::count(alive.begin(), alive.end(), 0) * 16);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (!alive[i / kLongestRun]) expected[i] = 0;
    }
    EXPECT_TRUE(same_bits(expected, masked.second));
  }
}

TEST_P(GpuSparseTest, PackedRunsHaveTheBitsOfTheCpu) {
  Dice dice(5);
  for (const int64_t run : {1, 2, 16}) {
    for (const double share : {0.0, 0.1, 1.0}) {
      constexpr int64_t kRuns = 700;
      const auto all = dice.normal<float>(kRuns * run), other = dice.normal<float>(kRuns * run);
      const auto alive = dice.coins(kRuns, share);
      std::vector<int32_t> runs;
      for (int32_t r = 0; r < kRuns; ++r) {
        if (alive[static_cast<size_t>(r)]) runs.push_back(r);
      }
      const auto [expected, got] = on_both([&](Context& ctx) {
        const Placed<float> from(ctx.device, all);
        const Placed<int32_t> list(ctx.device, runs);
        Placed<float> packed(ctx.device, std::vector<float>(runs.size() * static_cast<size_t>(run)));
        Placed<float> to(ctx.device, other);
        ctx.kernels->pack_runs(ctx, run, list.tensor, from.tensor, packed.tensor);
        ctx.kernels->unpack_runs(ctx, run, list.tensor, packed.tensor, to.tensor);
        std::vector<float> values = packed.values();
        const auto unpacked = to.values();
        values.insert(values.end(), unpacked.begin(), unpacked.end());
        return values;
      });
      EXPECT_TRUE(same_bits(expected, got)) << run << ", " << share;
    }
  }
}

TEST_P(GpuSparseTest, TheBalanceQueueReadsAsOnTheCpu) {
  Dice dice(4);
  for (const int pushes : {0, 1, 3, 7, 12}) {
    const auto logits = dice.normal<float>(3 * pushes * 5);
    const auto [expected, got] = on_both([&](Context& ctx) {
      Placed<double> triples(ctx.device, std::vector<double>(3 * 5, NAN)), summary(ctx.device, {0, 0, 0, 0, 0});
      Placed<uint64_t> pushed(ctx.device, {0});
      Placed<float> means(ctx.device, {0, 0, 0});
      Tensor queue = triples.tensor.reshaped({5, 3});
      for (int push = 0; push < pushes; ++push) {
        for (int i = 0; i < 3; ++i) {
          const auto first = logits.begin() + (push * 3 + i) * 5;
          std::vector<float> of_five(first, first + 5);
          if (push == 5) of_five.assign(5, i == 0 ? 1.0f : 0.0f);  // no gap: no ratio
          if (push == 6) of_five[2] = NAN;
          const Placed<float> x(ctx.device, of_five);
          Tensor mean = means.tensor.slice(i, 1);
          ctx.kernels->mean_logit(ctx, x.tensor, mean);
        }
        ctx.kernels->push_balance(ctx, means.tensor.slice(0, 1), means.tensor.slice(1, 1), means.tensor.slice(2, 1),
                                  queue, pushed.tensor);
      }
      ctx.kernels->summarise_balance(ctx, queue, pushed.tensor, summary.tensor);
      std::vector<double> all = triples.values();
      for (const double x : summary.values()) all.push_back(x);
      for (double& x : all) x = std::isnan(x) ? -std::numeric_limits<double>::infinity() : x;  // of either sign
      all.push_back(static_cast<double>(pushed.values()[0]));
      return all;
    });
    EXPECT_EQ(expected, got) << pushes << " pushes";
  }
}

TEST_P(GpuSparseTest, TheMeanOfManyLogitsIsSummedInOrder) {
  const auto logits = Dice(5).normal<float>(1037);
  const auto [expected, got] = on_both([&](Context& ctx) {
    const Placed<float> x(ctx.device, logits);
    Placed<float> mean(ctx.device, {0});
    ctx.kernels->mean_logit(ctx, x.tensor, mean.tensor);
    return mean.values();
  });
  EXPECT_TRUE(same_bits(expected, got));
}

TEST_P(GpuSparseTest, TheListOfBlocksIsThatOfTheCpu) {
  Dice dice(6);
  for (int trial = 0; trial < 24; ++trial) {
    const bool wide = trial == 0;  // more columns than a block has threads
    const int64_t b = wide ? 2 : 16, out = dice.pick(1, 4), in = wide ? 40 : dice.pick(1, 4);
    const int64_t taps = trial % 3 == 2 ? 1 : 9;
    const std::vector<uint8_t> blocks = dice.coins(out * taps * in, 0.1 * static_cast<double>(trial % 11));
    const int64_t in_bytes = b / (trial % 4 == 1 ? 2 : 1);  // mask bytes per block row, one or two weights each
    const Shape shape{out * b, 1, taps, in * in_bytes};
    std::vector<uint8_t> mask(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < mask.size(); ++i) {
      const auto at = static_cast<int64_t>(i), column = at / in_bytes % (taps * in),
                 row = at / (shape.back() * taps) / b;
      mask[i] = blocks[static_cast<size_t>(row * taps * in + column)] && dice.chance(0.02) ? 1 : 0;
    }
    shuffle(static_cast<uint64_t>(trial));
    const auto [expected, got] = on_both([&](Context& ctx) {
      const Placed<uint8_t> bytes(ctx.device, mask);
      Placed<int32_t> offsets(ctx.device, std::vector<int32_t>(static_cast<size_t>(out) + 1, -1));
      Placed<int32_t> columns(ctx.device, std::vector<int32_t>(blocks.size(), -1));
      BlockIndex index{.block = b, .out_blocks = out, .in_blocks = in, .taps = taps};
      index.row_offsets = offsets.tensor;
      index.col_of_block = columns.tensor;
      ctx.kernels->build_block_index(ctx, bytes.tensor.reshaped(shape), index);
      std::vector<int32_t> list = columns.values();
      list.resize(static_cast<size_t>(index.alive));
      return std::tuple(offsets.values(), list, index.alive, index.alive_in_parities);
    });
    EXPECT_EQ(expected, got) << "trial " << trial;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuSparseTest, testing::ValuesIn(gpu_targets()),
                         [](const testing::TestParamInfo<Target>& target) { return std::string(target.param.name); });

}  // namespace
}  // namespace poise
