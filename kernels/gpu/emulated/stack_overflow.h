// When a kernel thread faults (stack overflow or an invalid address), its launch, not the process, ends, with an Error
// that names the thread.
#pragma once

namespace poise::emulator {

// Once constructed, SIGSEGV and SIGBUS in kernels on this OS thread are caught; elsewhere the previous handlers act.
class CatchStackOverflow {
 public:
  CatchStackOverflow();
};

}  // namespace poise::emulator
