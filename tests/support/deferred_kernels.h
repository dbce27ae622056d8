// The CPU kernels, run as a device would run them: each call is queued on the context's stream and computed when the
// stream reaches it. With Device::emulated this makes a device with a full runtime but no GPU kernels, which is what
// the tests of the runtime, graphs and Trainer need, at the speed of the CPU.
#pragma once
#include <span>
#include <tuple>
#include <vector>

#include "kernels/gpu/emulated/stream.h"
#include "kernels/table.h"

namespace poise::test {

// How an argument is stored until its call runs: by value, including the elements of a span.
template <class T>
struct Waiting {
  using Type = std::decay_t<T>;
};
template <class T>
struct Waiting<std::span<const T>> {
  struct Type {
    std::vector<T> elements;
    Type(std::span<const T> s) : elements(s.begin(), s.end()) {}
    operator std::span<const T>() const { return elements; }
  };
};

template <auto Entry, class... Args>
void defer(KernelTable& table, void (*KernelTable::*)(Context&, Args...)) {
  table.*Entry = [](Context& ctx, Args... args) {
    static_cast<emulator::Stream&>(*ctx.stream)
        .submit([now = ctx, kept = std::tuple<typename Waiting<Args>::Type...>(args...)] {
          Context later = now;
          auto values = kept;
          std::apply([&](auto&... value) { (cpu_kernels().*Entry)(later, value...); }, values);
        });
  };
}

// For a kernel that synchronises with the device itself because the host reads what it wrote.
template <auto Entry, class... Args>
void defer_and_wait(KernelTable& table, void (*KernelTable::*)(Context&, Args...)) {
  table.*Entry = [](Context& ctx, Args... args) {
    static_cast<emulator::Stream&>(*ctx.stream).submit([&] { (cpu_kernels().*Entry)(ctx, args...); });
    gpu::runtime(ctx.device).synchronize(*ctx.stream);
  };
}

inline KernelTable deferred_kernels() {
  KernelTable table = cpu_kernels();
  for_each_kernel([&](auto kernel) {
    if constexpr (kernel.kind == KernelKind::compute) defer<kernel.entry>(table, kernel.entry);
    if constexpr (kernel.kind == KernelKind::waiting) defer_and_wait<kernel.entry>(table, kernel.entry);
  });
  return table;
}

}  // namespace poise::test
