// The stand-in for the CUDA runtime: device memory is host memory, and streams are lazy. Work waits in its stream until
// its result is needed or a random choice runs it. The order among streams is random, limited only by events. So a
// program that forgets to wait gets different numbers with some seed, as it would on a GPU some day.
#pragma once
#include "kernels/gpu/runtime.h"

namespace poise::emulator {

class Runtime : public gpu::Runtime {
 public:
  // Sets how the work of several streams interleaves, and how soon it runs, from now on.
  virtual void seed(uint64_t value) = 0;
  // While on, nothing runs until the host waits for it, as on a device that is as late as possible.
  virtual void run_late(bool on) = 0;
  // While on, only work in streams and copies can access device memory: a program that accesses it from the host dies
  // of SIGSEGV, as with a GPU. Slow: two system calls per allocation and piece of work.
  virtual void protect_memory(bool on) = 0;
};

Runtime& runtime();

}  // namespace poise::emulator
