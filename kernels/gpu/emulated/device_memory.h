// Tells the checker which memory kernels may touch. Every allocation of the emulated device is registered here; checked
// kernels then detect accesses outside of it and to freed memory, and reads of uninitialised bytes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace poise::emulator {

enum class Contents : uint8_t {
  inaccessible,  // must not be accessed
  undefined,     // may be written; must not be read before that
  defined,
};

// `bytes` is exactly what the owner requested: the checker reports an access to the first byte behind them.
void register_memory(const void* begin, size_t bytes, Contents contents);
void unregister_memory(const void* begin);

// Sets the state of a part of registered memory; does nothing if the memory is not registered. Checked kernels mark
// what they write as defined; writes by the host need this call (unless the memory is already defined).
void mark_memory(const void* begin, size_t bytes, Contents contents);

}  // namespace poise::emulator
