// The cost of training by three conventions, compared with the numbers in the papers.
#include "engine/sparse/flops.h"

#include <gtest/gtest.h>

#include <cmath>

#include "apps/report/training_cost.h"
#include "apps/training/trainer.h"
#include "tests/support/erk_tables.h"

namespace poise {
namespace {

constexpr IterationShape kPaper{.batch_size_d = 64, .batch_size_g = 128, .n_critic = 5};
constexpr double kIterations = 1e5;

struct Networks {
  NetworkCost g, d;
};

Networks of_model(const std::string& name) {
  const ModelCost cost = model_cost(published_model(name));
  return {cost.g, cost.d};
}

const Networks& sngan32() {
  static const Networks networks = of_model("sngan32");
  return networks;
}

MaskableHead head_of(FlopConvention convention) {
  return convention == FlopConvention::full ? MaskableHead::dense : MaskableHead::masked_like_paper_code;
}

std::vector<double> erk(const NetworkCost& network, double density, FlopConvention convention) {
  return densities_of(network, DensityRule::erk, density, {}, head_of(convention));
}

// An independent count from the layers of the papers' tables, without biases.
Networks from_tables(const test::ErkTable& g, const test::ErkTable& d) {
  const auto cost = [](const test::ErkTable& table) {
    NetworkCost network;
    for (const test::ErkRow& row : table.rows)
      network.layers.push_back({.layer = row.layer, .maskable = true, .macs = row.macs});
    network.layers.push_back({.layer = {"unmasked", {1}}, .macs = table.other_macs});
    return network;
  };
  return {cost(g), cost(d)};
}

double total(const Networks& n, double density_g, double density_d, FlopConvention convention,
             const IterationShape& shape = kPaper) {
  return iteration_cost(n.g, erk(n.g, density_g, convention), n.d, erk(n.d, density_d, convention), shape, {},
                        convention)
      .total();
}

double percent(const Networks& n, double density_g, double density_d, FlopConvention convention,
               const IterationShape& shape = kPaper) {
  return 100 * total(n, density_g, density_d, convention, shape) / total(n, 1, 1, convention, shape);
}

TEST(Flops, LayersAreThoseOfThePapersTables) {
  const auto tables = test::erk_tables();
  for (const auto& [network, table] : {std::pair{&sngan32().g, &tables[0]}, std::pair{&sngan32().d, &tables[1]}}) {
    ASSERT_EQ(network->layers.size(), table->rows.size());
    double sum = 0, expected = 0;
    for (size_t i = 0; i < table->rows.size(); ++i) {
      expected += table->rows[i].macs;
      sum += network->layers[i].macs;
      const auto same = [&](const test::ErkRow& row) {
        return row.macs == network->layers[i].macs && row.layer.shape == network->layers[i].layer.shape;
      };
      EXPECT_TRUE(std::any_of(table->rows.begin(), table->rows.end(), same)) << network->layers[i].layer.path;
    }
    EXPECT_EQ(sum, expected);
  }
  // One addition per output with a bias: linear; conv1, conv2 and shortcut of the blocks at 8, 16, 32; the image.
  double bias = 0;
  for (const LayerCost& layer : sngan32().g.layers) bias += layer.bias_outputs;
  EXPECT_EQ(bias, 4096 + 3 * 256 * (64 + 256 + 1024) + 3 * 1024);
  EXPECT_EQ(sngan32().g.batch_norm_values, 256 * (16 + 64 + 256) + 256 * (64 + 256 + 1024) + 256 * 1024);
  EXPECT_EQ(sngan32().d.batch_norm_values, 0);
  EXPECT_EQ(sngan32().d.layers.back().bias_outputs, 0) << "the head of D has no bias";
  EXPECT_FALSE(sngan32().d.layers.back().masked(MaskableHead::dense));
  EXPECT_TRUE(sngan32().d.layers.back().masked(MaskableHead::masked_like_paper_code));
  EXPECT_TRUE(sngan32().g.layers[0].masked(MaskableHead::dense));
}

TEST(Flops, PublishedReproducesThePostersRows) {
  const FlopConvention published = FlopConvention::published;
  const Networks& n = sngan32();
  const auto dense_g = [&](const NetworkCost& g) { return g.dense_macs(published) * (5 * 64 + 3 * 128) * kIterations; };
  const auto dense_d = [&](const NetworkCost& d) {
    return d.dense_macs(published) * (15 * 64 + 128) * 5 * kIterations;
  };
  EXPECT_NEAR(dense_g(n.g), 1.185e17, 0.0005e17);
  EXPECT_NEAR(dense_d(n.d), 1.482e17, 0.0005e17);
  EXPECT_NEAR(total(n, 1, 1, published) * kIterations, 2.668e17, 0.0005e17);

  struct Row {
    double density, balance, strong;  // per cent of dense, as on the poster
  };
  for (const auto& [density, balance, strong] :
       {Row{0.1, 8.97, 58.29}, Row{0.2, 17.08, 60.94}, Row{0.3, 26.25, 64.53}, Row{0.5, 47.25, 74.61}}) {
    EXPECT_NEAR(percent(n, density, density, published), balance, 0.2) << density;
    EXPECT_NEAR(percent(n, density, 1, published), strong, 0.2) << density;
  }
}

// The dense totals of the poster's other settings, and the layers that its counter includes at each density.
TEST(Flops, PublishedReproducesThePostersOtherModels) {
  const FlopConvention published = FlopConvention::published;
  struct Case {
    const char* model;
    IterationShape shape;
    double iterations, g, d;  // multiply-adds of the dense run
    size_t table_g;           // index in erk_tables(); D's table is the next
  };
  const auto tables = test::erk_tables();
  for (const auto& [model, shape, iterations, g, d, table_g] :
       {Case{"sngan48", {.batch_size_d = 64, .batch_size_g = 128, .n_critic = 5}, 1e5, 0.584e17, 3.363e17, 2},
        Case{"biggan32", {.batch_size_d = 50, .batch_size_g = 50, .n_critic = 4}, 2e5, 1.178e17, 5.626e17, 4},
        Case{"biggan64", {.batch_size_d = 256, .batch_size_g = 256, .n_critic = 1}, 2e5, 6.321e17, 3.528e17, 6}}) {
    SCOPED_TRACE(model);
    const Networks n = of_model(model);
    const IterationCost cost = iteration_cost(n.g, all_dense(n.g), n.d, all_dense(n.d), shape, {}, published);
    EXPECT_NEAR((cost.g.forward + cost.g.backward) * iterations, g, 0.0006e17);
    EXPECT_NEAR((cost.d.forward + cost.d.backward) * iterations, d, 0.0006e17);
    const Networks counted = from_tables(tables[table_g], tables[table_g + 1]);
    for (const double density : test::kTableDensities) {
      for (const double density_d : {density, 1.0}) {
        EXPECT_NEAR(percent(n, density, density_d, published, shape),
                    percent(counted, density, density_d, published, shape), 0.2)
            << density << " " << density_d;
      }
    }
  }
}

TEST(Flops, ReferenceOnceIsPublishedWithoutTheDoubleCount) {
  const FlopConvention once = FlopConvention::reference_once;
  const Networks& n = sngan32();
  const double strong[] = {25.15, 29.92, 36.43, 54.59};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(percent(n, test::kTableDensities[i], 1, once), strong[i], 0.05);
  EXPECT_NEAR(total(n, 1, 1, once) * kIterations, 1.185e17 + 1.482e17 / 5, 0.0005e17);
  const IterationShape one_d_step{.batch_size_d = 256, .batch_size_g = 256, .n_critic = 1};
  EXPECT_EQ(total(n, 0.2, 1, once, one_d_step), total(n, 0.2, 1, FlopConvention::published, one_d_step));
}

TEST(Flops, FullReproducesTheRecommendedTable) {
  const auto tables = test::erk_tables();
  struct Case {
    const char* name;
    Networks networks;
    double dense, share_of_d;
    double balance[4], strong[4], half[4];
  };
  const Case cases[] = {{"CIFAR SNGAN",
                         sngan32(),
                         1.776e12,
                         33.3,
                         {7.82, 15.10, 23.83, 45.59},
                         {37.54, 41.52, 46.95, 62.10},
                         {21.03, 25.01, 30.44, 45.59}},
                        {"STL SNGAN",
                         of_model("sngan48"),
                         1.926e12,
                         69.8,
                         {23.31, 40.69, 51.37, 64.51},
                         {71.59, 73.28, 74.63, 77.16},
                         {58.94, 60.63, 61.98, 64.51}}};
  for (const Case& c : cases) {
    const FlopConvention full = FlopConvention::full;
    EXPECT_NEAR(total(c.networks, 1, 1, full), c.dense, 0.0005e12) << c.name;
    const double d = c.networks.d.dense_macs(full) * (6 * 5 * 64 + 2 * 128);
    EXPECT_NEAR(100 * d / total(c.networks, 1, 1, full), c.share_of_d, 0.05) << c.name;
    for (int i = 0; i < 4; ++i) {
      const double density = test::kTableDensities[i];
      EXPECT_NEAR(percent(c.networks, density, density, full), c.balance[i], 0.05) << c.name << " " << density;
      EXPECT_NEAR(percent(c.networks, density, 1, full), c.strong[i], 0.05) << c.name << " " << density;
      EXPECT_NEAR(percent(c.networks, density, 0.5, full), c.half[i], 0.05) << c.name << " " << density;
    }
  }
}

TEST(Flops, ExtrasAreChargedInFullOnly) {
  const Networks& n = sngan32();
  const ExtraWork extra{.dense_gradient_g_every = 500, .dense_gradient_d_every = 1000, .balance_every = 10};
  const auto cost = [&](double density, FlopConvention convention) {
    return iteration_cost(n.g, erk(n.g, density, convention), n.d, erk(n.d, density, convention), kPaper, extra,
                          convention);
  };
  const IterationCost dense = cost(1, FlopConvention::full);
  EXPECT_EQ(dense.dense_gradients, 0) << "all gradients are there already";
  // Computed by hand: every 10 iterations, 128 images pass through G and 128 + 64 through D.
  EXPECT_DOUBLE_EQ(dense.balance, (128 * 1'681'129'472.0 + 192 * 272'072'832.0) / 10);
  EXPECT_NEAR(128 * 1'681'129'472.0 / 10 / (dense.g.forward + dense.g.backward), 0.018, 0.0005) << "about 1.8%";
  EXPECT_NEAR(192 * 272'072'832.0 / 10 / (dense.d.forward + dense.d.backward), 0.009, 0.0005) << "about 0.9%";
  const IterationCost sparse = cost(0.1, FlopConvention::full);
  EXPECT_NEAR(sparse.dense_gradients,
              128 * (1 - 0.0629) * 1'681'129'472.0 / 500 + 128 * (1 - 0.1087) * 272'072'832.0 / 1000, 1e5);
  for (const FlopConvention convention : {FlopConvention::reference_once, FlopConvention::published}) {
    EXPECT_EQ(cost(0.1, convention).dense_gradients, 0);
    EXPECT_EQ(cost(0.1, convention).balance, 0);
  }
}

TEST(Flops, AnIterationOfTheTrainerIsWhatFullCounts) {
  const TrainerOptions options{.train = {.batch_size_d = 8, .batch_size_g = 16, .device = Device::cpu}};
  const TrainingPlan plan = Trainer::plan(options, 2000);
  double macs = 0;
  for (const Profile::Row& row : plan.layers.rows()) {
    if (std::string(row.work.op) == "conv2d" || std::string(row.work.op) == "linear") macs += row.work.flops / 2;
  }
  // The counts agree except for gradients that are not needed: those of the latents, and in D steps those of the real
  // and fake images and of their pooled copies, the input of the shortcut.
  const Networks& n = sngan32();
  double unasked = 16 * n.g.layers[0].macs;
  for (const LayerCost& layer : n.d.layers) {
    if (layer.layer.path == "block1.conv1" || layer.layer.path == "block1.shortcut") unasked += 5 * 16 * layer.macs;
  }
  const IterationShape shape{.batch_size_d = 8, .batch_size_g = 16, .n_critic = 5};
  EXPECT_EQ(macs + unasked, total(n, 1, 1, FlopConvention::full, shape));
}

Settings ddst(int64_t iterations) {
  Settings s;
  s.sparse.method = "ddst-relaxed";
  s.sparse.density_g = s.sparse.density_d = 0.1;
  s.sparse.update_every_d = 1000;
  s.sparse.band_low = 0.45;
  s.sparse.band_high = 0.55;
  s.train.iterations = s.sparse.schedule_iterations = iterations;
  return s;
}

TEST(Flops, PlansFollowTheMethod) {
  const FlopConvention full = FlopConvention::full;
  Settings s = ddst(100000);
  const TrainingCost relaxed = planned_cost(s, full);
  EXPECT_EQ(relaxed.extra.dense_gradient_g_every, 500);
  EXPECT_EQ(relaxed.extra.dense_gradient_d_every, 1000);
  EXPECT_EQ(relaxed.extra.balance_every, 10);
  s.sparse.method = "sdst-set";
  const TrainingCost set = planned_cost(s, full);
  EXPECT_EQ(set.extra.dense_gradient_g_every + set.extra.dense_gradient_d_every + set.extra.balance_every, 0)
      << "random growth needs no gradients, and the ratio is not followed";
  s.sparse.method = "sdst-rigl";
  EXPECT_EQ(planned_cost(s, full).extra.dense_gradient_g_every, 500);
  EXPECT_LT(set.total(), planned_cost(s, full).total());
  EXPECT_LT(planned_cost(s, full).total(), relaxed.total());
  EXPECT_NEAR(100 * set.ratio(), 7.82, 0.05);
  s.sparse.method = "dense";
  EXPECT_EQ(planned_cost(s, full).ratio(), 1);
  // 100,000 dense iterations, then 50,000 at the final densities, relative to the dense ones.
  s.sparse.method = "posthoc";
  s.sparse.density_d = 1;
  s.train.iterations = s.sparse.schedule_iterations = 150000;
  const TrainingCost posthoc = planned_cost(s, full);
  EXPECT_NEAR(posthoc.ratio(), 1 + 0.5 * percent(sngan32(), 0.1, 1, full) / 100, 1e-6);
  EXPECT_EQ(posthoc.cumulative().size(), 3u);
}

// Dense up to iteration 1,000, then ten steps over a quarter of the run, then three quarters at the final density.
TEST(Flops, APlanOfGradualPruningAddsUpItsSteps) {
  Settings s;
  s.sparse.method = "gradual";
  s.sparse.density_g = 0.1;
  s.sparse.density_d = 1;
  s.sparse.update_every_g = 1000;
  s.sparse.prune_start = 1000;
  s.sparse.prune_end = 11000;
  s.train.iterations = s.sparse.schedule_iterations = 40000;
  const FlopConvention full = FlopConvention::full;
  const TrainingCost gradual = planned_cost(s, full);
  double expected = 2000 * percent(sngan32(), 1, 1, full);  // the first step is at 2,000
  for (int i = 1; i <= 10; ++i) {
    const double density = 1 - 0.9 * (1 - std::pow(1 - i / 10.0, 3));
    expected += (i < 10 ? 1000 : 29000) * percent(sngan32(), density, 1, full);
  }
  EXPECT_NEAR(100 * gradual.ratio(), expected / 40000, 1e-9);
  EXPECT_EQ(gradual.periods.size(), 11u);
  EXPECT_EQ(gradual.extra.dense_gradient_g_every, 0);
}

TEST(Flops, ARecordedRunIsCountedWithTheDensitiesItHad) {
  const Networks& n = sngan32();
  const auto update = [](const char* network, int64_t iteration, const NetworkCost& cost, double density) {
    MaskUpdate u{.iteration = iteration, .network = network, .kind = "raise"};
    const auto densities = densities_of(cost, DensityRule::erk, density, {}, MaskableHead::masked_like_paper_code);
    for (size_t i = 0; i < densities.size(); ++i) u.layers.emplace_back(cost.layers[i].layer.path, densities[i]);
    return u;
  };
  RunRecord run;
  run.series["loss_d"] = {{100, 1.0}, {4000, 1.0}};
  run.updates = {update("G", 0, n.g, 0.1), update("D", 0, n.d, 0.1), update("D", 1000, n.d, 0.2),
                 update("D", 3000, n.d, 0.5)};
  const FlopConvention published = FlopConvention::published;
  const TrainingCost cost = recorded_cost(run, ddst(100000), published);
  EXPECT_EQ(cost.iterations, 4000) << "not what was planned";
  ASSERT_EQ(cost.periods.size(), 3u);
  const double expected = 1000 * total(n, 0.1, 0.1, published) + 2000 * total(n, 0.1, 0.2, published) +
                          1000 * total(n, 0.1, 0.5, published);
  EXPECT_NEAR(cost.total() / expected, 1, 1e-12);
  EXPECT_EQ(cost.dense_total(), 4000 * total(n, 1, 1, published));
  const Points points = cost.cumulative();
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[2].first, 3000);
  run.updates.clear();
  EXPECT_EQ(recorded_cost(run, ddst(100000), published).ratio(), 1) << "no masks: dense";
}

// The relaxed method with an idealised history: D grows by 0.05 every 1,000 iterations until it is dense. The poster's
// G moves weights between layers, so its cost differs from that of a static G. The difference is taken as that between
// the poster's SDST-Strong-RigL row and our static cost.
TEST(Flops, AnIdealisedRelaxedRunComesNearThePublishedCost) {
  const Networks& n = sngan32();
  const FlopConvention published = FlopConvention::published;
  struct Row {
    double density, relaxed, strong_rigl;  // per cent, from the poster
  };
  for (const auto& [density, relaxed, strong_rigl] :
       {Row{0.2, 57.62, 61.35}, Row{0.3, 61.31, 64.04}, Row{0.5, 70.11, 71.01}}) {
    double mean = 0;
    for (int k = 0; k < 100; ++k) mean += percent(n, density, std::min(1.0, density + 0.05 * k), published) / 100;
    EXPECT_NEAR(mean - (percent(n, density, 1, published) - strong_rigl), relaxed, 0.7) << density;
  }
}

}  // namespace
}  // namespace poise
