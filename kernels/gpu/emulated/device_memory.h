// Which memory kernels may touch, for the checker. Every allocation of the emulated device is registered here;
// checked kernels then find accesses outside of it, of freed memory, and reads of uninitialised bytes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace poise::emulator {

enum class Contents : uint8_t {
  inaccessible,  // may not be touched
  undefined,     // may be written; reading it before is an error
  defined,
};

// `bytes` exactly as many as the owner asked for: the checker reports the first byte behind them.
void register_memory(const void* begin, size_t bytes, Contents contents);
void unregister_memory(const void* begin);

// Says what a part of registered memory is now; nothing happens where memory is not registered. Checked kernels mark
// what they write as defined; writes of the host need this (unless the memory is defined anyhow).
void mark_memory(const void* begin, size_t bytes, Contents contents);

}  // namespace poise::emulator
