#include "apps/evaluation/evaluator.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "apps/evaluation/divided_features.h"
#include "apps/evaluation/generated_input.h"
#include "apps/evaluation/image_progress.h"
#include "apps/evaluation/networks.h"
#include "data/registry.h"
#include "engine/io/system_file.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

constexpr double kSecondsBetweenLines = 30;

}  // namespace

std::string EvaluationResult::protocol() const {
  const bool has_crc =
      std::any_of(record.begin(), record.end(), [](const JsonField& f) { return f.key == "reference_data_crc"; });
  std::vector<JsonField> of_protocol;
  for (const JsonField& field : record) {
    const bool measured = std::holds_alternative<double>(field.value);
    const bool moved = field.key == "reference_source" && has_crc;  // the same images from another folder
    if (measured || moved || field.key == "iteration" || field.key == "source" || field.key == "warnings") continue;
    of_protocol.push_back(field);
  }
  return json_line(of_protocol);
}

Evaluator::Evaluator(const EvaluationOptions& options, const DataOptions& data, Device device, const ImageSet& images,
                     Ranks* ranks)
    : options_(options), data_(data), device_(device), ranks_(ranks) {
  if (options.eval_metric == "swd") {
    label_ = "swd";
    if (ranks && !ranks->is_first()) return;
    swd_.emplace(images.pixels, images.count, images.height * images.width * images.channels);
    swd_reference_ = input_of(images, resolved_split(data.dataset, data.split), 0).protocol.fields("reference_");
    return;
  }
  metric_ = *find_feature_metric(options.eval_metric);
  network_ = make_feature_network({*metric_}, options.inception, device);
  label_ = label_of(*metric_, *network_);
  larger_is_better_ = metric_->larger_is_better();
  needs_images_ = metric_->needs_reference() && options.eval_reference == "train";
  if (!metric_->needs_reference() || needs_images_) return;
  if (!is_regular_file(options.eval_reference)) {
    fail(ErrorKind::usage, "eval_reference: expected 'train' or statistics (.npz) but there is no file " +
                               options.eval_reference + "; make it with evaluate_gan make-stats");
  }
  reference_ = reference_of(read_statistics(options.eval_reference), {*metric_}, *network_, reference_warnings_);
  check_same_size({.source = "the run", .height = images.height, .width = images.width}, reference_->protocol);
}

EvaluationResult Evaluator::evaluate_swd(Trainer& trainer) const {
  std::vector<uint64_t> seeds(static_cast<size_t>(swd_->images()));
  std::iota(seeds.begin(), seeds.end(), uint64_t{0});
  const double value = swd_->distance(trainer.sample(latents_of_seeds(seeds, trainer.latent_size()),
                                                     cycling_labels(swd_->images(), trainer.classes()), Weights::ema,
                                                     Mode::evaluate_batch, std::min(swd_->images(), kPictureBatch)));
  EvaluationResult result{.value = value,
                          .record = {{"schema", kMetricSchema},
                                     {"metric", label_},
                                     {label_, value},
                                     {"images", swd_->images()},
                                     {"projections", SlicedWasserstein::kProjections},
                                     {"weights", std::string("ema")},
                                     {"batch_norm", std::string("batch")},
                                     {"batch_norm_batch", std::min(swd_->images(), kPictureBatch)},
                                     {"quantisation", std::string("round")},
                                     {"seed", int64_t{0}}}};
  result.record.insert(result.record.end(), swd_reference_.begin(), swd_reference_.end());
  return result;
}

// The statistics that an earlier process of this run stored, if they are for the same network and images. A truncated
// file, or one for other images, is computed again.
std::optional<FeatureStatistics> Evaluator::cached(const std::string& cache, const SetProtocol& wanted,
                                                   std::vector<std::string>& warnings) const {
  if (!is_regular_file(cache)) return std::nullopt;
  try {
    FeatureStatistics s = read_statistics(cache);
    const bool same = s.hash == network_->hash() && s.resize == network_->resize() &&
                      s.moments.dims == network_->dims(metric_->tap) && s.protocol.data_crc == wanted.data_crc &&
                      s.protocol.images == wanted.images && s.protocol.height == wanted.height &&
                      s.protocol.width == wanted.width && s.protocol.image_resize == wanted.image_resize;
    if (same) return s;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    warnings.push_back(std::string(error.what()) + "; it is computed again");
  }
  return std::nullopt;
}

std::optional<FeatureSet> Evaluator::reference(const ImageSet& images, const std::string& cache, const GoOn& go_on,
                                               std::vector<std::string>& warnings) const {
  const bool moments = metric_->kind == FeatureMetric::Kind::frechet;
  const ImageInput input = input_of(images, resolved_split(data_.dataset, data_.split), 0);
  std::optional<FeatureSet> set;
  const auto read_cache = [&] {
    if (const auto kept = cached(cache, input.protocol, warnings)) {
      set = reference_of(*kept, {*metric_}, *network_, warnings);
    }
    return set.has_value();
  };
  if (moments && decided_by_first(ranks_, read_cache)) return set ? set : FeatureSet{};
  set = collect_features_together(ranks_, *network_, input, request_for({*metric_}, true), chunk_of(device_), go_on);
  const auto write_cache = [&] {
    write_statistics(cache, {.moments = set->moments.at(metric_->tap),
                             .protocol = set->protocol,
                             .network = network_->name(),
                             .hash = network_->hash(),
                             .resize = network_->resize()});
    return true;
  };
  if (set && moments) decided_by_first(ranks_, write_cache);
  return set;
}

std::optional<EvaluationResult> Evaluator::evaluate(Trainer& trainer, const ImageSet& images, const std::string& cache,
                                                    const std::function<void(const std::string&)>& say,
                                                    const std::function<bool()>& stop) {
  if (swd_) return evaluate_swd(trainer);
  if (!network_) return std::nullopt;
  EvaluationResult result{.warnings = std::exchange(reference_warnings_, {})};
  const auto watched = [&](const std::string& what, int64_t total) {
    return [&stop, progress = ImageProgress(what, total, kSecondsBetweenLines, say)](int64_t done) mutable {
      progress.done(done);
      return !stop();
    };
  };
  if (metric_->needs_reference() && !reference_) {
    reference_ = reference(images, cache, watched(label_ + " of the training images", images.count), result.warnings);
    if (!reference_) return std::nullopt;
    needs_images_ = false;
  }
  const ImageInput input =
      generated_input(trainer, fmt::format("iteration {}", trainer.iteration()), {.count = options_.eval_images});
  const std::optional<FeatureSet> set =
      collect_features_together(ranks_, *network_, input, request_for({*metric_}, false), chunk_of(device_),
                                watched(label_ + " of generated images", input.count));
  if (!set || (ranks_ && !ranks_->is_first())) return std::nullopt;
  const MetricResult measured = evaluate_metric(*metric_, *network_, *set, reference_ ? &*reference_ : nullptr, {});
  result.value = measured.value;
  result.record = measured.record;
  for (JsonField& field : result.record)
    if (field.key == "value") field.key = label_;
  result.warnings.insert(result.warnings.end(), measured.warnings.begin(), measured.warnings.end());
  return result;
}

}  // namespace poise
