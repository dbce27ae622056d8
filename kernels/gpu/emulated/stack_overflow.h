// A kernel thread that faults (its stack is full, or an address is wild) ends its launch with an Error that names it,
// not the process.
#pragma once

namespace poise::emulator {

// While it lives, SIGSEGV and SIGBUS of this thread of the operating system are caught.
class CatchStackOverflow {
 public:
  CatchStackOverflow();
};

}  // namespace poise::emulator
