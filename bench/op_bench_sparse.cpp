#include "bench/op_bench_sparse.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace poise {
namespace {

struct NamedLayer {
  const char* name;
  Conv2dGeometry geometry;
};

std::vector<NamedLayer> layers(int64_t batch) {
  const auto conv = [&](int64_t pixels, int64_t channels, int64_t k, int64_t upsample, int64_t pool = 1) {
    return Conv2dGeometry{.n = batch,
                          .h = pixels,
                          .w = pixels,
                          .c_in = channels,
                          .c_out = channels,
                          .kh = k,
                          .kw = k,
                          .pad_h = k / 2,
                          .pad_w = k / 2,
                          .upsample = upsample,
                          .pool = pool};
  };
  return {{"conv2d_3x3_256_8px", conv(8, 256, 3, 1)},
          {"conv2d_3x3_256_16px", conv(16, 256, 3, 1)},
          {"conv2d_3x3_256_32px", conv(32, 256, 3, 1)},
          {"conv2d_3x3_256_8px_upsample_2", conv(8, 256, 3, 2)},
          {"conv2d_3x3_256_16px_upsample_2", conv(16, 256, 3, 2)},
          {"conv2d_3x3_128_8px", conv(8, 128, 3, 1)},
          {"conv2d_3x3_128_16px", conv(16, 128, 3, 1)},
          {"conv2d_3x3_128_32px", conv(32, 128, 3, 1)},
          {"conv2d_3x3_128_16px_pool_2", conv(16, 128, 3, 1, 2)},
          {"conv2d_3x3_128_32px_pool_2", conv(32, 128, 3, 1, 2)},
          {"conv2d_1x1_256_16px", conv(16, 256, 1, 1)},
          {"linear_128_4096", {.n = batch, .h = 1, .w = 1, .c_in = 128, .c_out = 4096}}};
}

// Keeps the layer of the latest case: cases of the same layer follow each other.
BenchLayer& layer_of(const SparseOp& op, BenchDevice& device) {
  static std::unique_ptr<BenchLayer> layer;
  static Conv2dGeometry geometry;
  static Cell cell;
  static double density = 0;
  if (!layer || !(geometry == op.geometry) || !(cell == op.cell) || density != op.density) {
    layer.reset();  // before the next one allocates
    layer = std::make_unique<BenchLayer>(device, op.geometry, op.cell, op.density, 1);
    geometry = op.geometry, cell = op.cell, density = op.density;
  }
  return *layer;
}

}  // namespace

std::vector<SparseOp> sparse_ops(const BenchDevice& device, int64_t batch) {
  // Blocks, and on the CPU single weights and short columns of them.
  const std::vector<Cell> cells = {{16, 16, false}, {16, 16, true}, {32, 32, false}, {32, 32, true},
                                   {1, 1, false},   {4, 1, false},  {16, 1, false}};
  std::vector<SparseOp> ops;
  for (const NamedLayer& layer : layers(batch)) {
    for (const Cell& cell : cells) {
      if (cell.all_taps && layer.geometry.kh == 1) continue;  // the same cells
      for (const double density : {1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.04, 0.02, 0.01}) {
        for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
          for (const Execution path : device.paths(cell)) {
            if (path == Execution::dense) continue;
            std::string cell_name = to_string(cell);
            std::replace(cell_name.begin(), cell_name.end(), '-', '_');
            ops.push_back({.name = std::string(name_of(path)) + "_" + layer.name + "/" + name_of(pass) + "/cell" +
                                   cell_name + "/d" + std::to_string(std::lround(100 * density)),
                           .geometry = layer.geometry,
                           .cell = cell,
                           .density = density,
                           .pass = pass,
                           .path = path});
          }
        }
      }
    }
  }
  return ops;
}

void time_sparse_op(benchmark::State& state, const SparseOp& op, BenchDevice& device) {
  BenchLayer& layer = layer_of(op, device);
  layer.run(op.pass, Execution::dense);  // builds primitives, touches memory
  layer.run(op.pass, op.path);
  double seconds = 0, dense_seconds = 0;
  for (auto _ : state) {
    dense_seconds += layer.run(op.pass, Execution::dense);
    const double elapsed = layer.run(op.pass, op.path);
    state.SetIterationTime(elapsed);
    seconds += elapsed;
  }
  const double rate = 2e-9 * static_cast<double>(state.iterations()) / seconds;
  state.counters["executed GFLOP/s"] = layer.executed_macs(op.pass, op.path) * rate;
  state.counters["dense-equivalent GFLOP/s"] = op.geometry.macs() * rate;
  state.counters["speedup"] = dense_seconds / seconds;
}

void run_sparse_op(const SparseOp& op, BenchDevice& device) {
  layer_of(op, device).run(op.pass, op.path);
  device.stopwatch.wait();
}

}  // namespace poise
