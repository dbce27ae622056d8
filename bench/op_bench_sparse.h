// The sparse cases of op_bench: every pass, cell and density of some layers of SNGAN-32, through our kernels that skip
// blocks or single weights and, if the device has it, through cuSPARSE.
#pragma once
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/bench_layer.h"

namespace poise {

struct SparseOp {
  std::string name;  // "block_conv2d_3x3_256_16px/forward/cell16x16_all_taps/d10"
  Conv2dGeometry geometry;
  Cell cell;
  double density;
  Pass pass;
  Execution path;
};

std::vector<SparseOp> sparse_ops(const BenchDevice& device, int64_t batch);

// Reports executed and dense-equivalent GFLOP/s, and the speed-up over dense kernels, which run in turns with the op.
void time_sparse_op(benchmark::State& state, const SparseOp& op, BenchDevice& device);
void run_sparse_op(const SparseOp& op, BenchDevice& device);  // once

}  // namespace poise
