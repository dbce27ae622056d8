// What a GPU offers: the numbers by which work is cut into thread blocks. They are those of the devices that the kernels
// are tuned for, H100 and H200 (SXM, compute capability 9.0), and constants on purpose: how work is cut decides the
// order of sums, which must not depend on the device that a run happens to be on. Smaller devices take more turns.
#pragma once
#include <cstddef>

namespace poise {

constexpr int kMultiprocessors = 132;
constexpr int kMaxThreads = 1024;                   // of a block
constexpr size_t kMaxSharedBytes = 227 << 10;       // of a block
constexpr size_t kMaxStaticSharedBytes = 48 << 10;  // of a block that has not asked for more

}  // namespace poise
