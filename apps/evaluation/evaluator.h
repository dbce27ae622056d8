// Evaluation during training: one metric of the averaged weights, against the training images or stored statistics. swd
// (apps/evaluation/swd.h) needs no network; the other metrics are those of evaluate_gan.
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
  std::string inception = "auto";        // weights; auto: see find_inception_weights
  int64_t eval_images = 5000;            // number of generated images
};

struct EvaluationResult {
  double value = 0;
  std::vector<JsonField> record;  // for metrics.jsonl, without the iteration; the label is the value's key
  std::vector<std::string> warnings;

  // The part of the record that the value depends on, as text. Values are comparable if theirs are equal.
  std::string protocol() const;
};

class Evaluator {
 public:
  // Finds the network and its weights, and reads the statistics of a reference other than the training set; Error if
  // they are missing or do not fit. `images`: the training set, which `data` names. `ranks`: the ranks that evaluate
  // together, or null.
  Evaluator(const EvaluationOptions& options, const DataOptions& data, Device device, const ImageSet& images,
            Ranks* ranks);

  const std::string& label() const { return label_; }  // "swd", "FID-iv3q"
  bool better(double a, double b) const { return larger_is_better_ ? a > b : a < b; }
  // False once no evaluation reads the training images any more: after the first one, or from the start if none does.
  bool needs_images() const { return needs_images_; }

  // `say` receives progress at intervals. stop() is called between chunks; there is no result if it returns true. The
  // statistics of the training images are computed once and kept in the file `cache`. Any failure is thrown; the caller
  // can continue training. All ranks call it, and the first returns the result; it computes swd alone.
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
  std::optional<FeatureSet> reference_;          // has its features on the first rank only
  std::vector<std::string> reference_warnings_;  // for the first evaluation
};

}  // namespace poise
