#include "apps/training/losses.h"

#include "kernels/ranks/ranks.h"
#include "kernels/table.h"

namespace poise {

void Losses::add_d_step(Context& ctx) {
  const Tensor last = column(0, kColumnsOfD);
  Tensor of_iteration = sums();
  ctx.kernels->add(ctx, of_iteration, last, of_iteration);
}

void Losses::end_iteration(Context& ctx, int64_t n_critic, Ranks* ranks) {
  if (ranks) {
    Arena::Scratch scratch(*ctx.arena, ranks->mean_scratch(now_.tensor()));
    ranks->mean(ctx, now_.tensor(), scratch);
  }
  Tensor of_iteration = sums(), ring = ring_.tensor();
  ctx.kernels->record_losses(ctx, n_critic, loss_g(), of_iteration, ring);
}

std::vector<LossRow> Losses::rows(int64_t first, int64_t last) const {
  std::vector<LossRow> ring(kRows), rows;
  copy_to_host(ring.data(), ring_.tensor());
  for (int64_t t = first; t <= last; ++t) rows.push_back(ring[static_cast<size_t>((t - 1) % kRows)]);
  return rows;
}

}  // namespace poise
