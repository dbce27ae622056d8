// The numbers that the steps of an iteration leave on the device, and those of the last iterations, kept there until
// they are read (kernels/train/loss_ring.h). Error(runtime) if the device has no memory left or failed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"

namespace poise {

class Ranks;  // kernels/ranks/ranks.h

// What one iteration left, in the order in which the ring's rows have it: of the D steps, means; then of the G step.
struct LossRow {
  float loss_d = 0, mean_real = 0, mean_fake = 0, loss_g = 0;
};

class Losses {
 public:
  static constexpr int64_t kRows = 1024;

  explicit Losses(Device device)
      : now_({kColumns + kColumnsOfD}, DType::f32, device), ring_({kRows, kColumns}, DType::f32, device) {}

  // Where the steps write.
  Tensor loss_d() const { return column(offsetof(LossRow, loss_d), 1); }
  Tensor means_d() const { return column(offsetof(LossRow, mean_real), 2); }  // [2]: real, fake
  Tensor loss_g() const { return column(offsetof(LossRow, loss_g), 1); }

  void add_d_step(Context& ctx);  // after each D step
  // After the G step. Means over the ranks, unless null.
  void end_iteration(Context& ctx, int64_t n_critic, Ranks* ranks);

  // Of iterations first .. last, counted from 1. Waits for the device.
  std::vector<LossRow> rows(int64_t first, int64_t last) const;

 private:
  static constexpr int64_t kColumns = sizeof(LossRow) / sizeof(float);
  static constexpr int64_t kColumnsOfD = offsetof(LossRow, loss_g) / sizeof(float);
  Tensor column(size_t offset, int64_t count) const {
    return now_.tensor().slice(static_cast<int64_t>(offset / sizeof(float)), count);
  }
  Tensor sums() const { return now_.tensor().slice(kColumns, kColumnsOfD); }

  OwnedTensor now_;  // the numbers of the last steps, as a row has them, and the sums over the D steps
  OwnedTensor ring_;
};

}  // namespace poise
