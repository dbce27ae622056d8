#include "engine/sparse/crossover.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "engine/io/cache_folder.h"
#include "engine/io/read_file.h"
#include "kernels/sparse/weights/lane_share.h"
#include "kernels/sparse/weights/weights_conv2d.h"

namespace poise {
namespace {

// Any change of the kernels makes old measurements worthless.
constexpr int kKernelVersion = 3;
// No layer becomes a million times faster or slower; such numbers could not be interpolated.
constexpr double kBeyondMeasure = 1e6;
constexpr const char* kCusparseSuffix = " cusparse";
constexpr const char* kWeightsSuffix = " weights";

const char* suffix_of(Execution path) {
  return path == Execution::cusparse ? kCusparseSuffix : path == Execution::weights ? kWeightsSuffix : "";
}

double full_share(const CrossoverKey& key) {
  return key.path == Execution::weights && key.geometry.n > 0 ? weights_conv2d_full_share(weights_form(key.geometry))
                                                              : 1;
}

std::string by(int64_t a, int64_t b) { return std::to_string(a) + "x" + std::to_string(b); }

}  // namespace

std::string CrossoverKey::to_string() const {
  const Conv2dGeometry& g = geometry;
  return std::string(name_of(pass)) + " conv " + by(g.kh, g.kw) + " " + std::to_string(g.c_in) + "->" +
         std::to_string(g.c_out) + " " + by(g.h, g.w) +
         (g.stride_h > 1 || g.stride_w > 1 ? " stride " + by(g.stride_h, g.stride_w) : "") +
         (g.upsample > 1 ? " upsample " + std::to_string(g.upsample) : "") + (g.pool > 1 ? " pooled" : "") + " cell " +
         poise::to_string(path == Execution::weights ? Cell{.out = outputs_of_entry(cell.out)} : cell) +
         suffix_of(path);
}

double CrossoverTable::speedup(const CrossoverKey& key, double density, double saved) const {
  const auto found = points_.find(key.to_string());
  if (found == points_.end()) {
    if (key.path == Execution::cusparse) return std::numeric_limits<double>::quiet_NaN();
    if (key.path == Execution::block) return saved * kEfficiency;
    const SpeedupPoints typical = typical_weights_speedups(key.geometry, key.pass, key.cell);
    if (typical.empty()) return std::numeric_limits<double>::quiet_NaN();
    return full_share(key) * interpolated(typical, density) / weights_loss_;
  }
  return full_share(key) * interpolated(found->second, density);
}

double CrossoverTable::interpolated(const SpeedupPoints& points, double density) {
  const auto above = std::lower_bound(points.begin(), points.end(), std::make_pair(density, 0.0));
  if (above == points.end()) return points.back().second * points.back().first / density;
  if (above->first == density || above == points.begin()) return above->second;  // below all: as fast as the lowest
  const auto below = std::prev(above);
  const double t = std::log(density / below->first) / std::log(above->first / below->first);
  return std::exp(std::log(below->second) * (1 - t) + std::log(above->second) * t);
}

bool CrossoverTable::measured(Execution path) const {
  for (const auto& [key, points] : points_) {
    const bool cusparse = key.ends_with(kCusparseSuffix), weights = key.ends_with(kWeightsSuffix);
    if (cusparse == (path == Execution::cusparse) && weights == (path == Execution::weights)) return true;
  }
  return false;
}

void CrossoverTable::add(const CrossoverKey& key, double density, double speedup) {
  speedup /= full_share(key);
  auto& points = points_[key.to_string()];
  const auto at = std::lower_bound(points.begin(), points.end(), std::make_pair(density, 0.0));
  if (at != points.end() && at->first == density)
    at->second = speedup;
  else
    points.insert(at, {density, speedup});
}

double CrossoverTable::crossover_density(const CrossoverKey& key) const {
  double low = 0, high = 1;
  if (speedup(key, high, 1) >= 1) return 1;
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    (speedup(key, middle, 1 / middle) >= 1 ? low : high) = middle;
  }
  return low;
}

std::filesystem::path CrossoverTable::default_path(const std::string& device) {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return {};
  std::string name = "crossover-" + device + "-kernels" + std::to_string(kKernelVersion) + ".json";
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return folder / name;
}

CrossoverTable CrossoverTable::load(const std::filesystem::path& path) {
  if (path.empty()) return {};
  const std::optional<std::string> text = read_text_if_exists(path.string(), ErrorKind::data);
  return text ? parse(*text) : CrossoverTable();
}

CrossoverTable CrossoverTable::parse(const std::string& text) {
  CrossoverTable table;
  const nlohmann::json file = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object() || !file.contains("layers") || !file["layers"].is_object()) return table;
  for (const auto& [key, points] : file["layers"].items()) {
    std::vector<std::pair<double, double>> read;
    for (const auto& point : points) {
      if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) return {};
      read.emplace_back(point[0].get<double>(), point[1].get<double>());
      const auto [density, speedup] = read.back();
      const bool measured = density >= 1 / kBeyondMeasure && speedup >= 1 / kBeyondMeasure && speedup <= kBeyondMeasure;
      if (!measured || density > 1) return {};
    }
    std::sort(read.begin(), read.end());
    if (!read.empty()) table.points_[key] = read;
  }
  return table;
}

std::string CrossoverTable::text(const std::string& device) const {
  nlohmann::json layers = nlohmann::json::object();
  for (const auto& [key, points] : points_) {
    for (const auto& [density, speedup] : points) layers[key].push_back({density, speedup});
  }
  const nlohmann::json file = {{"device", device}, {"kernels", kKernelVersion}, {"layers", layers}};
  return file.dump(1) + "\n";
}

void CrossoverTable::save(const std::filesystem::path& path, const std::string& device) const {
  std::filesystem::create_directories(path.parent_path());
  write_file_atomically(path.string(), text(device));
}

}  // namespace poise
