// A density that follows the balance ratio (engine/sparse/density_control.h): DDA and DDST. With Limit::d_max (strict)
// it rises at most to d_max, where weights are then dropped and grown; with Limit::one it may rise to 1.
#pragma once
#include "apps/training/policies/drop_and_grow.h"
#include "engine/sparse/density_control.h"

namespace poise {

class BalanceControlled : public MaskPolicy {
 public:
  enum class Limit : uint8_t { one, d_max };

  BalanceControlled(const SparseOptions& options, Network network, Limit limit)
      : options_(options),
        network_(network),
        every_(update_every(options, network)),
        strict_(limit == Limit::d_max),
        at_limit_(options, network, Growth::gradient),
        control_{.band_low = options.band_low,
                 .band_high = options.band_high,
                 .density_step = options.density_step,
                 .density_floor = options.density_floor,
                 .density_limit = strict_ ? options.d_max : 1.0,
                 .rewire_at_limit = strict_} {}

  // The ratio is not known in advance.
  double planned_density(int64_t) const override { return density_of(options_, network_); }
  bool due(int64_t t) const override { return at_limit_.due(t); }
  bool follows_balance() const override { return true; }
  MaskAction apply(Context& ctx, MaskedNetwork& network, int64_t t, double balance_ratio) const override {
    using Kind = DensityDecision::Kind;
    const DensityDecision decision = decide(control_, network.density, balance_ratio);
    if (decision.kind == Kind::none) return {};
    if (decision.kind == Kind::rewire) return at_limit_.apply(ctx, network, t, balance_ratio);
    network.density = decision.density;
    network.target = weights_at(network.masks, network.density);
    if (decision.kind == Kind::lower)
      return {"lower", prune_to(ctx, network.masks, network.target), control_.density_step};
    return {"raise", grow_to(ctx, network.masks, options_.moment_policy, network.target), control_.density_step};
  }
  bool reads(const std::string& key) const override {
    if (strict_ && (key == "d_max" || at_limit_.reads(key))) return true;
    return is_one_of(key, {update_every_key(network_), "schedule_iterations", "band_low", "band_high", "density_step",
                           "density_floor", "br_mode"});
  }
  int64_t dense_gradient_every() const override { return every_; }
  std::string describe() const override {
    return fmt::format(
        "every {} iterations before {}: density +{} if the balance ratio is {} or more, -{} if it is {} or less, "
        "within "
        "{} to {}{}",
        every_, format_count(options_.schedule_iterations), control_.density_step, control_.band_high,
        control_.density_step, control_.band_low, control_.density_floor, control_.density_limit,
        strict_ ? "; there it drops and grows: " + at_limit_.describe_drop() : std::string());
  }
  std::vector<std::string> problems() const override;

 private:
  const SparseOptions options_;
  const Network network_;
  const int64_t every_;
  const bool strict_;
  const DropAndGrow at_limit_;
  const DensityControl control_;
};

inline std::vector<std::string> BalanceControlled::problems() const {
  const SparseOptions& s = options_;
  const std::string letter = letter_of(network_);
  std::vector<std::string> found;
  if (strict_ && density_of(s, network_) > s.d_max) {
    found.push_back(
        fmt::format("density_{}: expected at most d_max = {} but got {}", letter, s.d_max, density_of(s, network_)));
  }
  if (!(s.band_low < s.band_high)) {
    found.push_back(fmt::format("band_low: expected less than band_high = {} but got {}", s.band_high, s.band_low));
  }
  if (s.br_every == 0) {
    found.push_back(fmt::format("br_every: method {} follows the balance ratio; 10 is the paper's", s.method));
  }
  if (s.br_every * 10 > every_) {
    found.push_back(
        fmt::format("br_every: expected at most a tenth of update_every_{} = {}, so that a decision rests "
                    "on more than a few measurements, but got {}",
                    letter, every_, s.br_every));
  }
  return found;
}

}  // namespace poise
