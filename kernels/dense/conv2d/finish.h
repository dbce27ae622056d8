// What the inner loops of a convolution on the CPU do with a result on its way to memory, which saves a separate pass
// over the results. This file includes nothing with code in it, and each of its includers compiles its own copy of what
// is here, for the reason given in kernels/sparse/block/block_tiles_body.h.
#pragma once
#include <cstdint>

namespace poise::cpu {

enum class Finish : uint8_t {
  store,
  relu,  // max(0, result)
  add,   // result + the value in memory
  mask,  // the result where the value in memory is positive, else zero
};

// V: float or a vector of floats. NaN stays NaN. `there` is the value in memory.
template <Finish kFinish, class V>
[[gnu::always_inline]] static inline V finished(V result, const V& there) {
  if constexpr (kFinish == Finish::relu) return result > V{} ? result : 0.0f * result;
  if constexpr (kFinish == Finish::add) return result + there;
  if constexpr (kFinish == Finish::mask) return there > V{} ? result : 0.0f * result;
  return result;
}

// f.template operator()<kFinish>()
template <class F>
[[gnu::always_inline]] static inline void dispatch_finish(Finish finish, const F& f) {
  switch (finish) {
    case Finish::store:
      return f.template operator()<Finish::store>();
    case Finish::relu:
      return f.template operator()<Finish::relu>();
    case Finish::add:
      return f.template operator()<Finish::add>();
    case Finish::mask:
      return f.template operator()<Finish::mask>();
  }
}

}  // namespace poise::cpu
