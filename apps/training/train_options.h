// Options of a Trainer, in the groups that users see: [model], [data], [train] and [sparse]. A field has the same name
// as its option everywhere; apps/options/option_table.cpp describes them. Plain data: nothing here throws;
// Trainer::plan() rejects invalid values. Defaults: SNGAN-32 on CIFAR-10 as the paper trains it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "apps/training/data_placement.h"
#include "apps/training/minibatch_reader.h"
#include "apps/training/sparse_options.h"
#include "engine/sparse/gradient_exchange.h"
#include "kernels/dense/loss/loss.h"
#include "kernels/train/adam.h"
#include "kernels/train/diff_augment.h"
#include "models/registry.h"

namespace poise {

class Ranks;  // kernels/ranks/ranks.h

enum class LearningRateDecay : uint8_t { constant, linear };
template <>
struct EnumNames<LearningRateDecay> {
  static constexpr NamedValue<LearningRateDecay> all[] = {{LearningRateDecay::constant, "constant"},
                                                          {LearningRateDecay::linear, "linear"}};
};
template <>
struct EnumNames<GanLoss> {
  static constexpr NamedValue<GanLoss> all[] = {
      {GanLoss::hinge, "hinge"}, {GanLoss::bce, "bce"}, {GanLoss::wasserstein, "wasserstein"}};
};
template <>
struct EnumNames<Device> {
  static constexpr NamedValue<Device> all[] = {{Device::cpu, name_of(Device::cpu)},
                                               {Device::cuda, name_of(Device::cuda)},
                                               {Device::emulated, name_of(Device::emulated)}};
};
template <>
struct EnumNames<Precision> {
  static constexpr NamedValue<Precision> all[] = {{Precision::fp32, name_of(Precision::fp32)},
                                                  {Precision::tf32, name_of(Precision::tf32)},
                                                  {Precision::bf16, name_of(Precision::bf16)}};
};

// Parses "none" or a subset of "color,translation,cutout"; returns nothing for any other text.
std::optional<DiffAugmentOptions> diff_augment_of(const std::string& text);
std::string to_string(const DiffAugmentOptions& policies);

struct DataOptions {
  std::string dataset = "cifar10", split = "auto", data = "sample";
  std::string only_classes = "all";
  int64_t image_size = 0;  // 0: the model's
  bool data_cache = true;
  DataPlacement data_placement = DataPlacement::automatic;
  bool flip = true;
};

struct TrainOptions {
  int64_t iterations = 100000, batch_size_d = 64, batch_size_g = 128, n_critic = 5;
  GanLoss loss = GanLoss::hinge;
  double learning_rate_g = 2e-4, learning_rate_d = 2e-4;
  LearningRateDecay learning_rate_decay = LearningRateDecay::constant;
  // In iterations. Both learning rates fall linearly to 0 in between. decay_end 0: see decay_ends().
  int64_t decay_start = 0, decay_end = 0;
  double adam_beta1 = 0.0, adam_beta2 = 0.9, adam_eps = 1e-8, ema_decay = 0.999;
  int64_t ema_start = 0;         // for this many iterations the moving average is a copy
  int64_t accumulate = 1;        // micro-batches per step
  bool sync_batch_norm = false;  // batch statistics over the micro-batches of all ranks
  ExchangePrecision exchange_precision = ExchangePrecision::fp32;
  int64_t rank_timeout = 120;  // seconds
  DiffAugmentOptions diff_augment;
  int64_t seed = 1, threads = 0;
  std::optional<Device> device;        // empty: depends on the machine (device_choice.h)
  std::optional<Precision> precision;  // empty: depends on the device
  bool graph = true;                   // replay captured steps; no effect on the CPU

  // The iteration at which the learning rates reach 0; 0 if they are constant.
  int64_t decay_ends() const;
  // Adam's options for one network; schedules count its updates.
  AdamOptions adam(Network network) const;
};

struct TrainerOptions {
  ModelOptions model;
  DataOptions data;
  TrainOptions train;
  SparseOptions sparse;

  // `sparse` with schedule_iterations filled in.
  SparseOptions scheduled_sparse() const;

  Ranks* ranks = nullptr;  // the processes that train together; null: a single process

  // For tests.
  const KernelTable* kernels = nullptr;       // instead of the device's own
  MinibatchReader::BeforeBatch before_batch;  // for streamed data
};

}  // namespace poise
