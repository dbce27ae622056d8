// What a computation will need, found by running it without computing.
#pragma once
#include <functional>
#include <memory>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"
#include "kernels/table.h"

namespace poise {

// Where the state of a run lies: on a device or, in a plan, nowhere. Planned state has addresses and sizes; whatever
// touches it by mistake faults at once. A device is taken for itself.
struct Memory {
  Device device = Device::cpu;
  bool planned = false;

  Memory(Device d, bool is_planned = false) : device(d), planned(is_planned) {}
  // Of the few bytes that a plan has as well: it touches no GPU.
  Device of_scalars() const { return planned ? Device::cpu : device; }
};

// One allocation, zero-filled; or its addresses alone. Error(runtime) if there is not so much.
class MemoryBlock {
 public:
  MemoryBlock() = default;
  MemoryBlock(size_t bytes, Memory memory);
  char* bytes() const { return bytes_; }

 private:
  Buffer buffer_;
  std::unique_ptr<Arena> addresses_;
  char* bytes_ = nullptr;
};

// While it lives, what runs on `ctx` computes nothing: kernels that do nothing, an arena without memory, a profile of
// its own. It must read no value (ctx.planning says so).
class PlanningScope {
 public:
  explicit PlanningScope(Context& ctx);
  ~PlanningScope() { ctx_ = saved_; }
  PlanningScope(const PlanningScope&) = delete;
  PlanningScope& operator=(const PlanningScope&) = delete;

  Profile& profile() { return profile_; }
  size_t arena_bytes() const { return arena_.peak(); }  // of the smallest arena in which it succeeds

 private:
  Context& ctx_;
  const Context saved_;
  const KernelTable nothing_;
  Arena arena_;
  Profile profile_;
};

// Bytes of the smallest arena in which f(ctx) succeeds. f runs once, in a PlanningScope. Throws what f throws.
size_t arena_bytes_of(const Context& ctx, const std::function<void(Context&)>& f);

}  // namespace poise
