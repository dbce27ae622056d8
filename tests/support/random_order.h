// During the lifetime of this object, the threads, blocks, copies and streams of a device run in an order given by a
// seed. Applies to the emulated device and to the stand-in for CUDA (tests/ptx), but not to a real GPU.
#pragma once
#include <dlfcn.h>

#include "kernels/gpu/emulated/options.h"

namespace poise {

class RandomOrder {
 public:
  explicit RandomOrder(uint64_t seed) {
    emulator::set_options(emulator::randomised(seed));
    set_stand_in(seed);
  }
  ~RandomOrder() {
    emulator::set_options({});
    set_stand_in(0);
  }
  RandomOrder(const RandomOrder&) = delete;
  RandomOrder& operator=(const RandomOrder&) = delete;

 private:
  static void set_stand_in(uint64_t seed) {
    using SetOrder = void (*)(uint64_t);
    static const auto set = reinterpret_cast<SetOrder>(::dlsym(RTLD_DEFAULT, "poise_stand_in_set_order"));
    if (set) set(seed);
  }
};

}  // namespace poise
