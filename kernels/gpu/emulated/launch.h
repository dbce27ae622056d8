// From launch() in a .cu file to the scheduler.
#pragma once
#include <mutex>

#include "kernels/core/context.h"
#include "kernels/gpu/emulated/device.h"
#include "kernels/gpu/emulated/stream.h"

namespace poise::emulator {

// One grid of blocks.
struct Launch {
  device::dim3 grid, block;
  size_t shared_bytes;                   // dynamic, per block
  const void* kernel;                    // its code, for its name
  void (*run_thread)(const void* call);  // calls the kernel with its arguments, both in *call
  Site site;                             // the line of the launch
  bool checked;                          // compiled for the checker
  const void* call = nullptr;            // filled in by run()
  size_t call_bytes = 0;
};

// Held while a grid runs and while memory is registered: there is one emulated device.
std::mutex& one_launch_at_a_time();

// Runs all threads of the grid before it returns. Throws Error(runtime) naming kernel, launch and thread if the
// hardware would reject the launch, or if the kernel breaks a rule.
void run(Launch launch, const void* call, size_t call_bytes);

// Runs the launch now, or when the context's stream reaches it.
template <class Call>
void launch(Context& ctx, const Launch& what, const Call& call) {
  if (ctx.stream == nullptr) return run(what, &call, sizeof(Call));
  static_cast<Stream*>(ctx.stream)->submit([what, call] { run(what, &call, sizeof(Call)); });
}

}  // namespace poise::emulator
