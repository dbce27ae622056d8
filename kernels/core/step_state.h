// The state that changes from step to step. It is in device memory and kernels read it there, so that captured graphs
// can be replayed: nothing here is ever passed to a kernel by value. A checkpoint stores it as it is (plain data).
#pragma once
#include <cstdint>

namespace poise {

enum class Network : uint8_t { generator = 0, discriminator = 1 };

// Adam's step count, learning rate and bias corrections for one network.
struct OptimizerClock {
  uint64_t t = 0;  // updates taken
  double learning_rate = 0;
  double beta1_power = 1, beta2_power = 1;  // beta^t, kept as running products: 1 - beta^t is the bias correction
};

struct StepState {
  uint64_t seed = 0;         // key of every random number of the run
  uint64_t step = 0;         // D and G steps begun so far: the `step` of the random counter
  uint64_t d_batches = 0;    // real minibatches drawn so far: the cursor of the data order
  OptimizerClock clocks[2];  // indexed by Network
};

}  // namespace poise
