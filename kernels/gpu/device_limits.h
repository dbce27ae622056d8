// The limits of a GPU, by which work is cut into thread blocks: those of the devices that the kernels are tuned for,
// H100 and H200 (SXM, compute capability 9.0). They are constants on purpose: how work is cut determines the order of
// sums, which must not depend on the device of a run. Smaller devices need more waves of blocks.
#pragma once
#include <cstddef>

namespace poise {

constexpr int kMultiprocessors = 132;
constexpr int kMaxThreads = 1024;                   // per block
constexpr size_t kMaxSharedBytes = 227 << 10;       // per block
constexpr size_t kMaxStaticSharedBytes = 48 << 10;  // per block, unless more is requested

}  // namespace poise
