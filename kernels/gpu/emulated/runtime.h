// The stand-in for the CUDA runtime: device memory is host memory, and streams are lazy. Work waits in its stream until
// something asks for its result, or until chance runs it; among streams chance chooses, and only events hold it back.
// So a program that forgot to wait gets other numbers on some seed, as it would on some day on a GPU.
#pragma once
#include "kernels/gpu/runtime.h"

namespace poise::emulator {

class Runtime : public gpu::Runtime {
 public:
  // How work of several streams interleaves, and how soon it runs, from now on.
  virtual void seed(uint64_t value) = 0;
  // While on, nothing runs before the host waits for it: a device that is as late as it can be.
  virtual void run_late(bool on) = 0;
  // While on, device memory can be read and written by work in streams and by copies alone: an engine that looks into
  // it from the host dies of SIGSEGV, as it does on a GPU. Slow: two system calls per allocation and piece of work.
  virtual void protect_memory(bool on) = 0;
};

Runtime& runtime();

}  // namespace poise::emulator
