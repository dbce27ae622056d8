// The queue of balance-ratio measurements (kernels/sparse/masks/balance.h has the definition): a window of the newest
// ones on the device, and the summary that the host reads.
#pragma once
#include "engine/io/enum_names.h"
#include "kernels/core/context.h"
#include "kernels/core/memory.h"
#include "kernels/sparse/masks/balance.h"

namespace poise {

enum class BalanceMode : uint8_t {
  mean_of_ratios,  // the paper's
  ratio_of_sums,   // robust: a denominator near zero has little weight
};
template <>
struct EnumNames<BalanceMode> {
  static constexpr NamedValue<BalanceMode> all[] = {{BalanceMode::mean_of_ratios, "mean-of-ratios"},
                                                    {BalanceMode::ratio_of_sums, "ratio-of-sums"}};
};

// A reading that does not exist is NaN.
struct BalanceReadings {
  double latest = 0, mean_of_ratios = 0, ratio_of_sums = 0;
  int64_t entries = 0;
  int64_t unusable = 0;  // entries whose gap between real and fake was not above zero

  double of(BalanceMode mode) const { return mode == BalanceMode::mean_of_ratios ? mean_of_ratios : ratio_of_sums; }
};

class BalanceQueue {
 public:
  BalanceQueue(int64_t capacity, Device device)
      : triples_({capacity, 3}, DType::f64, device),
        pushed_({1}, DType::u64, device),
        summary_({kBalanceSummary}, DType::f64, device) {}

  // Mean logits, [1] each.
  void push(Context& ctx, const Tensor& a_post, const Tensor& a_pre, const Tensor& r);
  BalanceReadings read(Context& ctx) const;  // waits for the device
  int64_t capacity() const { return triples_.tensor().shape[0]; }

  // The whole state of the queue, for checkpoints.
  const Tensor& triples() const { return triples_.tensor(); }
  const Tensor& pushed() const { return pushed_.tensor(); }

 private:
  OwnedTensor triples_, pushed_, summary_;
};

}  // namespace poise
