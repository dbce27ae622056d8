// The memory of one step. Values and gradients are allocated from the bottom, scratch from the top, and workspaces of
// kernels wherever there is room. A repeated step gets the same addresses every time, as a captured graph requires.
// Blocks can be returned early (`recycle`): the backward pass returns every value and gradient after its last use and
// reuses the memory for new gradients, so the peak of a training step is about the peak of its forward pass.
#pragma once
#include <optional>
#include <vector>

#include "kernels/core/memory.h"

namespace poise {

class Arena {
 public:
  // A working arena with `bytes` of memory on the device.
  Arena(size_t bytes, Device device);
  // A planning arena: addresses without memory behind them, of practically unlimited size. A plan runs a whole step
  // against it to learn peak(); an access by mistake faults at once.
  static Arena for_planning(Device device);
  Arena(Arena&&) noexcept;
  ~Arena();

  // Memory that lives until it is recycled or the arena is reset. Contents are undefined (NaN in debug builds).
  // Throws Error(runtime) naming both sizes when the arena is full.
  Tensor alloc(const Shape& shape, DType dtype);
  void recycle(const Tensor& tensor);
  void reset();  // invalidates every tensor of the arena

  // Scratch memory of an op, from the top end; scopes nest.
  class Scratch {
   public:
    Scratch(Arena& arena, size_t bytes);
    Scratch(Arena& arena, const Shape& shape, DType dtype);
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    Tensor& tensor() { return tensor_; }  // u8 [bytes] unless made with a shape
    operator Tensor&() { return tensor_; }

   private:
    Arena& arena_;
    size_t saved_top_;
    Tensor tensor_;
  };

  // Scratch memory for the duration of one kernel call. While it lives, alloc() throws, so it may be placed between
  // tensors without affecting where later ones go.
  class Workspace {
   public:
    Workspace(Arena& arena, size_t bytes);
    ~Workspace();
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    Tensor& tensor() { return tensor_; }  // u8 [bytes]
    operator Tensor&() { return tensor_; }

   private:
    Arena& arena_;
    Tensor tensor_;
    std::optional<Scratch> at_top_;
  };

  Device device() const { return device_; }
  size_t capacity() const { return capacity_; }
  size_t peak() const { return peak_; }  // largest size so far, both ends together, holes included
  size_t in_use() const { return in_use_; }

 private:
  Arena() = default;
  struct Block {
    size_t offset, bytes;
  };

  char* base_ = nullptr;
  Buffer buffer_;
  bool planning_ = false;
  Device device_ = Device::cpu;
  size_t capacity_ = 0, bottom_ = 0, top_ = 0, in_use_ = 0, peak_ = 0;
  uint64_t generation_ = 0;
  bool has_workspace_ = false;
  std::vector<Block> free_;                             // below bottom_, sorted by offset, no two adjacent
  std::vector<Block>::iterator best_fit(size_t bytes);  // end() if there is none
  size_t take(std::vector<Block>::iterator block, size_t bytes);
  void note_peak();
  Tensor view(size_t offset, const Shape& shape, DType dtype) const;
};

}  // namespace poise
