#include "kernels/train/loss_ring.h"

namespace poise::cpu {

void record_losses(Context& ctx, int64_t n_critic, const Tensor& loss_g, Tensor& sums, Tensor& ring) {
  const auto t = static_cast<int64_t>(ctx.step->clocks[static_cast<size_t>(Network::generator)].t);
  float* row = ring.slice((t - 1) % ring.shape[0], 1).data<float>();
  float* sum = sums.data<float>();
  for (int64_t i = 0; i < 3; ++i) {
    row[i] = sum[i] / static_cast<float>(n_critic);
    sum[i] = 0;
  }
  row[3] = *loss_g.data<float>();
}

}  // namespace poise::cpu
