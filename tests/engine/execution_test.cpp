// Sparse execution in the engine, by blocks and by single weights: ops, the execution switch, and the crossover table.
#include "engine/sparse/execution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "engine/nn/layers.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/op_fixture.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr int64_t kB = 16;

// relu(conv(x)) -> upsampled conv -> sum over space -> linear: one masked layer of each kind.
struct Net : Module {
  Conv2d conv1, conv2, shortcut;
  Linear linear;
  Net()
      : Module("N"),
        conv1(*this, "conv1", kB, 2 * kB, same_padding(3), {.spectral_norm = true}),
        conv2(*this, "conv2", 2 * kB, kB, upsampled(same_padding(3))),
        shortcut(*this, "shortcut", 2 * kB, kB, upsampled(same_padding(1))),
        linear(*this, "linear", kB, kB) {}
  Var operator()(Var x) {
    Var h = relu(conv1(x));
    return linear(sum_space(add(conv2(h), shortcut(h))));
  }
};

struct NetRun {
  Net net;
  ParameterSlab slab;
  TestContext test;
  CrossoverTable table;
  NetworkMasks masks;
  std::unique_ptr<NetworkExecution> execution;
  OwnedTensor x;

  NetRun(DType dtype, const Cell& cell, double density)
      : slab(net, dtype, Device::cpu, false),
        test(cpu_reference_kernels(), size_t{1} << 26),
        masks(net, slab, cell, MaskableHead::masked_like_paper_code, Device::cpu),
        x({2, 4, 4, kB}, dtype, Device::cpu) {
    std::mt19937 rng(5);
    std::uniform_real_distribution<float> draw(-0.5f, 0.5f);
    const auto fill = [&](const Tensor& t) {
      for (int64_t i = 0; i < t.elements(); ++i) {
        const float v = draw(rng);
        if (dtype == DType::f64)
          t.data<double>()[i] = v;
        else
          t.data<float>()[i] = v;
      }
    };
    for (const ParameterSlab::Entry& e : slab.entries()) fill(e.value);
    for (const ParameterSlab::BufferEntry& b : slab.buffers()) fill(b.value);
    fill(x.tensor());
    masks.draw(test.ctx, RandomStream::mask_g,
               layer_densities(maskable_layers(net, MaskableHead::masked_like_paper_code), DensityRule::uniform,
                               density, cell));
  }
  void choose(ExecutionChoice choice) {
    execution.reset();
    execution = std::make_unique<NetworkExecution>(net, masks, choice, table, Device::cpu);
    forward();  // layers record their geometries
    execution->update(test.ctx);
  }
  Var forward() {
    test.tape.reset();
    test.arena.reset();
    test.tape.mode = Mode::evaluate_running;  // keeps u and v of the spectral norm unchanged
    return net(test.tape.variable(x.tensor()));
  }
  // Returns the output, the gradient of x, and the gradients of all parameters.
  std::vector<double> run() {
    Var y = forward();
    std::vector<double> all = to_host(y.value());
    Tensor dy = test.arena.alloc(y.shape(), y.dtype());
    test.ctx.kernels->fill(test.ctx, 0.25, dy);
    test.tape.backward_from(y, dy);
    for (const double v : to_host(test.tape.gradient(Var{&test.tape, 0}))) all.push_back(v);
    for (const double v : to_host(slab.grad)) all.push_back(v);
    return all;
  }
};

// Sets the gradients of dead weights to zero, as only the dense path computes them. With spectral norm, a dead weight
// has a gradient on both paths, but only the part through u and v is the same.
std::vector<double> without_dead_gradients(NetRun& net, std::vector<double> values) {
  const size_t first = values.size() - static_cast<size_t>(net.slab.grad.elements());
  const std::vector<uint8_t> alive = alive_of(net.masks.bytes(), net.slab.grad);
  for (size_t i = first; i < values.size(); ++i) values[i] *= alive[i - first];
  return values;
}

// A sparse path and the cells that it skips.
struct SparsePath {
  ExecutionChoice path;
  Cell cell;
};
const SparsePath kSparsePaths[] = {{ExecutionChoice::block, {kB, kB, false}},
                                   {ExecutionChoice::block, {kB, kB, true}},
                                   {ExecutionChoice::weights, {1, 1, false}},
                                   {ExecutionChoice::weights, {4, 1, false}},
                                   {ExecutionChoice::weights, {kB, kB, false}}};

class SparseExecutionTest : public testing::TestWithParam<SparsePath> {};
INSTANTIATE_TEST_SUITE_P(Paths, SparseExecutionTest, testing::ValuesIn(kSparsePaths), [](const auto& p) {
  std::string name = std::string(name_of(p.param.path)) + "_cell_" + to_string(p.param.cell);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(SparseExecutionTest, ComputesWhatMaskedDenseLayersCompute) {
  const auto [path, cell] = GetParam();
  for (double density : {0.3, 0.6, 1.0}) {
    NetRun net(DType::f32, cell, density);
    net.choose(ExecutionChoice::dense);
    const std::vector<double> dense = without_dead_gradients(net, net.run());
    net.choose(path);
    const std::vector<double> block = without_dead_gradients(net, net.run());
    ASSERT_EQ(dense.size(), block.size());
    double worst = 0, largest = 0;
    for (size_t i = 0; i < dense.size(); ++i) {
      const double error = std::abs(dense[i] - block[i]);
      ASSERT_FALSE(std::isnan(error));
      worst = std::max(worst, error);
      largest = std::max(largest, std::abs(dense[i]));
    }
    EXPECT_FALSE(!(worst <= 1e-5 * largest)) << to_string(cell) << " at " << density << ": " << worst / largest;
  }
}

TEST_P(SparseExecutionTest, SkipsTheArithmeticOfDeadBlocks) {
  NetRun net(DType::f32, GetParam().cell, 0.5);
  Profile profile;
  net.choose(GetParam().path);
  net.test.ctx.profile = &profile;
  net.run();
  for (const Profile::Row& row : profile.rows()) {
    if (row.layer != "N.conv1" || row.work.op != std::string("conv2d")) continue;
    EXPECT_EQ(row.work.executed_flops, 0.5 * row.work.flops) << name_of(row.work.pass);
  }
}

TEST_P(SparseExecutionTest, GradientsOfDeadWeightsAppearWhenAMaskUpdateWantsThem) {
  NetRun net(DType::f32, GetParam().cell, 0.3);
  net.choose(ExecutionChoice::dense);
  const std::vector<double> dense = net.run();
  net.choose(GetParam().path);
  const auto dead_gradients = [&](const std::vector<double>& all) {
    const size_t first = all.size() - static_cast<size_t>(net.slab.grad.elements());
    double sum = 0;
    for (const MaskedLayer& layer : net.masks.layers()) {
      if (layer.path != "conv2") continue;
      const auto offset = static_cast<size_t>(layer.weight.value.data<float>() - net.slab.value.data<float>());
      const std::vector<uint8_t> alive = alive_of(layer.bytes, layer.weight.value);
      for (size_t i = 0; i < alive.size(); ++i) {
        if (!alive[i]) sum += std::abs(all[first + offset + i]);
      }
    }
    return sum;
  };
  EXPECT_EQ(dead_gradients(net.run()), 0);
  net.execution->set_dense_weight_gradients(true);
  EXPECT_NEAR(dead_gradients(net.run()), dead_gradients(dense), 1e-4 * dead_gradients(dense));
}

TEST_P(SparseExecutionTest, GradientsMatchFiniteDifferencesThroughAMaskedNetwork) {
  NetRun net(DType::f64, GetParam().cell, 0.4);
  net.choose(GetParam().path);
  const std::vector<double> result = net.run();
  const size_t first = result.size() - static_cast<size_t>(net.slab.grad.elements());
  double* w = net.slab.value.data<double>();
  std::mt19937 rng(2);
  const auto loss = [&] {
    double sum = 0;
    for (double y : to_host(net.forward().value())) sum += 0.25 * y;
    return sum;
  };
  double largest = 0;
  for (size_t i = first; i < result.size(); ++i) largest = std::max(largest, std::abs(result[i]));
  const std::vector<uint8_t> alive = alive_of(net.masks.bytes(), net.slab.value);
  int checked = 0;
  for (int trial = 0; trial < 400 && checked < 60; ++trial) {
    const auto i = static_cast<size_t>(rng() % static_cast<uint64_t>(net.slab.value.elements()));
    if (!alive[i] || result[first + i] == 0) continue;
    ++checked;
    constexpr double h = 1e-5;
    const double saved = w[i];
    w[i] = saved + h;
    const double above = loss();
    w[i] = saved - h;
    const double below = loss();
    w[i] = saved;
    EXPECT_FALSE(!(std::abs((above - below) / (2 * h) - result[first + i]) <= 1e-7 * largest)) << i;
  }
  EXPECT_GE(checked, 30);
}

TEST(ExecutionSwitchTest, TakesWhatIsFasterWithHysteresisAndSaysWhy) {
  NetRun net(DType::f32, {kB, kB, false}, 0.5);
  net.choose(ExecutionChoice::automatic);  // geometries are known now
  const auto decide = [&](double speedup) {
    net.net.for_each_parameter([&](Parameter& p) {
      if (p.path != "conv1.weight") return;
      net.table.add({.geometry = p.execution->geometry, .pass = Pass::forward, .cell = {kB, kB, false}}, 0.5, speedup);
    });
    for (const ExecutionDecision& d : net.execution->update(net.test.ctx)) {
      if (d.layer == "N.conv1" && d.pass == Pass::forward) return d;
    }
    ADD_FAILURE() << "no decision about conv1";
    return ExecutionDecision{};
  };
  EXPECT_EQ(decide(0.9).execution, Execution::dense);
  EXPECT_EQ(decide(1.04).execution, Execution::dense);
  EXPECT_EQ(decide(1.06).execution, Execution::block);
  EXPECT_EQ(decide(1.01).execution, Execution::block);
  const ExecutionDecision last = decide(0.99);
  EXPECT_EQ(last.execution, Execution::dense);
  EXPECT_TRUE(last.changed);
  EXPECT_EQ(last.to_string(), "N.conv1 forward: density 0.500, cell 16x16, 1.0x measured -> dense");
}

std::string refusal(NetRun& net, ExecutionChoice choice, Device device) {
  try {
    NetworkExecution forced(net.net, net.masks, choice, net.table,
                            Memory(device, /*is_planned=*/device != Device::cpu));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "";
}

// The predicted decision for one pass of one layer, as text.
std::string prediction(NetRun& net, Device device, const std::string& layer, Pass pass, double density) {
  net.execution.reset();
  net.execution = std::make_unique<NetworkExecution>(net.net, net.masks, ExecutionChoice::automatic, net.table,
                                                     Memory(device, /*is_planned=*/true));
  net.forward();
  for (const ExecutionDecision& d : net.execution->predict(net.test.ctx, std::vector<double>(4, density))) {
    if (d.layer == layer && d.pass == pass) return d.to_string();
  }
  return "no decision";
}

TEST(ExecutionSwitchTest, SingleWeightsAreSkippedOnTheCpuWhereThatIsFaster) {
  NetRun net(DType::f32, {}, 0.5);
  const auto predicted = [&](double density) {
    return prediction(net, Device::cpu, "N.conv1", Pass::forward, density);
  };
  // Sixteen stripes are computed at once; two images of four rows have eight.
  EXPECT_EQ(predicted(0.1), "N.conv1 forward: density 0.100, cell 1x1, 2.3x estimated -> weights");
  EXPECT_EQ(predicted(0.4), "N.conv1 forward: density 0.400, cell 1x1, 0.7x estimated -> dense");
  CrossoverKey key{
      .geometry = {.n = 16, .h = 4, .w = 4, .c_in = kB, .c_out = 2 * kB, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
      .pass = Pass::forward,
      .path = Execution::weights};
  net.table.add(key, 0.4, 4);  // measured with all sixteen
  EXPECT_EQ(predicted(0.4), "N.conv1 forward: density 0.400, cell 1x1, 2.0x measured -> weights");
}

TEST(ExecutionSwitchTest, SingleWeightsStayMaskedOnAGpuAndNeitherPathCanBeForcedWhereItIsNot) {
  NetRun net(DType::f32, {}, 0.5);
  EXPECT_EQ(prediction(net, Device::emulated, "N.conv1", Pass::forward, 0.02), "no decision");
  EXPECT_NE(refusal(net, ExecutionChoice::block, Device::cpu).find("cells of 1x1; use cell = 16x16"),
            std::string::npos);
  EXPECT_NE(refusal(net, ExecutionChoice::weights, Device::emulated).find("needs --device cpu"), std::string::npos);
  EXPECT_EQ(refusal(net, ExecutionChoice::weights, Device::cpu), "");
}

TEST(ExecutionSwitchTest, MomentsThatFollowDeadWeightsKeepTheirGradientDense) {
  NetRun net(DType::f32, {}, 0.02);
  net.choose(ExecutionChoice::weights);
  net.execution->always_dense_weight_gradients();
  for (const ExecutionDecision& d : net.execution->update(net.test.ctx)) {
    EXPECT_EQ(d.execution, d.pass == Pass::backward_weight ? Execution::dense : Execution::weights) << d.to_string();
  }
}

// cuSPARSE runs on GPUs, where the automatic choice considers it if it has been measured. The decision is made in a
// plan, for layers that the CPU has computed.
TEST(ExecutionSwitchTest, TakesTheFasterOfTwoSparsePathsWhereBothAreMeasured) {
  NetRun net(DType::f32, {kB, kB, false}, 0.5);
  const auto decide = [&](Device device, double block, double cusparse) {
    CrossoverKey key{
        .geometry = {.n = 2, .h = 4, .w = 4, .c_in = kB, .c_out = 2 * kB, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
        .pass = Pass::backward_input,
        .cell = {kB, kB, false}};
    net.table.add(key, 0.5, block);
    key.path = Execution::cusparse;
    if (cusparse > 0) net.table.add(key, 0.5, cusparse);
    net.execution.reset();
    net.execution = std::make_unique<NetworkExecution>(net.net, net.masks, ExecutionChoice::automatic, net.table,
                                                       Memory(device, /*is_planned=*/true));
    net.forward();
    for (const ExecutionDecision& d : net.execution->predict(net.test.ctx, {0.5, 0.5, 0.5, 0.5})) {
      if (d.layer == "N.conv1" && d.pass == Pass::backward_input) return d.to_string();
    }
    return std::string("no decision");
  };
  const std::string begin = "N.conv1 backward_input: density 0.500, cell 16x16, ";
  EXPECT_EQ(decide(Device::emulated, 2, 0), begin + "2.0x measured -> block");
  EXPECT_EQ(decide(Device::emulated, 2, 3), begin + "block 2.0x measured, cusparse 3.0x measured -> cusparse");
  EXPECT_EQ(decide(Device::emulated, 2, 1.5), begin + "block 2.0x measured, cusparse 1.5x measured -> block");
  EXPECT_EQ(decide(Device::emulated, 0.9, 1.04), begin + "block 0.9x measured, cusparse 1.0x measured -> dense");
  EXPECT_EQ(decide(Device::cpu, 2, 3), begin + "2.0x measured -> block");
}

TEST(ExecutionSwitchTest, CusparseIsRefusedOnTheCpu) {
  NetRun net(DType::f32, {kB, kB, false}, 0.5);
  try {
    NetworkExecution forced(net.net, net.masks, ExecutionChoice::cusparse, net.table, Device::cpu);
    FAIL() << "cuSPARSE on the CPU";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("needs --device cuda or emulated"), std::string::npos) << error.what();
  }
  // A run saved on a GPU and resumed on the CPU is dense until the masks change.
  NetworkExecution resumed(net.net, net.masks, ExecutionChoice::automatic, net.table, Device::cpu);
  const std::vector<uint8_t> saved(static_cast<size_t>(resumed.choices().tensor().elements()), 2);
  copy_from_host(resumed.choices().tensor(), saved.data());
  resumed.restore(net.test.ctx);
  net.net.for_each_parameter([&](Parameter& p) {
    if (p.execution) {
      EXPECT_EQ(p.execution->forward, Execution::dense) << p.path;
    }
  });
}

TEST(ExecutionSwitchTest, CusparseMultipliesBlocksAsLargeAsCells) {
  EXPECT_EQ(cusparse_block_of({16, 16, true}), 16);
  EXPECT_EQ(cusparse_block_of({32, 32, false}), 32);
  EXPECT_EQ(cusparse_block_of({64, 32, false}), 32);
  EXPECT_EQ(cusparse_block_of({48, 96, false}), 16);
  EXPECT_EQ(cusparse_block_of({256, 256, true}), 128);
}

TEST(ExecutionSwitchTest, ChoicesSurviveARestart) {
  NetRun net(DType::f32, {kB, kB, false}, 0.5);
  net.choose(ExecutionChoice::block);
  const std::vector<uint8_t> saved = values_of<uint8_t>(net.execution->choices().tensor());
  EXPECT_EQ(saved, std::vector<uint8_t>(saved.size(), 1));
  net.execution.reset();
  NetworkExecution resumed(net.net, net.masks, ExecutionChoice::automatic, net.table, Device::cpu);
  net.forward();
  copy_from_host(resumed.choices().tensor(), saved.data());
  resumed.restore(net.test.ctx);
  net.net.for_each_parameter([&](Parameter& p) {
    if (p.execution) {
      EXPECT_EQ(p.execution->forward, Execution::block) << p.path;
      EXPECT_GT(p.execution->index.alive, 0) << p.path;
    }
  });
}

CrossoverKey some_key() {
  return {.geometry = {.n = 4, .h = 8, .w = 8, .c_in = 32, .c_out = 64, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
          .pass = Pass::backward_weight,
          .cell = {kB, kB, true}};
}

TEST(CrossoverTableTest, InterpolatesBetweenMeasurementsAndEstimatesWithoutAny) {
  CrossoverTable table;
  EXPECT_EQ(some_key().to_string(), "backward_weight conv 3x3 32->64 8x8 cell 16x16-all-taps");
  EXPECT_DOUBLE_EQ(table.speedup(some_key(), 0.5, 2.0), 2.0 * CrossoverTable::kEfficiency);
  table.add(some_key(), 0.1, 8);
  table.add(some_key(), 0.4, 2);
  EXPECT_NEAR(table.speedup(some_key(), 0.2, 1), 4, 1e-12);
  EXPECT_DOUBLE_EQ(table.speedup(some_key(), 0.05, 1), 8);
  EXPECT_DOUBLE_EQ(table.speedup(some_key(), 0.8, 1), 1);
  EXPECT_NEAR(table.crossover_density(some_key()), 0.8, 1e-6);
}

TEST(CrossoverTableTest, TellsStridesApart) {
  CrossoverKey strided = some_key();
  strided.geometry.stride_h = strided.geometry.stride_w = 2;
  EXPECT_EQ(strided.to_string(), "backward_weight conv 3x3 32->64 8x8 stride 2x2 cell 16x16-all-taps");
  CrossoverTable table;
  table.add(strided, 0.1, 8);
  EXPECT_TRUE(table.measured(strided));
  EXPECT_FALSE(table.measured(some_key()));
}

TEST(CrossoverTableTest, EstimatesSingleWeightsByWhatLayersOfTheirKindGained) {
  const CrossoverTable nothing_measured;
  for (const int64_t upsample : {1, 2}) {
    for (const int64_t kernel : {1, 3}) {
      for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
        CrossoverKey key{.geometry = {.n = 16,
                                      .h = 8,
                                      .w = 8,
                                      .c_in = 64,
                                      .c_out = 64,
                                      .kh = kernel,
                                      .kw = kernel,
                                      .pad_h = kernel / 2,
                                      .pad_w = kernel / 2,
                                      .upsample = upsample},
                         .pass = pass,
                         .path = Execution::weights};
        SCOPED_TRACE(key.to_string());
        double last = std::numeric_limits<double>::infinity();
        for (const double density : {0.005, 0.01, 0.04, 0.1, 0.25, 0.3, 0.6, 0.9, 1.0}) {
          const double speedup = nothing_measured.speedup(key, density, 1);
          EXPECT_LE(speedup, last) << density;
          last = speedup;
        }
        // Less than the gain needed to switch to a path. (An upsampled layer needs 9 products for 16 dense ones.)
        EXPECT_LT(last, 1.05) << "nothing is gained where everything is alive";
        const double full = nothing_measured.speedup(key, 0.1, 1);
        key.geometry.n = 1, key.geometry.h = key.geometry.w = 4;
        if (kernel == 3) {
          EXPECT_LT(nothing_measured.speedup(key, 0.1, 1), full) << "lanes without an image";
        }
        key.geometry.c_in = 3;
        EXPECT_TRUE(std::isnan(nothing_measured.speedup(key, 0.1, 1)));
      }
    }
  }
}

TEST(CrossoverTableTest, IsKeptInAFileAndIgnoresWhatIsNotOne) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "cache" / "table.json";
  EXPECT_TRUE(CrossoverTable::load(path).empty());
  CrossoverTable table;
  table.add(some_key(), 0.1, 8);
  table.save(path, "cpu");
  EXPECT_DOUBLE_EQ(CrossoverTable::load(path).speedup(some_key(), 0.1, 1), 8);
  for (const char* text :
       {"", "{", "[]", R"({"layers": 3})", R"({"layers": {"a": [[0, 1]]}})", R"({"layers": {"a": [["x", 1]]}})",
        R"({"layers": {"a": [[0.5, -1]]}})", R"({"layers": {"a": 7}})"}) {
    std::ofstream(path) << text;
    EXPECT_TRUE(CrossoverTable::load(path).empty()) << text;
  }
}

}  // namespace
}  // namespace poise
