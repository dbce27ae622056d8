// What a run's masks and kernels saved of its arithmetic.
#pragma once
#include <string>

#include "apps/run/run_record.h"

namespace poise {

// "1.2e+12 FLOP executed of 3e+12 dense-equivalent (40.0%); of what was saved, masks 70.0%, folded convolutions 30.0%";
// "" if the run did not record it. Folded: upsampling or pooling and the convolution beside it computed as one, which
// dense runs have too. Runs of earlier versions do not tell the two apart.
std::string arithmetic_text(const RunRecord& run);

}  // namespace poise
