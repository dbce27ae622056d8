// Bump allocator over a kernel's workspace. With a null base it only measures: a planner carves the same arrays as the
// kernel, to learn how many bytes are needed.
#pragma once
#include "kernels/core/memory.h"

namespace poise {

class WorkspaceLayout {
 public:
  explicit WorkspaceLayout(void* base) : base_(static_cast<char*>(base)) {}
  // The next `count` elements, aligned to 64 bytes. With a null base the address is meaningless.
  template <class T>
  T* carve(size_t count) {
    T* array = reinterpret_cast<T*>(base_ + bytes_);
    bytes_ += align_up(count * sizeof(T));
    return array;
  }
  size_t bytes() const { return bytes_; }

 private:
  char* base_;
  size_t bytes_ = 0;
};

}  // namespace poise
