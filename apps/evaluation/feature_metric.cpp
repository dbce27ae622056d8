#include "apps/evaluation/feature_metric.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/metrics/frechet.h"
#include "engine/metrics/inception_score.h"
#include "engine/metrics/kernel_distance.h"
#include "engine/metrics/precision_recall.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr const char* kCanonical = "inception-2015-12-05";

bool has_tap(const FeatureNetwork& network, FeatureTap tap) {
  const std::vector<FeatureTap> taps = network.taps();
  return std::find(taps.begin(), taps.end(), tap) != taps.end();
}

bool is_random(const FeatureNetwork& network) { return network.name() == "random-features"; }

void add_frechet(const FeatureMetric& metric, const FeatureSet& set, const FeatureSet& reference,
                 MetricResult& result) {
  const FrechetDistance d = frechet_distance(set.moments.at(metric.tap), reference.moments.at(metric.tap));
  result.value = d.value;
  result.warnings = d.warnings;
  for (const auto& [key, value] : JsonNumbers{{"mean_term", d.mean_term},
                                              {"trace", d.trace_a},
                                              {"reference_trace", d.trace_b},
                                              {"trace_root", d.trace_root}}) {
    result.record.push_back({key, value});
  }
}

void add_score(const FeatureNetwork& network, const FeatureSet& set, const MetricOptions& options,
               MetricResult& result) {
  const InceptionScore score = inception_score(set.rows.at(FeatureTap::logits), network.dims(FeatureTap::logits),
                                               {.splits = options.splits, .shuffle_seed = options.shuffle_seed});
  result.value = score.mean;
  result.deviation = score.deviation;
  result.warnings = score.warnings;
  result.record.push_back({"splits", score.splits});
  result.record.push_back({"shuffled", options.shuffle_seed.has_value()});
  if (options.shuffle_seed) result.record.push_back({"shuffle_seed", static_cast<int64_t>(*options.shuffle_seed)});
}

void add_kernel(const FeatureMetric& metric, const FeatureNetwork& network, const FeatureSet& set,
                const FeatureSet& reference, const MetricOptions& options, MetricResult& result) {
  const KernelDistance d = kernel_distance(set.rows.at(metric.tap), reference.rows.at(metric.tap),
                                           network.dims(metric.tap), {.seed = options.subset_seed});
  result.value = d.mean;
  result.deviation = d.deviation;
  result.warnings = d.warnings;
  result.record.push_back({"subsets", d.subsets});
  result.record.push_back({"subset_size", d.subset_size});
  result.record.push_back({"subset_seed", static_cast<int64_t>(options.subset_seed)});
}

void add_neighbours(const FeatureMetric& metric, const FeatureNetwork& network, const FeatureSet& set,
                    const FeatureSet& reference, MetricResult& result) {
  const PrecisionRecall p =
      precision_recall(set.rows.at(metric.tap), reference.rows.at(metric.tap), network.dims(metric.tap), {});
  result.value = p.harmonic_mean();
  result.parts = fmt::format("precision {:.6g}, recall {:.6g}", p.precision, p.recall);
  result.warnings = p.warnings;
  result.record.push_back({"precision", p.precision});
  result.record.push_back({"recall", p.recall});
  result.record.push_back({"neighbours", p.neighbours});
}

const char* name_of(FeatureMetric::Kind kind) {
  switch (kind) {
    case FeatureMetric::Kind::frechet:
      return "FID";
    case FeatureMetric::Kind::score:
      return "IS";
    case FeatureMetric::Kind::kernel:
      return "KID";
    case FeatureMetric::Kind::neighbours:
      return "precision-recall";
  }
  return "?";
}

}  // namespace

const std::vector<FeatureMetric>& feature_metrics() {
  using Kind = FeatureMetric::Kind;
  static const std::vector<FeatureMetric> all = {
      {.name = "frechet-random", .tap = FeatureTap::pool192, .random = true},
      {.name = "frechet-random-64", .tap = FeatureTap::pool64, .random = true},
      {.name = "fid", .tap = FeatureTap::pool2048},
      {.name = "fid-768", .tap = FeatureTap::pool768},
      {.name = "fid-192", .tap = FeatureTap::pool192},
      {.name = "fid-64", .tap = FeatureTap::pool64},
      {.name = "is", .kind = Kind::score, .tap = FeatureTap::logits},
      {.name = "kid", .kind = Kind::kernel, .tap = FeatureTap::pool2048},
      {.name = "precision-recall", .kind = Kind::neighbours, .tap = FeatureTap::pool2048},
      {.name = "precision-recall-768", .kind = Kind::neighbours, .tap = FeatureTap::pool768},
      {.name = "precision-recall-random", .kind = Kind::neighbours, .tap = FeatureTap::pool192, .random = true},
  };
  return all;
}

const FeatureMetric* find_feature_metric(const std::string& name) {
  for (const FeatureMetric& metric : feature_metrics())
    if (metric.name == name) return &metric;
  return nullptr;
}

std::string label_of(const FeatureMetric& metric, const FeatureNetwork& network) {
  if (metric.random) return metric.name;
  std::string label = name_of(metric.kind);
  if (metric.kind == FeatureMetric::Kind::neighbours || network.name() != kCanonical) label += "-" + network.name();
  const bool default_tap = metric.tap == FeatureTap::pool2048 || metric.tap == FeatureTap::logits;
  return default_tap ? label : fmt::format("{}-{}", label, network.dims(metric.tap));
}

void check_metric(const FeatureMetric& metric, const FeatureNetwork& network) {
  if (metric.random != is_random(network)) {
    fail(ErrorKind::usage,
         fmt::format("{}: expected {} but got {}; {}", metric.name,
                     metric.random ? "the network of random features" : "Inception", network.name(),
                     metric.random ? "leave out --inception" : "give its weights with --inception FILE"));
  }
  if (!has_tap(network, metric.tap)) {
    fail(ErrorKind::usage,
         fmt::format("{}: {} has no such features: its weights end before them; use {}-768 or complete weights",
                     metric.name, network.name(),
                     metric.kind == FeatureMetric::Kind::neighbours ? "precision-recall" : "fid"));
  }
}

FeatureRequest request_for(const std::vector<FeatureMetric>& metrics, bool reference) {
  FeatureRequest request;
  for (const FeatureMetric& metric : metrics) {
    if (reference && !metric.needs_reference()) continue;
    (metric.kind == FeatureMetric::Kind::frechet ? request.moments : request.rows).push_back(metric.tap);
  }
  return request;
}

FeatureSet reference_of(const FeatureStatistics& s, const std::vector<FeatureMetric>& metrics,
                        const FeatureNetwork& network, std::vector<std::string>& warnings) {
  FeatureSet set{.protocol = s.protocol};
  for (const FeatureMetric& metric : metrics) {
    if (!metric.needs_reference()) continue;
    if (metric.kind != FeatureMetric::Kind::frechet) {
      fail(ErrorKind::usage,
           metric.name + " compares images, which statistics do not have; give them with --reference");
    }
    if (network.dims(metric.tap) != s.moments.dims) {
      fail(ErrorKind::data, fmt::format("{}: expected statistics of {} features for {}, found {}; make them with "
                                        "evaluate_gan make-stats --metrics {}",
                                        s.path, network.dims(metric.tap), metric.name, s.moments.dims, metric.name));
    }
    set.moments[metric.tap] = s.moments;
  }
  if (s.protocol.height == 0 && !s.hash.empty()) {
    warnings.push_back(s.path + " does not state the size of its images; create it again to be sure");
  }
  if (s.hash.empty()) {
    warnings.push_back(s.path +
                       " does not say of which network, images and size it is; the number is comparable "
                       "with nothing unless you know");
  } else if (s.hash != network.hash() || s.resize != network.resize()) {
    fail(ErrorKind::data,
         fmt::format("{}: expected statistics of {} ({}, {}), found {} ({}, {}); numbers of different "
                     "networks do not mix",
                     s.path, network.name(), network.hash(), network.resize(), s.network, s.hash, s.resize));
  }
  return set;
}

std::string MetricResult::text() const {
  std::string text = fmt::format("{} {:.6g}", label, value);
  if (deviation) text += fmt::format(" +- {:.4g}", *deviation);
  return parts.empty() ? text : fmt::format("{} ({})", text, parts);
}

MetricResult evaluate_metric(const FeatureMetric& metric, const FeatureNetwork& network, const FeatureSet& set,
                             const FeatureSet* reference, const MetricOptions& options) {
  require(reference || !metric.needs_reference(), "a distance has two sides");
  if (metric.needs_reference()) check_same_size(set.protocol, reference->protocol);
  MetricResult result{.label = label_of(metric, network)};
  result.record = {{"schema", kMetricSchema}, {"metric", result.label}, {"value", 0.0}};
  using Kind = FeatureMetric::Kind;
  if (metric.kind == Kind::frechet) add_frechet(metric, set, *reference, result);
  if (metric.kind == Kind::score) add_score(network, set, options, result);
  if (metric.kind == Kind::kernel) add_kernel(metric, network, set, *reference, options, result);
  if (metric.kind == Kind::neighbours) add_neighbours(metric, network, set, *reference, result);
  result.record[2].value = result.value;
  if (result.deviation) result.record.insert(result.record.begin() + 3, {"deviation", *result.deviation});

  const auto append = [&result](const std::vector<JsonField>& fields) {
    result.record.insert(result.record.end(), fields.begin(), fields.end());
  };
  append({{"network", network.name()},
          {"network_hash", network.hash()},
          {"features",
           metric.tap == FeatureTap::logits ? std::string("logits") : fmt::format("pool{}", network.dims(metric.tap))},
          {"resize", network.resize()}});
  append(set.protocol.fields(""));
  if (metric.needs_reference()) append(reference->protocol.fields("reference_"));
  if (!result.warnings.empty()) append({{"warnings", fmt::format("{}", fmt::join(result.warnings, "; "))}});
  return result;
}

}  // namespace poise
