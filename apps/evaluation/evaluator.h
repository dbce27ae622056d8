// Measurements during training: one metric of the averaged weights, against the training images or stored statistics.
// swd (apps/metric.h) needs no network; the others are those of evaluate_gan.
#pragma once
#include <memory>
#include <optional>

#include "apps/evaluation/feature_metric.h"
#include "apps/metric.h"
#include "apps/options.h"
#include "apps/trainer.h"

namespace poise {

struct EvaluationResult {
  double value = 0;
  std::vector<JsonField> record;  // of metrics.jsonl, without the iteration; the value stands under the label
  std::vector<std::string> warnings;
};

class Evaluator {
 public:
  // Finds the network and its weights; Error(usage, environment or checkpoint) if they are not there. `images`: the
  // training set.
  Evaluator(const Settings& settings, Device device, const ImageSet& images);

  const std::string& label() const { return label_; }  // "swd", "FID-iv3q"
  bool better(double a, double b) const { return larger_is_better_ ? a > b : a < b; }
  // Until the first evaluation with features has read the training images, or without them from the start.
  bool needs_images() const { return needs_images_; }

  // `say` receives progress now and then; stop() is asked between batches, and if it says so there is no result. The
  // training images' statistics are computed once and kept in the file `cache`. Throws whatever is wrong: the caller's
  // training goes on all the same.
  std::optional<EvaluationResult> evaluate(Trainer& trainer, const ImageSet& images, const std::string& cache,
                                           const std::function<void(const std::string&)>& say,
                                           const std::function<bool()>& stop);

 private:
  EvaluationResult evaluate_swd(Trainer& trainer) const;
  std::optional<FeatureSet> reference(const ImageSet& images, const std::string& cache, const GoOn& go_on,
                                      std::vector<std::string>& warnings) const;

  const Settings& settings_;
  Device device_;
  std::string label_;
  bool larger_is_better_ = false, needs_images_ = false;
  std::optional<SlicedWasserstein> swd_;
  std::optional<FeatureMetric> metric_;
  std::unique_ptr<FeatureNetwork> network_;
  std::optional<FeatureSet> reference_;
};

}  // namespace poise
