#include "kernels/gpu/emulated/stack_overflow.h"

#include <signal.h>

#include <cstdio>
#include <memory>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/report.h"
#include "kernels/gpu/emulated/scheduler.h"

namespace poise::emulator {
namespace {

struct sigaction previous_segv, previous_bus;

void on_fault(int signal, siginfo_t* info, [[maybe_unused]] void* context) {
  if (!scheduler.in_kernel()) {  // not ours: the fault recurs under the previous handler
    sigaction(signal, signal == SIGSEGV ? &previous_segv : &previous_bus, nullptr);
    return;
  }
  const void* address = info->si_addr;
  const bool overflow = scheduler.fibers.owns(address) && scheduler.fibers.is_guard(address);
#ifdef __x86_64__
  const auto* code = reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#else
  const void* code = nullptr;
#endif
  // Switch from the handler back to the launching stack. No signal is blocked in the handler (SA_NODEFER), so there is
  // nothing to undo.
  scheduler.stop([=] {
    if (overflow) return this_thread() + " overflowed its stack: frames of kernels stay under 16 KiB";
    char text[32];
    std::snprintf(text, sizeof(text), "%p", address);
    return this_thread() + " accessed address " + text + ", which is not mapped, at " + line_at(code);
  });
}

// A full stack cannot run the handler, so every thread of the operating system has an alternate stack for it.
struct AlternateStack {
  static constexpr size_t kBytes = 64 << 10;
  AlternateStack() : memory(new char[kBytes]) {
    const stack_t mine{.ss_sp = memory.get(), .ss_flags = 0, .ss_size = kBytes};
    sigaltstack(&mine, &previous);
  }
  ~AlternateStack() { sigaltstack(&previous, nullptr); }
  std::unique_ptr<char[]> memory;
  stack_t previous{};
};

}  // namespace

CatchStackOverflow::CatchStackOverflow() {
  thread_local const AlternateStack stack;
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGSEGV, &action, &previous_segv) == 0 && sigaction(SIGBUS, &action, &previous_bus) == 0;
  }();
  require(installed, "a handler for SIGSEGV can be installed");
}

}  // namespace poise::emulator
