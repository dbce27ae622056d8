// Atomics are plain arithmetic here, because nothing interrupts them.
#include <algorithm>

#include "kernels/gpu/emulated/checker.h"

namespace poise::emulator::device {
namespace {

template <class T, class F>
T read_modify_write(T* address, Site site, F f) {
  require_alignment(address, sizeof(T), site);
  scheduler.maybe_preempt();
  if (checker.watching()) checker.access(address, sizeof(T), Access::atomic, site);
  const T old = *address;
  *address = f(old);
  return old;
}

template <class T>
T add(T* address, T value, Site site) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps around
  return read_modify_write(
      address, site, [=](T old) { return static_cast<T>(static_cast<Unsigned>(old) + static_cast<Unsigned>(value)); });
}
template <class T>
T maximum(T* address, T value, Site site) {
  return read_modify_write(address, site, [=](T old) { return std::max(old, value); });
}
template <class T>
T compare_and_swap(T* address, T compare, T value, Site site) {
  return read_modify_write(address, site, [=](T old) { return old == compare ? value : old; });
}

}  // namespace

int atomicAdd(int* address, int value, Site site) { return add(address, value, site); }
unsigned atomicAdd(unsigned* address, unsigned value, Site site) { return add(address, value, site); }
unsigned long long atomicAdd(unsigned long long* address, unsigned long long value, Site site) {
  return add(address, value, site);
}
int atomicMax(int* address, int value, Site site) { return maximum(address, value, site); }
unsigned atomicMax(unsigned* address, unsigned value, Site site) { return maximum(address, value, site); }
unsigned long long atomicMax(unsigned long long* address, unsigned long long value, Site site) {
  return maximum(address, value, site);
}
int atomicCAS(int* address, int compare, int value, Site site) {
  return compare_and_swap(address, compare, value, site);
}
unsigned atomicCAS(unsigned* address, unsigned compare, unsigned value, Site site) {
  return compare_and_swap(address, compare, value, site);
}
unsigned long long atomicCAS(unsigned long long* address, unsigned long long compare, unsigned long long value,
                             Site site) {
  return compare_and_swap(address, compare, value, site);
}

}  // namespace poise::emulator::device
