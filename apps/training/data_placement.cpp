#include "apps/training/data_placement.h"

#include <fmt/format.h>

#include "apps/console/machine_memory.h"
#include "apps/console/program.h"
#include "kernels/core/error.h"
#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

std::string mebibytes(size_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMiB); }

}  // namespace

AvailableMemory memory_of(Device device) {
  if (device == Device::cuda) return {gpu::runtime(device).facts().free_bytes, "the GPU has left"};
  const MemoryLimit limit = memory_limit();
  return {limit.bytes, limit.owner};
}

void check_memory(Device device, size_t needed_bytes) {
  const AvailableMemory there = memory_of(device);
  if (needed_bytes <= there.bytes) return;
  fail(ErrorKind::environment, fmt::format("the run needs {} of memory but {} {}; use smaller widths or batches "
                                           "(--dry-run shows the memory of each part)",
                                           mebibytes(needed_bytes), there.owner, mebibytes(there.bytes)));
}

DataChoice place_data(DataPlacement asked, Device device, const PlacementNeeds& needs,
                      const AvailableMemory& available) {
  const size_t all = needs.others + needs.whole_set;
  const std::string sizes =
      fmt::format("{} beside {} of everything else", mebibytes(needs.whole_set), mebibytes(needs.others));
  const std::string there = fmt::format("{} {}", available.owner, mebibytes(available.bytes));
  const DataChoice whole{.bytes = needs.whole_set}, streamed{.streamed = true, .bytes = needs.ring};
  const auto explained = [](DataChoice choice, const std::string& why) {
    choice.text = fmt::format("data {} ({})", choice.streamed ? "streamed" : "on the device", why);
    return choice;
  };
  if (asked == DataPlacement::stream) return explained(streamed, "asked for");
  if (asked == DataPlacement::device) {
    if (device != Device::cpu && all > available.bytes) {
      fail(ErrorKind::environment, fmt::format("data_placement: the whole set on the device takes {} but {}; use "
                                               "--data-placement stream",
                                               sizes, there));
    }
    return explained(whole, "asked for");
  }
  if (device == Device::cpu) return explained(whole, "auto: the device is the CPU");
  const bool fits = all <= available.bytes - available.bytes / 8;
  return explained(fits ? whole : streamed, fmt::format("auto: {} {}; {}", sizes, fits ? "fit" : "do not fit", there));
}

}  // namespace poise
