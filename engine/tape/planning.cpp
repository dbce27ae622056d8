#include "engine/tape/planning.h"

namespace poise {

MemoryBlock::MemoryBlock(size_t bytes, Memory memory) {
  if (memory.planned) {
    addresses_ = std::make_unique<Arena>(Arena::for_planning(memory.device));
    bytes_ = static_cast<char*>(addresses_->alloc({static_cast<int64_t>(bytes)}, DType::u8).bytes);
  } else {
    buffer_ = Buffer(bytes, memory.device);
    bytes_ = static_cast<char*>(buffer_.bytes());
  }
}

PlanningScope::PlanningScope(Context& ctx)
    : ctx_(ctx), saved_(ctx), nothing_(planning_kernels(*ctx.kernels)), arena_(Arena::for_planning(ctx.device)) {
  ctx.kernels = &nothing_;
  ctx.arena = &arena_;
  ctx.profile = &profile_;
  ctx.planning = true;
}

size_t arena_bytes_of(const Context& ctx, const std::function<void(Context&)>& f) {
  Context copy = ctx;
  PlanningScope planning(copy);
  copy.profile = nullptr;
  f(copy);
  return planning.arena_bytes();
}

}  // namespace poise
