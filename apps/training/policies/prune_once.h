// Dense training, then one pruning and fine-tuning (posthoc): the network takes over its moving average, keeps only the
// weights of largest magnitude, and the average restarts from there.
#pragma once
#include <fmt/format.h>

#include "apps/console/progress.h"
#include "apps/training/mask_policy.h"

namespace poise {

class PruneOnce : public MaskPolicy {
 public:
  PruneOnce(const SparseOptions& options, Network network)
      : density_(density_of(options, network)),
        at_(std::llround(static_cast<double>(options.schedule_iterations) / (1 + options.posthoc_fine_tune))) {}

  double planned_density(int64_t t) const override { return t < at_ ? 1 : density_; }
  bool due(int64_t t) const override { return t == at_ && t > 0; }
  MaskAction apply(Context& ctx, MaskedNetwork& network, int64_t, double) const override {
    // A run that has already pruned reaches this point again if it is resumed for more iterations.
    if (network.target == weights_at(network.masks, density_)) return {};
    ParameterSlab& slab = network.slab;
    if (slab.ema) ctx.kernels->copy(ctx, slab.ema, slab.value);
    network.density = density_;
    network.target = weights_at(network.masks, density_);
    const MaskChange change = prune_to(ctx, network.masks, network.target);
    if (slab.ema) slab.copy_value_to_ema(ctx);
    return {"prune", change};
  }
  int64_t dense_iterations(int64_t) const override { return at_; }
  bool reads(const std::string& key) const override {
    return is_one_of(key, {"schedule_iterations", "posthoc_fine_tune"});
  }
  std::string describe() const override {
    return fmt::format(
        "dense until iteration {}; then {:.4g}% of its moving average stay, the weights of largest magnitude, "
        "network-wide",
        format_count(at_), 100 * density_);
  }

 private:
  const double density_;
  const int64_t at_;
};

}  // namespace poise
