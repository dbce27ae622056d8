// A kernel's workspace, cut into pieces. A planner walks the same cuts without memory, to learn how much there must be.
#pragma once
#include "kernels/core/memory.h"

namespace poise {

class Pieces {
 public:
  explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(size_t count) {
    T* piece = reinterpret_cast<T*>(base_ + used_);
    used_ += align_up(count * sizeof(T));
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

}  // namespace poise
