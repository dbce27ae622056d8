// How much of a run's arithmetic its masks and kernels saved.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

// "1.2e+12 FLOP executed of 3e+12 dense-equivalent (40.0%); of what was saved, masks 70.0%, folded convolutions 30.0%";
// "" if the run did not record it. Folded: upsampling or pooling computed together with the adjacent convolution, which
// dense runs do as well. Runs of earlier versions do not distinguish the two.
std::string arithmetic_text(const RunRecord& run);

}  // namespace poise
