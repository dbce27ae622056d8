// Constant density. At regular intervals a decreasing share of the alive weights, those of smallest magnitude, is
// dropped, and equally many grow, by gradient (RigL) or at random (SET).
#pragma once
#include <fmt/format.h>

#include "apps/console/progress.h"
#include "apps/training/mask_policy.h"

namespace poise {

class DropAndGrow : public MaskPolicy {
 public:
  DropAndGrow(const SparseOptions& options, Network network, Growth growth)
      : options_(options),
        network_(network),
        density_(density_of(options, network)),
        every_(update_every(options, network)),
        growth_(growth),
        drop_{.shape = options.drop_schedule,
              .start = options.drop_fraction,
              .end = options.drop_fraction_end,
              .length = options.schedule_iterations} {}

  double planned_density(int64_t) const override { return density_; }
  bool due(int64_t t) const override { return t % every_ == 0 && t < options_.schedule_iterations; }
  MaskAction apply(Context& ctx, MaskedNetwork& network, int64_t t, double) const override {
    const PruneGrow how{.growth = growth_,
                        .scope = options_.selection_scope,
                        .moments = options_.moment_policy,
                        .stream = network.stream};
    const double fraction = drop_.at(t);
    return {"drop_grow", drop_and_grow(ctx, network.masks, how, fraction, network.target), fraction};
  }
  bool reads(const std::string& key) const override {
    return is_one_of(key, {update_every_key(network_), "schedule_iterations", "drop_fraction", "drop_fraction_end",
                           "drop_schedule", "selection_scope"});
  }
  int64_t dense_gradient_every() const override { return growth_ == Growth::gradient ? every_ : 0; }
  std::string describe() const override {
    return fmt::format("every {} iterations before {}: drop {}, grow as many {}, {}", every_,
                       format_count(options_.schedule_iterations), describe_drop(),
                       growth_ == Growth::gradient ? "by gradient" : "at random",
                       options_.selection_scope == SelectionScope::global ? "network-wide" : "layer by layer");
  }
  std::string describe_drop() const {
    return fmt::format("{} from {} to {} of the alive weights", name_of(drop_.shape), drop_.start, drop_.end);
  }

 private:
  const SparseOptions options_;
  const Network network_;
  const double density_;
  const int64_t every_;
  const Growth growth_;
  const DropSchedule drop_;
};

}  // namespace poise
