// Where training images are stored during a run: the whole set in the device's memory, or in the host's, from where
// minibatches are streamed (apps/training/minibatch_stream.h). The numbers of a run do not depend on it. Never in silence:
// `text` says what was chosen and why.
#pragma once
#include <cstddef>
#include <string>

#include "engine/io/enum_names.h"
#include "kernels/core/dtype.h"

namespace poise {

enum class DataPlacement : uint8_t { automatic, device, stream };
template <>
struct EnumNames<DataPlacement> {
  static constexpr NamedValue<DataPlacement> all[] = {
      {DataPlacement::automatic, "auto"}, {DataPlacement::device, "device"}, {DataPlacement::stream, "stream"}};
};

// What a run may fill: the free memory of a GPU; all of the machine's, where memory that files occupy is free too.
struct AvailableMemory {
  size_t bytes = 0;
  std::string owner;  // "the GPU has left", "this machine has": a number follows
};
AvailableMemory memory_of(Device device);

// Error(environment) unless a run that needs so much has it. Asking for more would not fail at once but later, by the
// hand of the kernel's out-of-memory killer.
void check_memory(Device device, size_t needed_bytes);

// Bytes that a run needs on its device: for everything but the images, and for the images placed one way or the other.
struct PlacementNeeds {
  size_t others = 0, whole_set = 0, ring = 0;
};

struct DataChoice {
  bool streamed = false;
  size_t bytes = 0;  // of images and labels on the device
  std::string text;  // "data on the device (auto: 586 MiB beside 1,400 MiB fit; the GPU has left 142,000 MiB)"
};

//   automatic   the CPU: device. Else device if 7/8 of the memory hold everything, which leaves the rest for what no
//               plan counts: captured graphs, kernels loaded at first use, workspaces of libraries, an evaluation's
//               network.
//   device      Error(environment) if it does not fit.
DataChoice place_data(DataPlacement asked, Device device, const PlacementNeeds& needs,
                      const AvailableMemory& available);

}  // namespace poise
