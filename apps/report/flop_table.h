// inspect_run flops: what a training costs, as text and as JSON.
#pragma once
#include <string>

#include "apps/report/training_cost.h"

namespace poise {

struct FlopRequest {
  std::string title;  // a preset's or a run's name
  Settings settings;
  FlopConvention convention = FlopConvention::full;
  std::optional<RunRecord> run;  // if given, count what it did instead of what is planned
};

std::string flop_text(const FlopRequest& request);
// One object: convention, dense_total_mac, total_mac, ratio, layers (network, name, weights, density, mac_per_image:
// dense, forward) and the other values of the text. Totals cover the whole run; densities are those at its end.
std::string flop_json(const FlopRequest& request);

}  // namespace poise
