// Adds up what launches did, kernel by kernel, and writes it when the program ends.
#pragma once
#include "tests/ptx/stand_in/modules.h"

namespace poise::stand_in {

void add_to_report(const ptx::Launch& launch, const Kernel& kernel, int threads, const ptx::Profile& profile);

}  // namespace poise::stand_in
