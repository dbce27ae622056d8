// One convolution under a random mask, with everything needed to run any of its passes on any path and device.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "bench/stopwatch.h"
#include "engine/sparse/cell.h"
#include "engine/sparse/layer_execution.h"
#include "kernels/table.h"

namespace poise {

// Where a layer runs, with what arithmetic and kernels, and the stopwatch that times it.
struct BenchDevice {
  explicit BenchDevice(Device d = Device::cpu, Precision p = Precision::fp32)
      : device(d), precision(p), stopwatch(d), kernels(kernels_of(d)) {}
  Device device;
  Precision precision;
  Stopwatch stopwatch;
  const KernelTable& kernels;
  // The paths for such cells on this device, dense first.
  std::vector<Execution> paths(const Cell& cell) const;
};

class BenchLayer {
 public:
  // A mask of `cell` whose density is exact in cells. Operands are uniform random numbers; dead weights are zero.
  BenchLayer(BenchDevice& device, const Conv2dGeometry& geometry, const Cell& cell, double density, uint64_t seed);

  double run(Pass pass, Execution path);  // seconds
  double executed_macs(Pass pass, Execution path) const;

 private:
  // The memory of a BlockIndex.
  struct Lists {
    OwnedTensor row_offsets, col_of_block, in_offsets, out_of_block;
  };
  BlockIndex list_blocks(int64_t block, const Tensor& mask, Lists& lists);
  Conv2dPlan plan(Pass pass, Execution path) const;
  void launch(Pass pass, Execution path);
  const BlockIndex& index_of(Execution path) const { return path == Execution::block ? index_ : cusparse_index_; }

  BenchDevice& on_;
  // The layer as dense and block-sparse kernels compute it; they differ if it pools. For single weights: weights_.kind.
  Conv2dGeometry dense_, sparse_;
  DType stored_;
  Context ctx_;
  BlockIndex index_, cusparse_index_;
  WeightIndex weights_;
  Lists lists_, cusparse_lists_;
  OwnedTensor mask_, x_, weight_, bias_, y_, dx_, dw_, db_;
  OwnedTensor derived_;  // the weights in the layout of the dense kernels
  OwnedTensor sums_;     // y of sparse_, if dense_ differs
  // One per path: training stays on one path, so that its workspace is still in the cores' caches.
  std::array<OwnedTensor, kExecutions> workspaces_;
};

// The shortest time of each path, in seconds. Runs the paths in turns for `seconds` in total, at least three rounds.
std::vector<double> shortest_times(BenchLayer& layer, Pass pass, const std::vector<Execution>& paths, double seconds);

}  // namespace poise
