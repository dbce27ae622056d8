// How much faster sparse kernels are than dense ones, by layer, pass, cell, path and density, as crossover_bench
// measured it on this device. Without a measurement, the speed-up of our kernels is estimated: for blocks as the saved
// arithmetic times a constant, for single weights from measurements on another machine (typical_weights.h).
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "engine/sparse/cell.h"
#include "engine/sparse/layer_execution.h"
#include "engine/sparse/typical_weights.h"

namespace poise {

// Everything other than the density that a speed-up depends on. (The batch size hardly matters for kernels that process
// one image after another. Execution weight by weight processes sixteen at once; its speed-ups are stored for full
// groups, and scaled by the used share of a group when there are fewer images.)
struct CrossoverKey {
  Conv2dGeometry geometry;
  Pass pass = Pass::forward;
  Cell cell;
  Execution path = Execution::block;
  // "forward conv 3x3 256->256 16x16 upsample 2 cell 16x16"; "... stride 2x2 ..."; "... pooled ..."; "... cusparse".
  // Weight by weight, runs of over 4 outputs take as long as runs of 4: cells of 8x1 are "... cell 4x1 weights" too.
  std::string to_string() const;
};

class CrossoverTable {
 public:
  // For the estimate of blocks: the speed-up as a share of `saved`, the smallest measured over all passes of 3x3 layers
  // with 128 and 256 channels at 30 and 50% density (2 cores AMD EPYC Zen 4, 2026-11-22).
  static constexpr double kEfficiency = 0.8;

  // Dense time over sparse time; NaN for cuSPARSE, and for single weights in layers of few channels, if not measured.
  // Interpolates the logarithms; above the highest measured density the speed-up is inversely proportional to density,
  // below the lowest it is constant. `saved`: dense over executed multiply-adds, for the estimate.
  double speedup(const CrossoverKey& key, double density, double saved) const;
  bool measured(const CrossoverKey& key) const { return points_.contains(key.to_string()); }
  bool measured(Execution path) const;  // for any layer
  void add(const CrossoverKey& key, double density, double speedup);
  // Estimates are for f32. Call this where dense kernels and blocks are `times` as fast but single weights are not.
  void expect_slow_weights(double times) { weights_loss_ = times; }
  // The density, between 0 and 1, at which the speed-up crosses 1; 1 if it never falls below 1.
  double crossover_density(const CrossoverKey& key) const;
  bool empty() const { return points_.empty(); }

  // A file in cache_folder(), whose name contains the device and the version of the kernels. `device` identifies what
  // speeds hold for (apps/console/program.h).
  static std::filesystem::path default_path(const std::string& device);
  // An empty table if the file does not exist or is not a table.
  static CrossoverTable load(const std::filesystem::path& path);
  void save(const std::filesystem::path& path, const std::string& device) const;
  // The text that load() and save() read and write. parse() does not throw: other text gives an empty table.
  static CrossoverTable parse(const std::string& text);
  std::string text(const std::string& device) const;

 private:
  static double interpolated(const SpeedupPoints& points, double density);

  std::map<std::string, SpeedupPoints> points_;
  double weights_loss_ = 1;
};

}  // namespace poise
