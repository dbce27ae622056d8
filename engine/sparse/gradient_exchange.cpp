#include "engine/sparse/gradient_exchange.h"

#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

// With the arguments that Tape::launch passes to a kernel.
void take_mean_over_ranks(Context& ctx, Ranks& ranks, const Tensor& x, Tensor& scratch) { ranks.mean(ctx, x, scratch); }

Work exchange_of(const Tensor& x) {
  return {.op = "average_gradients", .pass = Pass::update, .bytes = static_cast<double>(x.size_bytes())};
}

}  // namespace

GradientExchange::GradientExchange(Ranks& ranks, ParameterSlab& slab, const NetworkMasks* masks, Memory memory)
    : ranks_(ranks),
      slab_(slab),
      masks_(masks),
      planned_(memory.planned),
      run_(masks ? run_of(masks->bytes(), slab.value) : 1),
      list_bytes_(masks ? static_cast<size_t>(masks->bytes().elements()) * sizeof(int32_t) : 0) {
  if (masks) list_ = MemoryBlock(list_bytes_, memory);
}

void GradientExchange::follow_masks(bool everything) {
  if (masks_ && masks_->version() != version_) list_alive();
  runs_ = everything ? Tensor{} : alive_runs_;
}

void GradientExchange::list_alive() {
  const Tensor& bytes = masks_->bytes();
  std::vector<uint8_t> alive(bytes.size_bytes());
  copy_to_host(alive.data(), bytes);
  std::vector<int32_t> runs;
  for (const ParameterSlab::Entry& entry : slab_.entries()) {  // not the padding between them
    const int64_t first = (static_cast<char*>(entry.value.bytes) - static_cast<char*>(slab_.value.bytes)) /
                          static_cast<int64_t>(size_of(slab_.value.dtype));
    for (int64_t at = first; at < first + entry.value.elements(); at += run_) {
      if (alive[static_cast<size_t>(at / run_)]) runs.push_back(static_cast<int32_t>(at / run_));
    }
  }
  alive_runs_ = {.bytes = list_.bytes(),
                 .shape = {static_cast<int64_t>(runs.size())},
                 .dtype = DType::i32,
                 .device = bytes.device};
  copy_from_host(alive_runs_, runs.data());
  version_ = masks_->version();
}

size_t GradientExchange::bytes() const {
  return runs_ ? static_cast<size_t>(runs_.elements() * run_) * size_of(slab_.grad.dtype) : all_bytes();
}

void GradientExchange::average(Tape& tape) {
  if (runs_) return average_packed(tape);
  // A plan does not know how much will be alive: at most everything, in a copy.
  const Tensor copy = planned_ && masks_ ? tape.alloc(slab_.grad.shape, slab_.grad.dtype) : Tensor{};
  {
    Arena::Scratch scratch(*tape.ctx.arena, ranks_.mean_scratch(slab_.grad));
    tape.launch(exchange_of(slab_.grad), &take_mean_over_ranks, ranks_, slab_.grad, scratch);
  }
  if (copy) tape.ctx.arena->recycle(copy);
}

void GradientExchange::average_packed(Tape& tape) {
  const KernelTable& k = *tape.ctx.kernels;
  Tensor packed = tape.alloc({runs_.elements() * run_}, slab_.grad.dtype);
  tape.launch({.op = "pack_gradients", .pass = Pass::update}, k.pack_runs, run_, runs_, slab_.grad, packed);
  {
    Arena::Scratch scratch(*tape.ctx.arena, ranks_.mean_scratch(packed));
    tape.launch(exchange_of(packed), &take_mean_over_ranks, ranks_, packed, scratch);
  }
  tape.launch({.op = "unpack_gradients", .pass = Pass::update}, k.unpack_runs, run_, runs_, packed, slab_.grad);
  tape.ctx.arena->recycle(packed);
}

}  // namespace poise
