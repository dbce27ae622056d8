// Real minibatches for a device that does not hold the data set. Their way, each part running ahead of the next:
//
//   image set --(thread of the reader)--> staging slots --(copy stream)--> slots on the device --> gather_images
//
// Both rings have kSlots slots of one raw minibatch. Before a D step the host asks for the copies of all minibatches
// that have been read and have a slot, and makes the steps' stream wait for the one that the step is about to take.
// After the step it leaves a mark, which the next copy into that slot waits for. So the streams wait for each other,
// and the host waits only
//   * for the reader, if the next minibatch has not been read yet,
//   * for the device, if it is more than a whole ring behind: the copies that it still has to make then hold slots that
//     the reader needs to stay ahead.
// gather_images finds its slot by StepState::d_batches (GatherOptions::ring), so captured steps stay valid, and the
// bits are those of a set in device memory. On the CPU there is one ring, which the reader fills.
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
  // Reading [64,32,32,3] takes 0.06 ms (one core of an AMD EPYC, 2026-11-22), a D step milliseconds. Eight of them
  // outlast a time slice that the reader had to yield to another program, and cost little: 1.5 MiB.
  static constexpr int64_t kSlots = 8;

  // How often the host had to wait since the start.
  struct Waits {
    int64_t for_reader = 0, for_device = 0;
  };

  static size_t device_bytes(const MinibatchOrder& order, const Shape& image, bool labelled);

  // `steps`: where the steps run; null on the CPU. restart() comes before the first step. Error(runtime) if memory does
  // not suffice; before_step() throws what the reader's thread threw.
  MinibatchStream(std::shared_ptr<const ImageSet> images, const MinibatchOrder& order, bool labelled, Device device,
                  gpu::Stream* steps, MinibatchReader::BeforeBatch before_batch);
  ~MinibatchStream();  // waits for the device and ends the reader's thread
  MinibatchStream(const MinibatchStream&) = delete;
  MinibatchStream& operator=(const MinibatchStream&) = delete;

  const Tensor& images() const { return images_.tensor(); }  // u8 [kSlots*B,H,W,C]
  const Tensor& labels() const { return labels_.tensor(); }  // i32 [kSlots*B]; empty unless labelled

  // The next step is the one that follows this state. Waits for the device.
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
  uint64_t sent_ = 0;      // copies of all before it have been asked for
  uint64_t returned_ = 0;  // and those of all before this one are known to be done
  Waits waits_;
  std::unique_ptr<Link> link_;  // to a device; null on the CPU
  std::unique_ptr<MinibatchReader> reader_;
};

}  // namespace poise
