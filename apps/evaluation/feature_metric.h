// The metrics by name, and their values with everything that must be reported with them.
//
//   frechet-random, frechet-random-64    Fréchet distance between random features (random_network.h)
//   fid, fid-768, fid-192, fid-64        Fréchet Inception distance; fid means 2048 dimensions
//   is                                   Inception Score
//   kid                                  Kernel Inception distance
//   precision-recall, -768               precision and recall with 2048 or 768 Inception features; the value is their
//                                        harmonic mean, and the record has both
//   precision-recall-random              the same with random features
//
// A value's label says which network it comes from: "FID" only with the network of 2015-12-05, "FID-iv3q" otherwise.
// Precision and recall always name the network, as in "precision-recall-iv3q", because the paper uses VGG-16.
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "apps/evaluation/feature_set.h"

namespace poise {

constexpr int64_t kMetricSchema = 1;  // version of a metric's record, a line of metrics.jsonl

struct FeatureMetric {
  enum class Kind : uint8_t { frechet, score, kernel, neighbours };
  std::string name;
  Kind kind = Kind::frechet;
  FeatureTap tap = FeatureTap::pool2048;
  bool random = false;  // uses the random network instead of Inception

  bool larger_is_better() const { return kind == Kind::score || kind == Kind::neighbours; }
  bool needs_reference() const { return kind != Kind::score; }
};

const std::vector<FeatureMetric>& feature_metrics();
const FeatureMetric* find_feature_metric(const std::string& name);
std::string label_of(const FeatureMetric& metric, const FeatureNetwork& network);  // "FID-iv3q"
// Error(usage) unless the network has the metric's features.
void check_metric(const FeatureMetric& metric, const FeatureNetwork& network);

// The features that the metrics need, of the reference or of the images that they measure.
FeatureRequest request_for(const std::vector<FeatureMetric>& metrics, bool reference);

// Statistics as a reference for these metrics. Error(data) if they come from another network or do not fit the metrics'
// taps, Error(usage) if a metric needs more than statistics.
FeatureSet reference_of(const FeatureStatistics& statistics, const std::vector<FeatureMetric>& metrics,
                        const FeatureNetwork& network, std::vector<std::string>& warnings);

struct MetricOptions {
  int64_t splits = 10;                   // for the Inception Score
  std::optional<uint64_t> shuffle_seed;  // for the Inception Score
  uint64_t subset_seed = 0;              // for KID
};

struct MetricResult {
  std::string label;
  double value = 0;
  std::optional<double> deviation;
  std::string parts;  // the value's components, if it has any: "precision 0.71, recall 0.52"
  std::vector<std::string> warnings;
  std::vector<JsonField> record;  // all of the above and the protocol, as one JSON object

  std::string text() const;  // "FID-iv3q 5.46019", "IS-iv3q 9.68148 +- 0.33614", or with parts in brackets
};

// `reference` may be null for metrics that need none.
MetricResult evaluate_metric(const FeatureMetric& metric, const FeatureNetwork& network, const FeatureSet& set,
                             const FeatureSet* reference, const MetricOptions& options);

}  // namespace poise
