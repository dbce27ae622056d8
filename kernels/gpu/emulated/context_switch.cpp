// x86-64 uses assembly. Other processors use ucontext, which works but is twenty times slower (two system calls per
// switch).
#include "kernels/gpu/emulated/context_switch.h"

#include <cstdint>

#if defined(__x86_64__) && !defined(POISE_UCONTEXT)

// A caller expects six registers and its stack to survive a call, so nothing else must be saved; the stack pointer is
// the context. The jump is a `ret`: all fibers leave through the same call, so the processor predicts it, which it
// would not do for a `jmp`.
asm(R"(
.text
.p2align 4
.globl poise_switch_context
.hidden poise_switch_context
.type poise_switch_context, @function
poise_switch_context:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size poise_switch_context, . - poise_switch_context
)");
extern "C" void poise_switch_context(void** save, void* to);

namespace poise::emulator {

void* prepare_context(char* stack, size_t bytes, void (*entry)()) {
  auto* slot = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15});
  *--slot = nullptr;  // entry's return address: null ends a debugger's backtrace
  *--slot = reinterpret_cast<void*>(
      entry);  // popped by `ret`; then the stack is 8 bytes off a multiple of 16, as at any function's entry
  for (int i = 0; i < 6; ++i) *--slot = nullptr;
  return slot;
}

void switch_context(void** save, void* to) { poise_switch_context(save, to); }

}  // namespace poise::emulator

#else

#include <ucontext.h>

#include <new>

namespace poise::emulator {

// A stopped context is stored on its own stack.
void* prepare_context(char* stack, size_t bytes, void (*entry)()) {
  auto* context = new (stack) ucontext_t;
  constexpr size_t kUsed = (sizeof(ucontext_t) + 63) / 64 * 64;
  getcontext(context);
  context->uc_stack.ss_sp = stack + kUsed;
  context->uc_stack.ss_size = bytes - kUsed;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}

void switch_context(void** save, void* to) {
  ucontext_t here;
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

}  // namespace poise::emulator

#endif
