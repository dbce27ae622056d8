// What a Trainer tells and takes besides iterating: reports, its state for checkpoints, images.
#include <algorithm>
#include <cmath>

#include "apps/training/trainer.h"

namespace poise {

bool IterationReport::finite() const {
  return std::isfinite(loss_d) && std::isfinite(loss_g) && std::isfinite(mean_real) && std::isfinite(mean_fake);
}

void Trainer::synchronize() const {
  if (queue_) gpu::runtime(memory_.device).synchronize(*queue_);
}

std::vector<IterationReport> Trainer::reports(int64_t most) const {
  const int64_t count = std::min({most, kReportsKept, iterations_ - first_iteration_});
  int64_t iteration = iterations_ - count;
  std::vector<IterationReport> all;
  for (const LossRow& row : losses_.rows(iteration + 1, iterations_)) {
    all.push_back({++iteration, row.loss_d, row.loss_g, row.mean_real, row.mean_fake});
  }
  return all;
}

std::vector<NamedTensor> Trainer::state() {
  std::vector<NamedTensor> all;
  auto append = [&](const std::string& network, const ParameterSlab& slab) {
    for (const auto& e : slab.entries()) {
      all.push_back({network + "." + e.path, e.value});
      all.push_back({network + ".adam_m." + e.path, e.adam_m});
      all.push_back({network + ".adam_v." + e.path, e.adam_v});
      if (e.ema) all.push_back({network + ".ema." + e.path, e.ema});
    }
    for (const auto& b : slab.buffers()) all.push_back({network + "." + b.path, b.value});
  };
  append("G", slab_g_);
  append("D", slab_d_);
  sparse_.append_state(all);
  all.push_back({"work", work_done_.tensor()});
  return all;
}

StepState Trainer::step_state() const {
  StepState state;
  copy_to_host(&state, step_state_.tensor());
  return state;
}

void Trainer::set_step_state(const StepState& state) {
  copy_from_host(step_state_.tensor(), &state);
  if (feed_) feed_->restart(state);
  iterations_ = first_iteration_ = static_cast<int64_t>(state.step) / (options_.train.n_critic + 1);
  sparse_.restored();
  invalidate();  // what captured steps know of masks is that of another state
}

MinibatchStream::Waits Trainer::data_waits() const { return feed_ ? feed_->waits() : MinibatchStream::Waits{}; }

WorkDone Trainer::work_done() const {
  const double* done = work_done_.tensor().data<double>();
  return {.flops = done[0], .executed_flops = done[1]};
}

std::vector<uint8_t> Trainer::sample(const std::vector<float>& latents, const std::vector<int32_t>& labels,
                                     Weights weights, Mode mode, int64_t batch, Quantisation quantisation) {
  return sample_images(*model_.generator, slab_g_, ctx_,
                       {.latents = latents,
                        .labels = labels,
                        .weights = weights,
                        .mode = mode,
                        .batch = batch,
                        .quantisation = quantisation});
}

std::vector<NamedWeights> Trainer::weights_for_sampling(Weights weights) {
  return poise::weights_for_sampling(*model_.generator, slab_g_, ctx_, weights);
}

}  // namespace poise
