// Atomics are plain arithmetic here: nothing interrupts them.
#include <algorithm>

#include "kernels/gpu/emulated/device.h"

namespace poise::emulator::device {
namespace {

template <class T, class F>
T read_modify_write(T* address, F f) {
  check_alignment(address, sizeof(T));
  const T old = *address;
  *address = f(old);
  return old;
}

template <class T>
T add(T* address, T value) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps around
  return read_modify_write(
      address, [=](T old) { return static_cast<T>(static_cast<Unsigned>(old) + static_cast<Unsigned>(value)); });
}
template <class T>
T maximum(T* address, T value) {
  return read_modify_write(address, [=](T old) { return std::max(old, value); });
}
template <class T>
T compare_and_swap(T* address, T compare, T value) {
  return read_modify_write(address, [=](T old) { return old == compare ? value : old; });
}

}  // namespace

int atomicAdd(int* address, int value) { return add(address, value); }
unsigned atomicAdd(unsigned* address, unsigned value) { return add(address, value); }
unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) { return add(address, value); }
int atomicMax(int* address, int value) { return maximum(address, value); }
unsigned atomicMax(unsigned* address, unsigned value) { return maximum(address, value); }
unsigned long long atomicMax(unsigned long long* address, unsigned long long value) { return maximum(address, value); }
int atomicCAS(int* address, int compare, int value) { return compare_and_swap(address, compare, value); }
unsigned atomicCAS(unsigned* address, unsigned compare, unsigned value) {
  return compare_and_swap(address, compare, value);
}
unsigned long long atomicCAS(unsigned long long* address, unsigned long long compare, unsigned long long value) {
  return compare_and_swap(address, compare, value);
}

}  // namespace poise::emulator::device
