// Decides where training images are stored during a run: the whole set in device memory, or in host memory, from where
// minibatches are streamed (apps/training/minibatch_stream.h). The results of a run do not depend on it. The choice is
// never silent: `text` says what was chosen and why.
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

// What a run may use: on a GPU its free memory; elsewhere the machine's memory, including file caches, or its limit.
struct AvailableMemory {
  size_t bytes = 0;
  std::string owner;  // starts a message that continues with a number: "the GPU has left", "this machine has"
};
AvailableMemory memory_of(Device device);

// Error(environment) if a run needs more memory than is available. Allocating too much would not fail at once: the
// kernel's out-of-memory killer would end the run later.
void check_memory(Device device, size_t needed_bytes);

// Bytes that a run needs on its device: for everything but the images, and for either the whole set or the ring.
struct PlacementNeeds {
  size_t others = 0, whole_set = 0, ring = 0;
};

struct DataChoice {
  bool streamed = false;
  size_t bytes = 0;  // of images and labels on the device
  std::string text;  // "data on the device (auto: 586.0 MiB beside ..; the GPU has left ..)"
};

//   automatic   On the CPU: device. Otherwise device if everything fits into 7/8 of the available memory. The rest is
//               for what no plan counts: captured graphs, kernels loaded at first use, library workspaces, the network
//               of an evaluation.
//   device      Error(environment) if it does not fit.
DataChoice place_data(DataPlacement asked, Device device, const PlacementNeeds& needs,
                      const AvailableMemory& available);

}  // namespace poise
