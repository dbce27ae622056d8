// Masks that stay as they were drawn.
#pragma once
#include "apps/training/mask_policy.h"

namespace poise {

class FixedMasks : public MaskPolicy {
 public:
  FixedMasks(const SparseOptions& options, Network network) : density_(density_of(options, network)) {}

  double planned_density(int64_t) const override { return density_; }
  bool due(int64_t) const override { return false; }
  MaskAction apply(Context&, MaskedNetwork&, int64_t, double) const override { return {}; }
  std::string describe() const override { return "fixed masks"; }

 private:
  const double density_;
};

}  // namespace poise
