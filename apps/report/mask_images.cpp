#include "apps/report/mask_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/io/checkpoint.h"
#include "engine/sparse/cell.h"

namespace poise {
namespace {

// A mask as a matrix of cells [rows, taps, columns]: one byte each, 1 for alive.
struct LayerMask {
  int64_t rows = 0, taps = 1, columns = 0;
  std::span<const std::byte> alive;

  bool at(int64_t row, int64_t tap, int64_t column) const {
    return alive[static_cast<size_t>((row * taps + tap) * columns + column)] != std::byte{0};
  }
};

std::map<std::string, LayerMask> masks_of(const SafetensorsFile& file, const std::string& network) {
  std::map<std::string, LayerMask> masks;
  for (const std::string& name : file.names()) {
    const size_t mark = name.find(".mask.");
    if (mark != 1 || (!network.empty() && name.substr(0, 1) != network) || !name.ends_with(".weight")) continue;
    const TensorView& view = file.at(name);
    if (view.dtype != DType::u8 || view.shape.size() < 2) continue;
    LayerMask mask{.rows = view.shape.front(), .columns = view.shape.back(), .alive = view.bytes};
    for (size_t i = 1; i + 1 < view.shape.size(); ++i) mask.taps *= view.shape[i];
    const std::string layer = name.substr(mark + 6, name.size() - mark - 6 - 7);
    if (!mask.alive.empty()) masks.emplace(name.substr(0, 2) + layer, mask);
  }
  return masks;
}

// Draws the pixels of a mask. `before` may be null; it is ignored if its shape differs.
void draw(const LayerMask& mask, const LayerMask* before, uint8_t* pixels) {
  constexpr int64_t kSide = MaskImages::kSide;
  if (before && (before->rows != mask.rows || before->taps != mask.taps || before->columns != mask.columns))
    before = nullptr;
  for (int64_t y = 0; y < kSide; ++y) {
    const int64_t top = y * mask.rows / kSide, bottom = std::max(top + 1, (y + 1) * mask.rows / kSide);
    for (int64_t x = 0; x < kSide; ++x, pixels += 3) {
      const int64_t left = x * mask.columns / kSide, right = std::max(left + 1, (x + 1) * mask.columns / kSide);
      int64_t kept = 0, grown = 0, dropped = 0;
      for (int64_t row = top; row < bottom; ++row) {
        for (int64_t tap = 0; tap < mask.taps; ++tap) {
          for (int64_t column = left; column < right; ++column) {
            const bool now = mask.at(row, tap, column), then = before ? before->at(row, tap, column) : now;
            kept += now && then;
            grown += now && !then;
            dropped += !now && then;
          }
        }
      }
      const auto of = [cells = (bottom - top) * mask.taps * (right - left)](int64_t count) {
        return static_cast<uint8_t>(255 * count / cells);
      };
      pixels[0] = of(kept + dropped);
      pixels[1] = of(kept + grown);
      pixels[2] = of(kept);
    }
  }
}

double density_of(const LayerMask& mask) {
  const auto alive = std::count_if(mask.alive.begin(), mask.alive.end(), [](std::byte b) { return b != std::byte{0}; });
  return static_cast<double>(alive) / static_cast<double>(mask.alive.size());
}

}  // namespace

MaskImages mask_images(const std::string& run, const std::string& network) {
  const CheckpointStore store(run + "/checkpoints", 1);
  std::vector<SafetensorsFile> files;
  MaskImages images;
  for (const int64_t step : store.list()) {
    files.push_back(CheckpointStore::load(store.path_of(step)));
    images.iterations.push_back(step);
  }
  if (files.empty()) fail(ErrorKind::checkpoint, run + ": has no checkpoint; give a run directory that train_gan made");
  std::vector<std::map<std::string, LayerMask>> masks;
  for (const SafetensorsFile& file : files) masks.push_back(masks_of(file, network));
  for (const auto& [layer, mask] : masks.back()) {
    const bool always = std::all_of(masks.begin(), masks.end(), [&](const auto& each) { return each.count(layer); });
    if (always) images.layers.push_back(layer);
  }
  if (images.layers.empty()) {
    fail(ErrorKind::checkpoint, fmt::format("{}: its checkpoints have no masks{}; train with a sparse method", run,
                                            network.empty() ? "" : " of " + network));
  }
  constexpr size_t kBytes = MaskImages::kSide * MaskImages::kSide * 3;
  images.pixels.resize(images.layers.size() * files.size() * kBytes);
  uint8_t* pixels = images.pixels.data();
  for (const std::string& layer : images.layers) {
    for (size_t i = 0; i < files.size(); ++i, pixels += kBytes) {
      const LayerMask& mask = masks[i].at(layer);
      draw(mask, i == 0 ? nullptr : &masks[i - 1].at(layer), pixels);
      images.densities.push_back(density_of(mask));
    }
  }
  return images;
}

}  // namespace poise
