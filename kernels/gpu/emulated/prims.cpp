#include "kernels/gpu/prims.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/gpu/emulated/stream.h"

namespace poise::emulated {
namespace {

// No workspace is needed. One byte is required so that a missing workspace is found here and not only on a GPU.
size_t one_byte(int64_t) { return 1; }

template <class F>
void submit(Context& ctx, const Tensor& workspace, const F& work) {
  require(workspace.elements() > 0, "the call needs a workspace");
  static_cast<emulator::Stream&>(*ctx.stream).submit(work);
}

void exclusive_scan(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& y) {
  const auto* in = x.data<int32_t>();
  auto* out = y.data<int32_t>();
  submit(ctx, workspace, [in, out, n = x.elements()] { std::exclusive_scan(in, in + n, out, 0); });
}

void sort_pairs(Context& ctx, gpu::Order order, const Tensor& keys, const Tensor& values, Tensor& workspace,
                Tensor& sorted_keys, Tensor& sorted_values) {
  const auto* key = keys.data<float>();
  const auto* value = values.data<int32_t>();
  auto* key_out = sorted_keys.data<float>();
  auto* value_out = sorted_values.data<int32_t>();
  submit(ctx, workspace, [=, n = static_cast<size_t>(keys.elements())] {
    std::vector<size_t> ranking(n);
    std::iota(ranking.begin(), ranking.end(), size_t{0});
    std::stable_sort(ranking.begin(), ranking.end(), [=](size_t a, size_t b) {
      return order == gpu::Order::ascending ? key[a] < key[b] : key[a] > key[b];
    });
    for (size_t i = 0; i < n; ++i) {
      key_out[i] = key[ranking[i]];
      value_out[i] = value[ranking[i]];
    }
  });
}

template <class T>
void reduce(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& sum) {
  const T* in = x.data<T>();
  T* out = sum.data<T>();
  submit(ctx, workspace, [in, out, n = x.elements()] { *out = std::accumulate(in, in + n, T{0}); });
}
void reduce_sum(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& sum) {
  x.dtype == DType::i32 ? reduce<int32_t>(ctx, x, workspace, sum) : reduce<float>(ctx, x, workspace, sum);
}

void select_flagged(Context& ctx, const Tensor& x, const Tensor& flags, Tensor& workspace, Tensor& y, Tensor& count) {
  const auto* in = x.data<int32_t>();
  const auto* flag = flags.data<uint8_t>();
  auto* out = y.data<int32_t>();
  auto* kept = count.data<int32_t>();
  submit(ctx, workspace, [=, n = x.elements()] {
    int32_t found = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (flag[i] != 0) out[found++] = in[i];
    }
    *kept = found;
  });
}

}  // namespace

const gpu::Prims& prims() {
  static constexpr gpu::Prims table{.exclusive_scan_workspace = one_byte,
                                    .exclusive_scan = exclusive_scan,
                                    .sort_pairs_workspace = one_byte,
                                    .sort_pairs = sort_pairs,
                                    .reduce_sum_workspace = one_byte,
                                    .reduce_sum = reduce_sum,
                                    .select_flagged_workspace = one_byte,
                                    .select_flagged = select_flagged};
  return table;
}

}  // namespace poise::emulated
