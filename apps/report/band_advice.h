// Suggests a band of the balance ratio for methods that control D's density, from a short pilot run. Below the band, D
// is too strong and loses weights; above it, D is too weak and gains some. The level of the ratio depends on width,
// batch size and learning rates, so the published band (0.45 to 0.55) fits the published setting only.
#pragma once
#include <optional>
#include <string>

#include "apps/run/run_record.h"
#include "engine/sparse/balance.h"

namespace poise {

struct BandAdvice {
  BalanceMode mode = BalanceMode::mean_of_ratios;
  int64_t first_iteration = 0, last_iteration = 0, values = 0;  // the measurements used
  double q05 = 0, q25 = 0, median = 0, q75 = 0, q95 = 0;
  double unusable = 0;  // share of measurements without a ratio in the last window
  // Keeps D about as strong as in the pilot: from the first quartile to the third, but at least a tenth of the median
  // to either side, which is the relative width of the published band.
  double hold_low = 0, hold_high = 0;
  // Lets D grow from its strength in the pilot, as in the paper, where static masks at 10% of both networks have a
  // median ratio of 0.90 and the band is 0.45 to 0.55.
  double grow_low = 0, grow_high = 0;
};

// Uses the second half of the run's log, once its window is full. `mode`: the run's own br_mode unless given.
// Error(usage) if the run did not measure the ratio, or not often enough.
BandAdvice band_advice(const RunRecord& run, std::optional<BalanceMode> mode);
// The advice as text, with options to copy.
std::string band_advice_text(const RunRecord& run, const BandAdvice& advice);

}  // namespace poise
