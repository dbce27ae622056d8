// The parts of Trainer besides iterating: reports, its state for checkpoints, images.
#include <algorithm>
#include <cmath>

#include "apps/training/trainer.h"
#include "kernels/core/hash.h"
#include "kernels/ranks/ranks.h"

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
  invalidate();  // captured steps hold the masks of another state
}

// Each rank has its own running statistics (unless they are synchronised) and its own choice of execution paths.
void Trainer::check_ranks_agree() {
  if (!options_.ranks) return;
  Ranks& ranks = *options_.ranks;
  const auto own = [&](const std::string& name) {
    return name.ends_with(".execution") || (!options_.train.sync_batch_norm && name.find(".running_") != name.npos);
  };
  std::vector<std::string> names;
  std::vector<uint64_t> hashes;
  std::vector<char> bytes;
  for (const NamedTensor& t : state()) {
    if (own(t.name)) continue;
    bytes.resize(t.tensor.size_bytes());
    copy_to_host(bytes.data(), t.tensor);
    names.push_back(t.name);
    hashes.push_back(hash_of_bytes(bytes.data(), bytes.size()));
  }
  const StepState step = step_state();
  names.push_back("the step state");
  hashes.push_back(hash_of_bytes(&step, sizeof step));
  const std::vector<std::string> all =
      ranks.gather_texts({reinterpret_cast<const char*>(hashes.data()), hashes.size() * sizeof(uint64_t)});
  for (int r = 1; r < ranks.size(); ++r) {
    const std::string &first = all[0], &other = all[static_cast<size_t>(r)];
    require(first.size() == other.size(), "all ranks have as many tensors");
    for (size_t i = 0; i < names.size(); ++i) {
      if (first.compare(i * sizeof(uint64_t), sizeof(uint64_t), other, i * sizeof(uint64_t), sizeof(uint64_t)) == 0)
        continue;
      fail(ErrorKind::ranks,
           "iteration " + std::to_string(iterations_) + ": " + names[i] + " differs between " + ranks.name_of(0) +
               " and " + ranks.name_of(r) +
               "; all ranks must compute identical results: use machines of one kind, with the same build");
    }
  }
}

void Trainer::take_state_of_first_rank() {
  if (!options_.ranks) return;
  std::vector<char> bytes;
  for (const NamedTensor& t : state()) {
    bytes.resize(t.tensor.size_bytes());
    copy_to_host(bytes.data(), t.tensor);
    options_.ranks->broadcast(bytes.data(), bytes.size());
    copy_from_host(t.tensor, bytes.data());
  }
  StepState step = step_state();
  options_.ranks->broadcast(&step, sizeof step);
  set_step_state(step);
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
