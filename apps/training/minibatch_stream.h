// Streams real minibatches to a device that does not hold the data set. They pass through a pipeline:
//
//   image set --(reader thread)--> staging slots --(copy stream)--> slots on the device --> gather_images
//
// Both rings have kSlots slots of one raw minibatch each. Before a D step the host launches the copies of all
// minibatches that have been read and have a slot, and makes the steps' stream wait for the copy that the step needs.
// After the step it records an event, for which the next copy into that slot waits. So the streams wait for each other,
// and the host waits only
//   * for the reader, if the next minibatch has not been read yet,
//   * for the device, if it is more than a whole ring behind: its pending copies then occupy staging slots that the
//     reader needs to stay ahead.
// gather_images finds its slot by StepState::d_batches (GatherOptions::ring), so captured steps stay valid, and results
// equal those with the set in device memory bit for bit. On the CPU there is one ring, which the reader fills.
#pragma once
#include <memory>
#include <vector>

#include "apps/training/minibatch_reader.h"
#include "kernels/core/memory.h"
#include "kernels/core/step_state.h"
#include "kernels/gpu/runtime.h"

namespace poise {

class MinibatchStream {
 public:
  // Reading [64,32,32,3] takes 0.06 ms (one core of an AMD EPYC, 2026-11-22), a D step milliseconds. Eight slots bridge
  // a time slice in which the reader is preempted by another program, and cost little: 1.5 MiB.
  static constexpr int64_t kSlots = 8;

  // How often the host had to wait since the start.
  struct Waits {
    int64_t for_reader = 0, for_device = 0;
  };

  static size_t device_bytes(const MinibatchOrder& order, const Shape& image, bool labelled);

  // `steps`: the stream on which the steps run; null on the CPU. Call restart() before the first step. Error(runtime)
  // if there is not enough memory; before_step() rethrows what the reader's thread threw.
  MinibatchStream(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order, bool labelled, Device device,
                  gpu::Stream* steps, MinibatchReader::BeforeBatch before_batch);
  ~MinibatchStream();  // waits for the device and ends the reader's thread
  MinibatchStream(const MinibatchStream&) = delete;
  MinibatchStream& operator=(const MinibatchStream&) = delete;

  const Tensor& images() const { return images_.tensor(); }  // u8 [kSlots*B,H,W,C]
  const Tensor& labels() const { return labels_.tensor(); }  // i32 [kSlots*B]; empty unless labelled

  // Continues with the step that follows this state. Waits for the device.
  void restart(const StepState& state);
  void before_step();
  void after_step();

  const Waits& waits() const { return waits_; }

 private:
  struct Link;

  void wait_for_reader();
  void send(uint64_t batch);

  OwnedTensor images_, labels_;
  uint64_t next_ = 0;      // the minibatch of the next step
  uint64_t sent_ = 0;      // the copies of all minibatches before it have been launched
  uint64_t returned_ = 0;  // the copies of all minibatches before it are known to be done
  Waits waits_;
  std::unique_ptr<Link> link_;  // to a device; null on the CPU
  std::unique_ptr<MinibatchReader> reader_;
};

}  // namespace poise
