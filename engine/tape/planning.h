// Finds out what a computation will need by running it without computing anything.
#pragma once
#include <functional>
#include <memory>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"
#include "kernels/table.h"

namespace poise {

// Where the state of a run is stored: on a device or, in a plan, nowhere. Planned state has addresses and sizes only;
// an access by mistake faults at once. A Device converts to a Memory on that device.
struct Memory {
  Device device = Device::cpu;
  bool planned = false;

  Memory(Device d, bool is_planned = false) : device(d), planned(is_planned) {}
  // Where to put the few bytes that are allocated even in a plan: a plan touches no GPU.
  Device of_scalars() const { return planned ? Device::cpu : device; }
};

// One zero-filled allocation or, in a plan, its addresses alone. Error(runtime) if there is not enough memory.
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

// While it lives, code that runs on `ctx` computes nothing: `ctx` has kernels that do nothing, an arena without memory
// and a separate profile. Such code must not read any value; it can check ctx.planning.
class PlanningScope {
 public:
  explicit PlanningScope(Context& ctx);
  ~PlanningScope() { ctx_ = saved_; }
  PlanningScope(const PlanningScope&) = delete;
  PlanningScope& operator=(const PlanningScope&) = delete;

  Profile& profile() { return profile_; }
  size_t arena_bytes() const { return arena_.peak(); }  // of the smallest arena in which the run succeeds

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
