// Implements kernels/gpu/prims.h with CUB. Compiled only by nvcc, because CUB exists only as device code. Every CUB
// function is called first without a workspace, which returns the size, and then with one, which does the work.
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/device/device_select.cuh>

#include "kernels/gpu/cuda/handles.h"
#include "kernels/gpu/prims.h"

namespace poise::cuda {
namespace {

int count_of(const Tensor& x) {
  require(x.elements() <= INT32_MAX, "these primitives count in 32 bits");
  return static_cast<int>(x.elements());
}

// `call(workspace, bytes)` calls CUB, which may need a workspace even if there is no work.
template <class Call>
size_t workspace_of(const Call& call) {
  size_t bytes = 0;
  check(call(nullptr, bytes), "the size of a CUB workspace");
  return bytes == 0 ? 1 : bytes;
}
template <class Call>
void run(const Tensor& workspace, const char* name, const Call& call) {
  auto bytes = static_cast<size_t>(workspace.elements());
  check(call(workspace.bytes, bytes), name);
}

size_t exclusive_scan_workspace(int64_t n) {
  return workspace_of([&](void* w, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(w, bytes, static_cast<const int32_t*>(nullptr), static_cast<int32_t*>(nullptr),
                                         static_cast<int>(n));
  });
}
void exclusive_scan(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& y) {
  run(workspace, "cub::DeviceScan::ExclusiveSum", [&](void* w, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(w, bytes, static_cast<const int32_t*>(x.data<int32_t>()), y.data<int32_t>(),
                                         count_of(x), stream_of(ctx));
  });
}

size_t sort_pairs_workspace(int64_t n) {
  return workspace_of([&](void* w, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(w, bytes, static_cast<const float*>(nullptr), static_cast<float*>(nullptr),
                                           static_cast<const int32_t*>(nullptr), static_cast<int32_t*>(nullptr),
                                           static_cast<int>(n));
  });
}
void sort_pairs(Context& ctx, gpu::Order order, const Tensor& keys, const Tensor& values, Tensor& workspace,
                Tensor& sorted_keys, Tensor& sorted_values) {
  run(workspace, "cub::DeviceRadixSort::SortPairs", [&](void* w, size_t& bytes) {
    const float* key = keys.data<float>();
    const int32_t* value = values.data<int32_t>();
    constexpr int kFirstBit = 0, kEndBit = 32;
    return order == gpu::Order::ascending
               ? cub::DeviceRadixSort::SortPairs(w, bytes, key, sorted_keys.data<float>(), value,
                                                 sorted_values.data<int32_t>(), count_of(keys), kFirstBit, kEndBit,
                                                 stream_of(ctx))
               : cub::DeviceRadixSort::SortPairsDescending(w, bytes, key, sorted_keys.data<float>(), value,
                                                           sorted_values.data<int32_t>(), count_of(keys), kFirstBit,
                                                           kEndBit, stream_of(ctx));
  });
}

template <class T>
size_t sum_workspace(int64_t n) {
  return workspace_of([&](void* w, size_t& bytes) {
    return cub::DeviceReduce::Sum(w, bytes, static_cast<const T*>(nullptr), static_cast<T*>(nullptr),
                                  static_cast<int>(n));
  });
}
size_t reduce_sum_workspace(int64_t n) { return std::max(sum_workspace<float>(n), sum_workspace<int32_t>(n)); }
template <class T>
void sum_of(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& sum) {
  run(workspace, "cub::DeviceReduce::Sum", [&](void* w, size_t& bytes) {
    return cub::DeviceReduce::Sum(w, bytes, static_cast<const T*>(x.data<T>()), sum.data<T>(), count_of(x),
                                  stream_of(ctx));
  });
}
void reduce_sum(Context& ctx, const Tensor& x, Tensor& workspace, Tensor& sum) {
  x.dtype == DType::i32 ? sum_of<int32_t>(ctx, x, workspace, sum) : sum_of<float>(ctx, x, workspace, sum);
}

size_t select_flagged_workspace(int64_t n) {
  return workspace_of([&](void* w, size_t& bytes) {
    return cub::DeviceSelect::Flagged(w, bytes, static_cast<const int32_t*>(nullptr),
                                      static_cast<const uint8_t*>(nullptr), static_cast<int32_t*>(nullptr),
                                      static_cast<int32_t*>(nullptr), static_cast<int>(n));
  });
}
void select_flagged(Context& ctx, const Tensor& x, const Tensor& flags, Tensor& workspace, Tensor& y, Tensor& count) {
  run(workspace, "cub::DeviceSelect::Flagged", [&](void* w, size_t& bytes) {
    return cub::DeviceSelect::Flagged(w, bytes, static_cast<const int32_t*>(x.data<int32_t>()),
                                      static_cast<const uint8_t*>(flags.data<uint8_t>()), y.data<int32_t>(),
                                      count.data<int32_t>(), count_of(x), stream_of(ctx));
  });
}

}  // namespace

const gpu::Prims& prims() {
  static constexpr gpu::Prims table{exclusive_scan_workspace, exclusive_scan, sort_pairs_workspace,     sort_pairs,
                                    reduce_sum_workspace,     reduce_sum,     select_flagged_workspace, select_flagged};
  return table;
}

}  // namespace poise::cuda
