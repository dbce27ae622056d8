// STAND_IN_PROFILE=FILE: what all launches of a program did, counted, is written there when it ends: a line of JSON for
// each kernel and size of launch, and a last one about the interpreter. bench/kernels_profile prints it. Of a program that
// calls cudaProfilerStart and cudaProfilerStop only what it launches between them is counted.
#pragma once
#include "tests/ptx/stand_in/modules.h"

namespace poise::stand_in {

bool profiling();  // now

// Of cudaProfilerStart and cudaProfilerStop.
enum class Phase : uint8_t { before, between, after };
Phase phase();
void enter(Phase phase);

void add_to_profile(const std::string& kernel, int registers, int resident_blocks, const ptx::Launch& launch,
                    const ptx::Profile& profile, uint64_t interpreted, double seconds);

}  // namespace poise::stand_in
