// Lane values in the register file, and instructions that work lane by lane.
#pragma once
#include <bit>
#include <type_traits>
#include <utility>

#include "tests/ptx/interpreter/machine.h"

namespace poise::ptx {

// An 8- or 16-bit value is stored zero-extended in a 32-bit register.
template <class T>
using Stored = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
inline T get(const Stored<T>* lanes, int lane) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::bit_cast<T>(lanes[lane]);
  } else {
    return static_cast<T>(lanes[lane]);
  }
}

template <class T>
inline Stored<T> stored(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::bit_cast<Stored<T>>(value);
  } else if constexpr (sizeof(T) < 4) {
    return static_cast<std::make_unsigned_t<T>>(value);
  } else {
    return static_cast<Stored<T>>(value);
  }
}

inline bool has(uint32_t lanes, int lane) { return (lanes >> lane & 1) != 0; }

// d = F(a, b, c), lane by lane.
template <bool kEvery, class F, class D, class... S>
void each_lane(Warp& w, const Instruction& i, uint32_t mask) {
  const uint32_t places[4] = {i.a, i.b, i.c, i.e};
  const auto body = [&]<size_t... I>(std::index_sequence<I...>, const Stored<S>*... sources) {
    Stored<D>* to = w.lanes<Stored<D>>(i.d);
#pragma GCC ivdep
    for (int lane = 0; lane < kLanes; ++lane) {
      const Stored<D> value = stored<D>(F{}(get<S>(sources, lane)...));
      to[lane] = kEvery || has(mask, lane) ? value : to[lane];
    }
  };
  [&]<size_t... I>(std::index_sequence<I...> all) { body(all, w.lanes<Stored<S>>(places[I])...); }
  (std::index_sequence_for<S...>{});
}

// p = F(a, b), lane by lane.
template <bool kEvery, class F, class S>
void each_lane_compares(Warp& w, const Instruction& i, uint32_t mask) {
  const Stored<S>*a = w.lanes<Stored<S>>(i.a), *b = w.lanes<Stored<S>>(i.b);
  uint32_t result = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    result |= F{}(get<S>(a, lane), get<S>(b, lane)) ? uint32_t{1} << lane : 0;
  }
  uint32_t& to = w.predicate(i.d);
  to = kEvery ? result : (to & ~mask) | (result & mask);
}

}  // namespace poise::ptx
