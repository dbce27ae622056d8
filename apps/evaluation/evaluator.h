// Measurements during training: one metric of the averaged weights, against the training images or stored statistics.
// swd (apps/evaluation/swd.h) needs no network; the others are those of evaluate_gan.
#pragma once
#include <memory>
#include <optional>

#include "apps/evaluation/feature_metric.h"
#include "apps/evaluation/swd.h"
#include "apps/training/trainer.h"

namespace poise {

// Every field has the name of its option.
struct EvaluationOptions {
  int64_t eval_every = 0;  // iterations; 0: never
  std::string eval_metric = "swd";
  std::string eval_reference = "train";  // or a file of statistics (.npz)
  std::string inception = "auto";        // weights; auto: where find_inception looks
  int64_t eval_images = 5000;            // generated ones
};

struct EvaluationResult {
  double value = 0;
  std::vector<JsonField> record;  // of metrics.jsonl, without the iteration; the value stands under the label
  std::vector<std::string> warnings;

  // What of the record the value depends on, as text: two values compare if it is the same.
  std::string protocol() const;
};

class Evaluator {
 public:
  // Finds the network and its weights, and reads the statistics of a reference that is not the training set; Error if
  // they are not there or do not fit. `images`: the training set, which `data` says the name of. `ranks`: those that
  // evaluate together, or null.
  Evaluator(const EvaluationOptions& options, const DataOptions& data, Device device, const ImageSet& images,
            Ranks* ranks);

  const std::string& label() const { return label_; }  // "swd", "FID-iv3q"
  bool better(double a, double b) const { return larger_is_better_ ? a > b : a < b; }
  // Until the first evaluation with features has read the training images, or without them from the start.
  bool needs_images() const { return needs_images_; }

  // `say` receives progress now and then; stop() is asked between batches, and if it says so there is no result. The
  // training images' statistics are computed once and kept in the file `cache`. Throws whatever is wrong: the caller's
  // training goes on all the same. All ranks call it, the first has the result; swd it makes alone.
  std::optional<EvaluationResult> evaluate(Trainer& trainer, const ImageSet& images, const std::string& cache,
                                           const std::function<void(const std::string&)>& say,
                                           const std::function<bool()>& stop);

 private:
  EvaluationResult evaluate_swd(Trainer& trainer) const;
  std::optional<FeatureSet> reference(const ImageSet& images, const std::string& cache, const GoOn& go_on,
                                      std::vector<std::string>& warnings) const;
  std::optional<FeatureStatistics> cached(const std::string& cache, const SetProtocol& wanted,
                                          std::vector<std::string>& warnings) const;

  const EvaluationOptions options_;
  const DataOptions data_;
  Device device_;
  Ranks* const ranks_;
  std::string label_;
  bool larger_is_better_ = false, needs_images_ = false;
  std::optional<SlicedWasserstein> swd_;
  std::vector<JsonField> swd_reference_;
  std::optional<FeatureMetric> metric_;
  std::unique_ptr<FeatureNetwork> network_;
  std::optional<FeatureSet> reference_;          // on the first rank with its features
  std::vector<std::string> reference_warnings_;  // for the first evaluation
};

}  // namespace poise
