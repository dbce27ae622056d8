// How much faster sparse kernels are than the dense ones, by layer, pass, cell, path and density, as
// crossover_bench measured it on this device. Where it measured nothing, our kernels are estimated: blocks by arithmetic
// saved times a constant, single weights by what was measured elsewhere (typical_weights.h).
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/sparse/cell.h"
#include "engine/sparse/layer_execution.h"
#include "engine/sparse/typical_weights.h"

namespace poise {

// Everything that a ratio of times depends on besides the density. (The batch size hardly matters to kernels that walk
// images one after another. Execution weight by weight computes sixteen at once; its speed-ups are kept for full
// groups, and fewer images take their share of one.)
struct CrossoverKey {
  Conv2dGeometry geometry;
  Pass pass = Pass::forward;
  Cell cell;
  Execution path = Execution::block;
  // "forward conv 3x3 256->256 16x16 upsample 2 cell 16x16"; "... 16x16 stride 2x2 ..."; "... pooled ..."; "... cusparse".
  // Weight by weight, runs of outputs longer than 4 take as long as runs of 4: "... cell 4x1 weights" for cells of 8x1
  // as well.
  std::string to_string() const;
};

class CrossoverTable {
 public:
  // Of the estimate of blocks: what is left of saved arithmetic as saved time. Measured: the least of all passes of 3x3
  // layers with 128 and 256 channels at 30 and 50% density (2 cores AMD EPYC Zen 4, 2026-11-22).
  static constexpr double kEfficiency = 0.8;

  // Dense time over sparse time; NaN where nothing is known: for cuSPARSE, and of layers of few channels under single
  // weights, where they were not measured. Between measured densities by the logarithms of both; beyond them in
  // proportion to density. `saved`: dense over executed multiply-adds, for the estimate.
  double speedup(const CrossoverKey& key, double density, double saved) const;
  bool measured(const CrossoverKey& key) const { return points_.contains(key.to_string()); }
  bool measured(Execution path) const;  // of any layer
  void add(const CrossoverKey& key, double density, double speedup);
  // Estimates are of f32. Where dense kernels and blocks are so many times as fast and single weights are not.
  void expect_slow_weights(double times) { weights_loss_ = times; }
  // Where the measured speed-up passes 1, between 0 and 1; 1 if it never falls below.
  double crossover_density(const CrossoverKey& key) const;
  bool empty() const { return points_.empty(); }

  // `device`: what speeds hold for (apps/console/program.h). In cache_folder(); the file's name holds device and build.
  static std::filesystem::path default_path(const std::string& device);
  // What is not there, or not readable as a table, is an empty table.
  static CrossoverTable load(const std::filesystem::path& path);
  void save(const std::filesystem::path& path, const std::string& device) const;
  // What they read and write. parse() throws nothing: a text that is no table gives an empty one.
  static CrossoverTable parse(const std::string& text);
  std::string text(const std::string& device) const;

 private:
  static double interpolated(const SpeedupPoints& points, double density);

  std::map<std::string, SpeedupPoints> points_;
  double weights_loss_ = 1;
};

}  // namespace poise
