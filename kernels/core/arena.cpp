#include "kernels/core/arena.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

namespace poise {
namespace {
constexpr size_t kPlanningBytes = size_t{1} << 40;
// Addresses that no process can use: x86-64 and AArch64 do not support them or leave them to the OS kernel. So a plan
// reserves no memory (which ulimit -v and containers would count), and any access to it faults.
constexpr uintptr_t kPlanningBase = 0x00f0'0000'0000'0000, kPlanningArenas = 4096;
}  // namespace

Arena::Arena(size_t bytes, Device device) : buffer_(bytes, device), device_(device), capacity_(bytes), top_(bytes) {
  base_ = static_cast<char*>(buffer_.bytes());
  free_.reserve(256);
}

Arena Arena::for_planning(Device device) {
  Arena arena;
  static std::atomic<uintptr_t> made{0};
  arena.base_ = reinterpret_cast<char*>(kPlanningBase + made++ % kPlanningArenas * kPlanningBytes);
  arena.planning_ = true;
  arena.device_ = device;
  arena.capacity_ = arena.top_ = kPlanningBytes;
  return arena;
}

Arena::Arena(Arena&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      buffer_(std::move(other.buffer_)),
      planning_(std::exchange(other.planning_, false)),
      device_(other.device_),
      capacity_(other.capacity_),
      bottom_(other.bottom_),
      top_(other.top_),
      in_use_(other.in_use_),
      peak_(other.peak_),
      free_(std::move(other.free_)) {}

Arena::~Arena() = default;

Tensor Arena::view(size_t offset, const Shape& shape, DType dtype) const {
  Tensor t{.bytes = base_ + offset, .shape = shape, .dtype = dtype, .device = device_};
#ifndef NDEBUG
  t.arena_generation = &generation_;
  t.born = generation_;
  if (!planning_ && device_ != Device::cuda) std::memset(t.bytes, 0xff, t.size_bytes());  // NaN as f32 and f64
#endif
  return t;
}

void Arena::note_peak() { peak_ = std::max(peak_, bottom_ + (capacity_ - top_)); }

// The smallest recycled block that is large enough; among equals, the one at the lowest address.
std::vector<Arena::Block>::iterator Arena::best_fit(size_t bytes) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->bytes >= bytes && (best == free_.end() || it->bytes < best->bytes)) best = it;
  }
  return best;
}

size_t Arena::take(std::vector<Block>::iterator block, size_t bytes) {
  const size_t offset = block->offset;
  block->offset += bytes;
  block->bytes -= bytes;
  if (block->bytes == 0) free_.erase(block);
  return offset;
}

Tensor Arena::alloc(const Shape& shape, DType dtype) {
  require(!has_workspace_, "nothing can be allocated while a kernel uses its workspace");
  const size_t bytes = align_up(std::max<size_t>(1, static_cast<size_t>(shape.elements()) * size_of(dtype)));
  size_t offset;
  if (const auto block = best_fit(bytes); block != free_.end()) {
    offset = take(block, bytes);
  } else {
    offset = bottom_;
    if (bottom_ + bytes > top_) {
      fail(ErrorKind::runtime, "the step's arena is full: " + shape.to_string() + " " + name_of(dtype) + " needs " +
                                   std::to_string(bytes) + " bytes, " + std::to_string(top_ - bottom_) + " of " +
                                   std::to_string(capacity_) + " are left");
    }
    bottom_ += bytes;
    note_peak();
  }
  in_use_ += bytes;
  return view(offset, shape, dtype);
}

void Arena::recycle(const Tensor& tensor) {
  const size_t bytes = align_up(std::max<size_t>(1, tensor.size_bytes()));
  const size_t offset = static_cast<size_t>(static_cast<char*>(tensor.bytes) - base_);
  require(offset + bytes <= bottom_, "a recycled tensor comes from this arena");
  in_use_ -= bytes;
  auto next = std::lower_bound(free_.begin(), free_.end(), offset,
                               [](const Block& block, size_t value) { return block.offset < value; });
  require((next == free_.end() || offset + bytes <= next->offset) &&
              (next == free_.begin() || std::prev(next)->offset + std::prev(next)->bytes <= offset),
          "a tensor is recycled at most once");
  auto block = free_.insert(next, Block{offset, bytes});
  if (auto after = std::next(block); after != free_.end() && block->offset + block->bytes == after->offset) {
    block->bytes += after->bytes;
    block = std::prev(free_.erase(after));
  }
  if (block != free_.begin()) {
    auto before = std::prev(block);
    if (before->offset + before->bytes == block->offset) {
      before->bytes += block->bytes;
      block = std::prev(free_.erase(block));
    }
  }
  if (block->offset + block->bytes == bottom_) {  // the last block: lower the bottom end
    bottom_ = block->offset;
    free_.erase(block);
  }
}

void Arena::reset() {
  bottom_ = 0;
  top_ = capacity_;
  in_use_ = 0;
  free_.clear();
  ++generation_;
}

Arena::Scratch::Scratch(Arena& arena, size_t bytes) : arena_(arena), saved_top_(arena.top_) {
  const size_t rounded = align_up(bytes);
  if (arena.bottom_ + rounded > arena.top_) {
    fail(ErrorKind::runtime, "the step's arena is full: a kernel needs " + std::to_string(bytes) +
                                 " bytes of scratch, " + std::to_string(arena.top_ - arena.bottom_) + " of " +
                                 std::to_string(arena.capacity_) + " are left");
  }
  arena.top_ = (arena.top_ - rounded) / kAlignment * kAlignment;
  arena.note_peak();
  tensor_ = arena.view(arena.top_, Shape{static_cast<int64_t>(bytes)}, DType::u8);
}

Arena::Scratch::Scratch(Arena& arena, const Shape& shape, DType dtype)
    : Scratch(arena, static_cast<size_t>(shape.elements()) * size_of(dtype)) {
  tensor_.shape = shape;
  tensor_.dtype = dtype;
}

Arena::Scratch::~Scratch() { arena_.top_ = saved_top_; }

Arena::Workspace::Workspace(Arena& arena, size_t bytes) : arena_(arena) {
  require(!arena.has_workspace_, "a kernel may have only one workspace");
  const Shape shape{static_cast<int64_t>(bytes)};
  const size_t rounded = align_up(std::max<size_t>(1, bytes));
  if (const auto block = arena.best_fit(rounded); block != arena.free_.end()) {
    tensor_ = arena.view(arena.take(block, rounded), shape, DType::u8);
    arena.in_use_ += rounded;
  } else {
    tensor_ = at_top_.emplace(arena, bytes);
  }
  arena.has_workspace_ = true;
}

Arena::Workspace::~Workspace() {
  arena_.has_workspace_ = false;
  if (!at_top_) arena_.recycle(tensor_);
}

}  // namespace poise
