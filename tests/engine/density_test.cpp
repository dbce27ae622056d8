// Layer densities: the published tables, exact counts, cells, and refused requests.
#include "engine/sparse/density.h"

#include <cmath>

#include "engine/sparse/maskable.h"
#include "models/registry.h"
#include "tests/support/erk_tables.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::expect_error;

std::vector<MaskableLayer> layers_of(const test::ErkTable& table) {
  std::vector<MaskableLayer> layers;
  for (const test::ErkRow& row : table.rows) layers.push_back(row.layer);
  return layers;
}

int64_t weights_in(const std::vector<MaskableLayer>& layers) {
  int64_t weights = 0;
  for (const MaskableLayer& layer : layers) weights += layer.shape.elements();
  return weights;
}

int64_t alive_weights(const std::vector<MaskableLayer>& layers, const std::vector<LayerDensity>& densities) {
  int64_t alive = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    alive += layers[i].shape.elements() / densities[i].cells * densities[i].alive_cells;
  }
  return alive;
}

TEST(Density, ErkIsThePapersLayerByLayer) {
  int rows = 0;
  for (const test::ErkTable& table : test::erk_tables()) {
    const auto layers = layers_of(table);
    for (int column = 0; column < 4; ++column) {
      const double density = test::kTableDensities[column];
      const auto result = layer_densities(layers, DensityRule::erk, density, Cell{});
      double cost = table.other_macs, macs = table.other_macs;
      for (size_t i = 0; i < layers.size(); ++i, ++rows) {
        const auto& [layer, layer_macs, expected] = table.rows[i];
        EXPECT_NEAR(result[i].density, expected[column], 1e-4) << table.network << " " << layer.path << " " << density;
        // The count in whole weights is within one of the formula.
        EXPECT_EQ(result[i].cells, layer.shape.elements());
        EXPECT_NEAR(static_cast<double>(result[i].alive_cells),
                    result[i].density * static_cast<double>(result[i].cells), 1.0)
            << layer.path;
        cost += result[i].density * layer_macs;
        macs += layer_macs;
      }
      EXPECT_NEAR(cost / macs, table.cost[column], 1e-4) << table.network;
      EXPECT_EQ(alive_weights(layers, result), std::llround(density * static_cast<double>(weights_in(layers))))
          << table.network;
    }
  }
  EXPECT_EQ(rows, 4 * 108);
}

TEST(Density, OurOwnModelHasTheShapesOfTheTable) {
  GanModel model = make_model({});
  const auto tables = test::erk_tables();
  const auto expect_same_shapes = [](std::vector<MaskableLayer> a, std::vector<MaskableLayer> b) {
    const auto key = [](const MaskableLayer& layer) { return layer.shape.to_string(); };
    const auto less = [&](const auto& x, const auto& y) { return key(x) < key(y); };
    std::sort(a.begin(), a.end(), less);
    std::sort(b.begin(), b.end(), less);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(key(a[i]), key(b[i])) << a[i].path;
  };
  expect_same_shapes(maskable_layers(*model.generator), layers_of(tables[0]));
  expect_same_shapes(maskable_layers(*model.discriminator, MaskableHead::masked_like_paper_code), layers_of(tables[1]));
  const auto d = maskable_layers(*model.discriminator);
  EXPECT_EQ(d.size(), 10u) << "the head of D is left alone";
  for (const MaskableLayer& layer : d) EXPECT_NE(layer.path, "linear");
  EXPECT_EQ(d[0].path, "block1.conv1");
}

TEST(Density, RulesByHand) {
  // 1x1 conv 4->2 and 3x3 conv 4->2: n = 8, 72. ER ignores the kernel: scale 6/8 for both; ERK: 8/8 and 12/72.
  const std::vector<MaskableLayer> layers = {{"a", {2, 1, 1, 4}}, {"b", {2, 3, 3, 4}}};
  for (const auto& [rule, a, b] : {std::tuple{DensityRule::uniform, 0.25, 0.25},
                                   {DensityRule::er, 0.25, 0.25},
                                   // 8 eps + 12 eps = 20 -> eps = 1: a is exactly dense
                                   {DensityRule::erk, 1.0, 1.0 / 6}}) {
    const auto result = layer_densities(layers, rule, 0.25, Cell{});
    EXPECT_NEAR(result[0].density, a, 1e-15);
    EXPECT_NEAR(result[1].density, b, 1e-15);
    EXPECT_EQ(alive_weights(layers, result), 20);
  }
  // At 0.2: 8 eps + 12 eps = 16, so no layer is dense.
  const auto fifth = layer_densities(layers, DensityRule::erk, 0.2, Cell{});
  EXPECT_NEAR(fifth[0].density, 0.8, 1e-15);
  EXPECT_NEAR(fifth[1].density, 0.8 / 6, 1e-15);
  // At 0.5: eps * 8/8 > 1, so a is dense and b gets the other 32.
  const auto result = layer_densities(layers, DensityRule::erk, 0.5, Cell{});
  EXPECT_EQ(result[0].density, 1);
  EXPECT_NEAR(result[1].density, 32.0 / 72, 1e-15);
  // Linear layers have no kernel, so er and erk agree. Scales 12/20 and 5/4; 12 eps + 5 eps = 4.8.
  const std::vector<MaskableLayer> linear = {{"a", {2, 10}}, {"b", {1, 4}}};
  for (const DensityRule rule : {DensityRule::er, DensityRule::erk}) {
    const auto both = layer_densities(linear, rule, 0.2, Cell{});
    EXPECT_NEAR(both[0].density, 4.8 / 17 * 12 / 20, 1e-15);
    EXPECT_NEAR(both[1].density, 4.8 / 17 * 5 / 4, 1e-15);
  }
}

TEST(Density, DensityOneIsDense) {
  for (const DensityRule rule : {DensityRule::uniform, DensityRule::er, DensityRule::erk}) {
    for (const test::ErkTable& table : test::erk_tables()) {
      for (const LayerDensity& layer : layer_densities(layers_of(table), rule, 1, Cell{16, 16, true})) {
        EXPECT_EQ(layer.density, 1);
        EXPECT_EQ(layer.alive_cells, layer.cells);
      }
    }
  }
}

TEST(Density, CellsKeepTheTotalAndLeaveWhatTheyDoNotDivideDense) {
  for (const test::ErkTable& table : test::erk_tables()) {
    const auto layers = layers_of(table);
    for (const Cell cell : {Cell{16, 16, false}, Cell{16, 16, true}, Cell{8, 4, false}, Cell{1, 1, true}}) {
      for (const DensityRule rule : {DensityRule::uniform, DensityRule::er, DensityRule::erk}) {
        for (const double density : {0.1, 0.25, 0.5, 0.9}) {
          const auto result = layer_densities(layers, rule, density, cell);
          int64_t smallest = weights_in(layers);  // size of the smallest cell in the sparse layers
          for (size_t i = 0; i < layers.size(); ++i) {
            const bool divides = layers[i].shape[0] % cell.out == 0 && layers[i].shape.back() % cell.in == 0;
            EXPECT_EQ(result[i].divisible, divides) << layers[i].path;
            if (!divides) {
              EXPECT_EQ(result[i].alive_cells, result[i].cells) << layers[i].path;
            }
            EXPECT_GE(result[i].alive_cells, 1);
            EXPECT_LE(result[i].alive_cells, result[i].cells);
            const int64_t size = layers[i].shape.elements() / result[i].cells;
            EXPECT_EQ(size * result[i].cells, layers[i].shape.elements());
            if (result[i].alive_cells < result[i].cells) smallest = std::min(smallest, size);
          }
          const double asked = density * static_cast<double>(weights_in(layers));
          EXPECT_LE(std::abs(static_cast<double>(alive_weights(layers, result)) - asked),
                    static_cast<double>(smallest) / 2 + 1e-6)
              << table.network << " " << to_string(cell) << " " << density;
        }
      }
    }
  }
}

TEST(Density, EveryLayerKeepsACell) {
  const std::vector<MaskableLayer> layers = {{"large", {256, 3, 3, 256}}, {"small", {16, 16}}};
  const auto result = layer_densities(layers, DensityRule::uniform, 5e-4, Cell{16, 16, false});
  EXPECT_EQ(result[1].cells, 1);
  EXPECT_EQ(result[1].alive_cells, 1);
  EXPECT_GE(result[0].alive_cells, 1);
}

TEST(Density, WhatCannotBeIsAUsageError) {
  const std::vector<MaskableLayer> layers = {{"first", {16, 3, 3, 3}}, {"second", {16, 3, 3, 16}}};
  for (const double density : {0.0, -0.1, 1.1, static_cast<double>(NAN)}) {
    expect_error(ErrorKind::usage, {"density: expected a number in (0, 1]"},
                 [&] { layer_densities(layers, DensityRule::erk, density, Cell{}); });
  }
  // 432 of 2,736 weights stay dense, so 10% is impossible.
  expect_error(ErrorKind::usage, {"cell 16x16", "432 of 2736", "smaller cell"}, [&] {
    layer_densities(layers, DensityRule::erk, 0.1, Cell{16, 16, false});
  });
  expect_error(ErrorKind::usage, {"density 1e-300 cannot be reached: each of 2 layers keeps at least one cell 1x1"},
               [&] { layer_densities(layers, DensityRule::erk, 1e-300, Cell{}); });
  EXPECT_EQ(named<DensityRule>("erk"), DensityRule::erk);
  EXPECT_EQ(named<DensityRule>("ERK"), std::nullopt);
}

}  // namespace
}  // namespace poise
