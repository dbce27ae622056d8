// Gradual pruning (Zhu and Gupta, "To prune, or not to prune", 2017): a dense network loses its weights of smallest
// magnitude, network-wide, in n updates, of which the first ones prune the most. After iteration t
//
//   density(t) = d + (1 - d) (1 - (t - t0) / (n dt))^3         at t = t0 + dt, t0 + 2 dt, ..., t0 + n dt; constant
//                                                              in between
//   d = density_g or density_d, t0 = prune_start, dt = update_every_g or update_every_d, n the largest number with
//   t0 + n dt <= prune_end
//
// Afterwards the masks stay. Gradients of dead weights are never needed. The moving average of weights that stay alive
// is not changed.
#pragma once
#include <fmt/format.h>

#include <algorithm>

#include "apps/console/progress.h"
#include "apps/training/mask_policy.h"

namespace poise {

class GradualPruning : public MaskPolicy {
 public:
  GradualPruning(const SparseOptions& options, Network network)
      : network_(network),
        density_(density_of(options, network)),
        start_(options.prune_start),
        // By default the last quarter of the run trains the remaining weights.
        end_(options.prune_end > 0 ? options.prune_end : options.schedule_iterations * 3 / 4),
        every_(update_every(options, network)),
        updates_(std::max<int64_t>(0, (end_ - start_) / every_)) {}

  double planned_density(int64_t t) const override {
    const int64_t taken = std::clamp<int64_t>((t - start_) / every_, 0, updates_);
    if (taken == updates_) return density_;
    const double left = 1 - static_cast<double>(taken) / static_cast<double>(updates_);
    return density_ + (1 - density_) * left * left * left;
  }
  bool due(int64_t t) const override {
    return t > start_ && t <= start_ + updates_ * every_ && (t - start_) % every_ == 0;
  }
  bool wants_dense_gradient(int64_t) const override { return false; }
  MaskAction apply(Context& ctx, MaskedNetwork& network, int64_t t, double) const override {
    network.density = planned_density(t);
    network.target = weights_at(network.masks, network.density);
    return {"prune", prune_to(ctx, network.masks, network.target)};
  }
  std::string describe() const override {
    return fmt::format(
        "dense until iteration {}; then {} prunings, one every {} iterations, the last one at {}: density falls by the "
        "cube from 1 to {}, by magnitude, network-wide",
        format_count(start_), updates_, every_, format_count(start_ + updates_ * every_), density_);
  }
  bool reads(const std::string& key) const override {
    return is_one_of(key, {update_every_key(network_), "schedule_iterations", "prune_start", "prune_end"});
  }
  std::vector<std::string> problems() const override {
    if (updates_ > 0) return {};
    return {fmt::format("prune_end: expected at least prune_start + update_every_{} = {} but got {}",
                        letter_of(network_), start_ + every_, end_)};
  }

 private:
  const Network network_;
  const double density_;
  const int64_t start_, end_, every_, updates_;
};

}  // namespace poise
