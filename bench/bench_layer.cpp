#include "bench/bench_layer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/core/memory.h"

namespace poise {
namespace {

OwnedTensor uniform(const Shape& shape, std::mt19937_64& random) {
  OwnedTensor t(shape, DType::f32, Device::cpu);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::generate_n(t.tensor().data<float>(), shape.elements(), [&] { return draw(random); });
  return t;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

BenchLayer::BenchLayer(const Conv2dGeometry& g, const Cell& cell, double density, uint64_t seed) : geometry_(g) {
  std::mt19937_64 random(seed);
  const Shape shape = g.weight_shape();
  const int64_t taps = g.kh * g.kw, tap_cells = cell.all_taps ? 1 : taps, in_cells = g.c_in / cell.in;
  std::vector<int64_t> cells(static_cast<size_t>(cell.cells_in(shape)));
  std::iota(cells.begin(), cells.end(), 0);
  std::shuffle(cells.begin(), cells.end(), random);
  cells.resize(static_cast<size_t>(std::llround(density * static_cast<double>(cells.size()))));
  OwnedTensor mask(shape, DType::u8, Device::cpu);
  uint8_t* alive = mask.tensor().data<uint8_t>();
  for (const int64_t number : cells) {
    const int64_t out = number / (tap_cells * in_cells), tap = number / in_cells % tap_cells, in = number % in_cells;
    for (int64_t o = out * cell.out; o < (out + 1) * cell.out; ++o) {
      for (int64_t t = cell.all_taps ? 0 : tap; t < (cell.all_taps ? taps : tap + 1); ++t) {
        std::fill_n(alive + (o * taps + t) * g.c_in + in * cell.in, cell.in, uint8_t{1});
      }
    }
  }
  index_.out_blocks = g.c_out / index_.block;
  index_.in_blocks = g.c_in / index_.block;
  index_.taps = taps;
  row_offsets_ = OwnedTensor({index_.out_blocks + 1}, DType::i32, Device::cpu);
  col_of_block_ = OwnedTensor({index_.capacity()}, DType::i32, Device::cpu);
  index_.row_offsets = row_offsets_.tensor();
  index_.col_of_block = col_of_block_.tensor();
  kernels_.build_block_index(ctx_, mask.tensor(), index_);

  x_ = uniform(g.x_shape(), random);
  weight_ = uniform(shape, random);
  for (int64_t i = 0; i < shape.elements(); ++i) weight_.tensor().data<float>()[i] *= alive[i];
  bias_ = uniform({g.c_out}, random);
  y_ = uniform(g.y_shape(), random);
  dx_ = OwnedTensor(g.x_shape(), DType::f32, Device::cpu);
  dw_ = OwnedTensor(shape, DType::f32, Device::cpu);
  db_ = OwnedTensor({g.c_out}, DType::f32, Device::cpu);
  size_t bytes = 0;
  for (Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    bytes = std::max({bytes, kernels_.conv2d_plan(ctx_, g, DType::f32, pass).workspace_bytes,
                      kernels_.block_conv2d_plan(ctx_, g, index_, DType::f32, pass).workspace_bytes});
  }
  workspace_ = OwnedTensor({static_cast<int64_t>(bytes)}, DType::u8, Device::cpu);
}

// y serves as dy as well: what a pass writes there is as good a gradient as any.
double BenchLayer::run_dense(Pass pass) {
  const auto start = std::chrono::steady_clock::now();
  Tensor &ws = workspace_.tensor(), &y = y_.tensor();
  if (pass == Pass::forward) {
    kernels_.conv2d_forward(ctx_, geometry_, x_.tensor(), weight_.tensor(), bias_.tensor(), ws, y);
  } else if (pass == Pass::backward_input) {
    kernels_.conv2d_backward_input(ctx_, geometry_, y, weight_.tensor(), ws, dx_.tensor());
  } else {
    kernels_.conv2d_backward_weight(ctx_, geometry_, x_.tensor(), y, ws, dw_.tensor(), db_.tensor());
  }
  return seconds_since(start);
}

double BenchLayer::run_block(Pass pass) {
  const auto start = std::chrono::steady_clock::now();
  Tensor &ws = workspace_.tensor(), &y = y_.tensor();
  if (pass == Pass::forward) {
    kernels_.block_conv2d_forward(ctx_, geometry_, index_, x_.tensor(), weight_.tensor(), bias_.tensor(), ws, y);
  } else if (pass == Pass::backward_input) {
    kernels_.block_conv2d_backward_input(ctx_, geometry_, index_, y, weight_.tensor(), ws, dx_.tensor());
  } else {
    kernels_.block_conv2d_backward_weight(ctx_, geometry_, index_, x_.tensor(), y, ws, dw_.tensor(), db_.tensor());
  }
  return seconds_since(start);
}

double BenchLayer::executed_macs(Pass pass) const {
  return kernels_.block_conv2d_plan(ctx_, geometry_, index_, DType::f32, pass).executed_macs;
}
double BenchLayer::dense_executed_macs(Pass pass) const {
  return kernels_.conv2d_plan(ctx_, geometry_, DType::f32, pass).executed_macs;
}

}  // namespace poise
