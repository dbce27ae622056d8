// The metrics by name, and their numbers with everything that must be said beside them.
//
//   frechet-random, frechet-random-64    Fréchet distance of random features (random_network.h)
//   fid, fid-768, fid-192, fid-64        Fréchet Inception distance; fid means 2048 dimensions
//   is                                   Inception Score
//   kid                                  Kernel Inception distance
//   precision-recall, -768               precision and recall of 2048 or 768 features of Inception; the value is their
//                                        harmonic mean, and the record has both
//   precision-recall-random              the same of random features
//
// A number's label says which network it is of: "FID" only with the network of 2015-12-05, else "FID-iv3q". Precision
// and recall always name it, as in "precision-recall-iv3q": the paper's are of VGG-16.
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "apps/evaluation/feature_set.h"

namespace poise {

constexpr int64_t kMetricSchema = 1;  // of a metric's record, a line of metrics.jsonl

struct FeatureMetric {
  enum class Kind : uint8_t { frechet, score, kernel, neighbours };
  std::string name;
  Kind kind = Kind::frechet;
  FeatureTap tap = FeatureTap::pool2048;
  bool random = false;  // of the random network; else of Inception

  bool larger_is_better() const { return kind == Kind::score || kind == Kind::neighbours; }
  bool needs_reference() const { return kind != Kind::score; }
};

const std::vector<FeatureMetric>& feature_metrics();
const FeatureMetric* find_feature_metric(const std::string& name);
std::string label_of(const FeatureMetric& metric, const FeatureNetwork& network);  // "FID-iv3q"
// Error(usage) unless the network has the metric's features.
void check_metric(const FeatureMetric& metric, const FeatureNetwork& network);

// What images and reference must be asked for.
FeatureRequest request_for(const std::vector<FeatureMetric>& metrics, bool reference);

// Statistics as a reference for these metrics. Error(data) if they are of another network or of no tap of this one,
// Error(usage) if a metric needs more than statistics.
FeatureSet reference_of(const FeatureStatistics& statistics, const std::vector<FeatureMetric>& metrics,
                        const FeatureNetwork& network, std::vector<std::string>& warnings);

struct MetricOptions {
  int64_t splits = 10;                   // of the Inception Score
  std::optional<uint64_t> shuffle_seed;  // likewise
  uint64_t subset_seed = 0;              // of KID
};

struct MetricResult {
  std::string label;
  double value = 0;
  std::optional<double> deviation;
  std::string parts;  // of which the value is made, if it is: "precision 0.71, recall 0.52"
  std::vector<std::string> warnings;
  std::vector<JsonField> record;  // all of the above with the protocol: one JSON object

  std::string text() const;  // "FID-iv3q 5.46019", "IS-iv3q 9.68148 +- 0.33614", or with parts in brackets
};

// `reference` may be null for metrics that need none.
MetricResult evaluate_metric(const FeatureMetric& metric, const FeatureNetwork& network, const FeatureSet& set,
                             const FeatureSet* reference, const MetricOptions& options);

}  // namespace poise
