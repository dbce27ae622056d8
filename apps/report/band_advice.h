// A band of the balance ratio for the methods that control D's density, from a short pilot run. Below the band D is too
// strong and loses weights, above it is too weak and gets more. The level of the ratio depends on width, batch and rates,
// so that the published band (0.45 to 0.55) fits the published setting alone.
#pragma once
#include <optional>
#include <string>

#include "apps/run/run_record.h"
#include "engine/sparse/balance.h"

namespace poise {

struct BandAdvice {
  BalanceMode mode = BalanceMode::mean_of_ratios;
  int64_t first_iteration = 0, last_iteration = 0, values = 0;  // what it rests on
  double q05 = 0, q25 = 0, median = 0, q75 = 0, q95 = 0;
  double unusable = 0;  // share of the window's measurements that have no ratio, at the last value
  // D stays about as strong as it was in the pilot: from the first quartile to the third, at least a tenth of the median
  // to either side, the relative width of the published band.
  double hold_low = 0, hold_high = 0;
  // D grows from where the pilot has it, as in the paper: there, static masks at 10% of both networks have a median of
  // 0.90, and the band is 0.45 to 0.55.
  double grow_low = 0, grow_high = 0;
};

// From the second half of what the run logged, once its window is full. `mode`: the run's own br_mode unless given.
// Error(usage) if the run did not measure the ratio, or not often enough to say.
BandAdvice band_advice(const RunRecord& run, std::optional<BalanceMode> mode);
// The advice in words, with the options to paste.
std::string band_advice_text(const RunRecord& run, const BandAdvice& advice);

}  // namespace poise
