#include "apps/evaluation/feature_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/message.h"
#include "engine/io/npz.h"
#include "engine/metrics/linear_algebra.h"
#include "kernels/core/error.h"

namespace poise {

namespace {

// Says why sigma is not a covariance matrix (NaN, or a negative variance in some direction), or returns "". Tolerances
// allow for tools that compute or store float32. The one for eigenvalues is relative to the trace: rounding to float32
// moves an eigenvalue by up to 2^-24 of the Frobenius norm, which the trace bounds. The largest number does not bound
// it (for an outer product with 2048 features, the norm is up to 2048 times larger).
std::string problem_of_covariance(const std::vector<double>& sigma, int64_t dims) {
  const auto at = [&](int64_t i, int64_t j) { return sigma[static_cast<size_t>(i * dims + j)]; };
  constexpr double kRounding = 1e-5;
  constexpr double kEigenvalueRounding = 16.0 / (1 << 24);
  double largest = 0, trace = 0;
  for (const double value : sigma) {
    if (!std::isfinite(value)) return "has numbers that are not finite";
    largest = std::max(largest, std::abs(value));
  }
  for (int64_t i = 0; i < dims; ++i) {
    if (at(i, i) < -kRounding * largest) return fmt::format("has the negative variance {:g} at {}", at(i, i), i);
    trace += std::abs(at(i, i));
  }
  for (int64_t i = 0; i < dims; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      if (std::abs(at(i, j) - at(j, i)) > kRounding * largest) return "is not symmetric";
      const double most = std::sqrt(std::max(0.0, at(i, i)) * std::max(0.0, at(j, j)));
      if (std::abs(at(i, j)) > most + kRounding * largest) {
        return fmt::format("has {:g} at {}, {}, more than the variances allow", at(i, j), i, j);
      }
    }
  }
  // The trace is 0 if all images are identical; then there is nothing to factorise.
  if (trace > 0 && has_negative_eigenvalue(sigma, dims, kEigenvalueRounding * trace))
    return "has a negative eigenvalue";
  return "";
}

std::string size_text(const SetProtocol& p) { return fmt::format("{}x{}", p.width, p.height); }

}  // namespace

std::vector<JsonField> SetProtocol::fields(const std::string& prefix) const {
  std::vector<JsonField> all = {{prefix + "source", source}};
  if (!dataset.empty()) all.push_back({prefix + "dataset", dataset});
  all.push_back({prefix + "split", split});
  all.push_back({prefix + "images", images});
  if (height > 0) all.push_back({prefix + "image_size", size_text(*this)});
  if (!image_resize.empty()) all.push_back({prefix + "image_resize", image_resize});
  if (!data_crc.empty()) all.push_back({prefix + "data_crc", data_crc});
  if (weights.empty()) return all;
  all.push_back({prefix + "weights", weights});
  all.push_back({prefix + "batch_norm", batch_norm});
  all.push_back({prefix + "batch_norm_batch", kBatchNormBatch});
  all.push_back({prefix + "quantisation", quantisation});
  all.push_back({prefix + "seed", seed});
  return all;
}

void check_same_size(const SetProtocol& images, const SetProtocol& reference) {
  const bool known = images.height > 0 && reference.height > 0;
  if (!known || (images.height == reference.height && images.width == reference.width)) return;
  fail(ErrorKind::usage,
       fmt::format("{} has images of {} but the reference {} of {}: values of different sizes are not comparable; "
                   "give a reference of {}, or read both at one size with --image-size",
                   images.source, size_text(images), reference.source, size_text(reference), size_text(images)));
}

ImageInput input_of(const ImageSet& set, const std::string& split, int64_t count) {
  if (set.channels != 3) fail(ErrorKind::data, set.source + ": metrics need images with 3 channels");
  if (count == 0) count = set.count;
  if (count > set.count) {
    fail(ErrorKind::usage,
         fmt::format("{}: {} images were asked for but it has {}; ask for fewer", set.source, count, set.count));
  }
  const int64_t size = set.height * set.width * set.channels;
  return {.protocol = {.source = set.source,
                       .dataset = set.name,
                       .split = split,
                       .images = count,
                       .height = set.height,
                       .width = set.width,
                       .image_resize = set.resize,
                       .data_crc = fmt::format("{:08x}", set.crc)},
          .count = count,
          .height = set.height,
          .width = set.width,
          .read = [&set, count, size](int64_t first, int64_t n) {
            std::vector<uint8_t> pixels;
            pixels.reserve(static_cast<size_t>(n * size));
            for (int64_t i = first; i < first + n; ++i) {
              const uint8_t* image = set.pixels.data() + i * set.count / count * size;
              pixels.insert(pixels.end(), image, image + size);
            }
            return pixels;
          }};
}

FeatureCollector::FeatureCollector(FeatureNetwork& network, const ImageInput& input, const FeatureRequest& request)
    : network_(network), input_(input), request_(request), taps_(request.rows), set_{.protocol = input.protocol} {
  for (const FeatureTap tap : request.moments) moments_.try_emplace(tap, network.dims(tap));
  for (const auto& [tap, accumulator] : moments_) taps_.push_back(tap);
  std::sort(taps_.begin(), taps_.end());
  taps_.erase(std::unique(taps_.begin(), taps_.end()), taps_.end());
}

std::vector<FeatureRows> FeatureCollector::features(int64_t first, int64_t n) {
  return network_.features(taps_, input_.read(first, n), n, input_.height, input_.width);
}

void FeatureCollector::add(const std::vector<FeatureRows>& all) {
  for (const FeatureRows& rows : all) {
    if (const auto found = moments_.find(rows.tap); found != moments_.end()) found->second.add(rows.values);
    if (std::find(request_.rows.begin(), request_.rows.end(), rows.tap) == request_.rows.end()) continue;
    std::vector<float>& kept = set_.rows[rows.tap];
    kept.insert(kept.end(), rows.values.begin(), rows.values.end());
  }
}

FeatureSet FeatureCollector::take() {
  for (auto& [tap, accumulator] : moments_) set_.moments[tap] = accumulator.moments();
  return std::move(set_);
}

std::optional<FeatureSet> collect_features(FeatureNetwork& network, const ImageInput& input,
                                           const FeatureRequest& request, int64_t chunk, const GoOn& go_on) {
  require(chunk > 0 && chunk % kBatchNormBatch == 0, "chunks of whole batches");
  FeatureCollector collector(network, input, request);
  for (int64_t first = 0; first < input.count; first += chunk) {
    const int64_t n = std::min(chunk, input.count - first);
    collector.add(collector.features(first, n));
    if (!go_on(first + n)) return std::nullopt;
  }
  return collector.take();
}

void write_statistics(const std::string& path, const FeatureStatistics& s) {
  nlohmann::ordered_json protocol = {{"schema", 1},
                                     {"network", s.network},
                                     {"network_hash", s.hash},
                                     {"resize", s.resize},
                                     {"source", s.protocol.source},
                                     {"dataset", s.protocol.dataset},
                                     {"split", s.protocol.split},
                                     {"images", s.protocol.images},
                                     {"height", s.protocol.height},
                                     {"width", s.protocol.width},
                                     {"image_resize", s.protocol.image_resize},
                                     {"data_crc", s.protocol.data_crc}};
  if (!s.protocol.weights.empty()) {
    protocol["weights"] = s.protocol.weights;
    protocol["batch_norm"] = s.protocol.batch_norm;
    protocol["quantisation"] = s.protocol.quantisation;
    protocol["seed"] = s.protocol.seed;
  }
  const int64_t dims = s.moments.dims;
  const std::vector<NpyArray> arrays = {
      {.name = "mu", .shape = {dims}, .values = s.moments.mean},
      {.name = "sigma", .shape = {dims, dims}, .values = s.moments.covariance},
      {.name = "protocol", .text = protocol.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)}};
  write_npz(path, arrays);
}

FeatureStatistics read_statistics(const std::string& path) {
  const NpzFile file = NpzFile::read(path);
  NpyArray mu = file.array("mu"), sigma = file.array("sigma");
  const auto dims = static_cast<int64_t>(mu.values.size());
  if (mu.shape != std::vector<int64_t>{dims} || dims == 0 || sigma.shape != std::vector<int64_t>{dims, dims}) {
    fail(ErrorKind::data, fmt::format("{}: expected mu [d] and sigma [d,d] but got [{}] and [{}]; make it with "
                                      "evaluate_gan make-stats",
                                      path, fmt::join(mu.shape, ","), fmt::join(sigma.shape, ",")));
  }
  if (!std::all_of(mu.values.begin(), mu.values.end(), [](double x) { return std::isfinite(x); })) {
    fail(ErrorKind::data, path + ": mu has numbers that are not finite; make it again");
  }
  if (const std::string problem = problem_of_covariance(sigma.values, dims); !problem.empty()) {
    fail(ErrorKind::data, fmt::format("{}: sigma {}, so it is no covariance; make it again", path, problem));
  }
  FeatureStatistics s{.moments = {.dims = dims, .mean = std::move(mu.values), .covariance = std::move(sigma.values)},
                      .protocol = {.source = path, .split = "unknown"},
                      .path = path};
  if (!file.has("protocol")) return s;
  const auto protocol = nlohmann::json::parse(file.array("protocol").text, nullptr, /*allow_exceptions=*/false);
  if (!protocol.is_object()) fail(ErrorKind::data, path + ": its protocol is damaged; make it again");
  const auto text = [&](const char* key, std::string& to) {
    if (const auto at = protocol.find(key); at != protocol.end() && at->is_string()) to = at->get<std::string>();
  };
  text("network", s.network);
  text("network_hash", s.hash);
  text("resize", s.resize);
  text("source", s.protocol.source);
  text("dataset", s.protocol.dataset);
  text("split", s.protocol.split);
  text("image_resize", s.protocol.image_resize);
  text("data_crc", s.protocol.data_crc);
  text("weights", s.protocol.weights);
  text("batch_norm", s.protocol.batch_norm);
  text("quantisation", s.protocol.quantisation);
  const auto integer = [&](const char* key) {
    const auto at = protocol.find(key);
    return at != protocol.end() && at->is_number_integer() ? std::max<int64_t>(0, at->get<int64_t>()) : 0;
  };
  s.moments.count = s.protocol.images = integer("images");
  s.protocol.seed = integer("seed");
  s.protocol.height = integer("height");
  s.protocol.width = integer("width");
  return s;
}

}  // namespace poise
