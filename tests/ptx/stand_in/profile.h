// STAND_IN_PROFILE=FILE: when a program ends, the counts of all its launches are written to FILE: one line of JSON per
// kernel and launch size, and a last one about the interpreter. bench/kernels_profile prints the file. If the program
// calls cudaProfilerStart and cudaProfilerStop, only the launches between them are counted.
#pragma once
#include "tests/ptx/stand_in/modules.h"

namespace poise::stand_in {

bool profiling();  // whether launches are counted now

// Relative to cudaProfilerStart and cudaProfilerStop.
enum class Phase : uint8_t { before, between, after };
Phase phase();
void enter(Phase phase);

void add_to_profile(const std::string& kernel, int registers, int resident_blocks, const ptx::Launch& launch,
                    const ptx::Profile& profile, uint64_t interpreted, double seconds);

}  // namespace poise::stand_in
