// Pictures of a run's masks over time, from its remaining checkpoints: a row for each masked layer, a column for each
// checkpoint. In a picture, rows are output channels and columns input channels, over all taps of the kernel. Brighter
// pixels have more alive weights. Green: grown since the previous checkpoint; red: dropped.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poise {

struct MaskImages {
  static constexpr int64_t kSide = 96;  // pixels
  std::vector<int64_t> iterations;      // of the columns
  std::vector<std::string> layers;      // of the rows: "G.block2.conv1"
  std::vector<double> densities;        // [layers, iterations]
  std::vector<uint8_t> pixels;          // [layers, iterations, kSide, kSide, 3]
};

// `network`: "G", "D" or "" for both. Error(checkpoint) if the run has no checkpoint or none with masks.
MaskImages mask_images(const std::string& run, const std::string& network);

}  // namespace poise
