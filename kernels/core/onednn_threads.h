// oneDNN, as we use it, runs inside of our tasks and on their thread alone: left to itself it splits sums by the number
// of threads, and the bits of a result would depend on it.
#pragma once

namespace poise::cpu {

// Before a thread builds or runs something of oneDNN's. Costs nothing when asked again.
void use_one_onednn_thread();

}  // namespace poise::cpu
