// Losses and mean logits on the device: those of the current iteration, and a ring with those of the last iterations,
// kept until they are read (kernels/train/loss_ring.h). Error(runtime) if the device is out of memory or failed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"

namespace poise {

class Ranks;  // kernels/ranks/ranks.h

// One row of the ring: means over the D steps of an iteration, then the loss of its G step.
struct LossRow {
  float loss_d = 0, mean_real = 0, mean_fake = 0, loss_g = 0;
};

class Losses {
 public:
  static constexpr int64_t kRows = 1024;

  explicit Losses(Device device)
      : now_({kColumns + kColumnsOfD}, DType::f32, device), ring_({kRows, kColumns}, DType::f32, device) {}

  // Where the steps write their results.
  Tensor loss_d() const { return column(offsetof(LossRow, loss_d), 1); }
  Tensor means_d() const { return column(offsetof(LossRow, mean_real), 2); }  // [2]: real, fake
  Tensor loss_g() const { return column(offsetof(LossRow, loss_g), 1); }

  void add_d_step(Context& ctx);  // call this after each D step
  // Call this after the G step. Records means over the ranks, unless null.
  void end_iteration(Context& ctx, int64_t n_critic, Ranks* ranks);

  // The rows of iterations first .. last, counted from 1. Waits for the device.
  std::vector<LossRow> rows(int64_t first, int64_t last) const;

 private:
  static constexpr int64_t kColumns = sizeof(LossRow) / sizeof(float);
  static constexpr int64_t kColumnsOfD = offsetof(LossRow, loss_g) / sizeof(float);
  Tensor column(size_t offset, int64_t count) const {
    return now_.tensor().slice(static_cast<int64_t>(offset / sizeof(float)), count);
  }
  Tensor sums() const { return now_.tensor().slice(kColumns, kColumnsOfD); }

  OwnedTensor now_;  // the results of the last steps, laid out like a row, then the sums over the D steps
  OwnedTensor ring_;
};

}  // namespace poise
