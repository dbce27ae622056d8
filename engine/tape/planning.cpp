#include "engine/tape/planning.h"

#include "kernels/table.h"

namespace poise {

size_t arena_bytes_of(const Context& ctx, const std::function<void(Context&)>& f) {
  const KernelTable nothing = planning_kernels(*ctx.kernels);
  Arena arena = Arena::for_planning(ctx.device);
  Context planning = ctx;
  planning.kernels = &nothing;
  planning.arena = &arena;
  planning.profile = nullptr;
  planning.planning = true;
  f(planning);
  return arena.peak();
}

}  // namespace poise
