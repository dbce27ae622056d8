// A callable of fixed size: the backward closure of an op, stored inside the tape's node, so that recording an op
// allocates nothing. Captures are plain data (tensors, shapes, numbers).
#pragma once
#include <cstddef>
#include <new>
#include <type_traits>

namespace poise {

class Grads;

class BackwardFunction {
 public:
  static constexpr size_t kCapacity = 640;  // large enough for debug builds, where tensors are larger

  BackwardFunction() = default;
  template <class F>
  requires(!std::is_same_v<std::decay_t<F>, BackwardFunction>)
      BackwardFunction(F f) {  // NOLINT: an op writes its lambda where a BackwardFunction is wanted
    static_assert(sizeof(F) <= kCapacity, "a backward closure captures too much");
    static_assert(std::is_trivially_copyable_v<F>, "a backward closure captures only plain data");
    new (storage_) F(f);
    call_ = [](void* storage, Grads& g) { (*std::launder(static_cast<F*>(storage)))(g); };
  }
  void operator()(Grads& g) { call_(storage_, g); }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  alignas(std::max_align_t) std::byte storage_[kCapacity];
  void (*call_)(void*, Grads&) = nullptr;
};

}  // namespace poise
