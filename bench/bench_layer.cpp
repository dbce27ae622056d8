#include "bench/bench_layer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/sparse/execution.h"

namespace poise {
namespace {

// Uniform in [-1, 1], zero where `alive` is zero.
OwnedTensor uniform(const Shape& shape, DType dtype, Device device, std::mt19937_64& random,
                    const uint8_t* alive = nullptr) {
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = draw(random) * (!alive || alive[i] ? 1.0f : 0.0f);
  OwnedTensor t(shape, dtype, device);
  if (dtype == DType::f32) {
    copy_from_host(t.tensor(), values.data());
  } else {
    std::vector<bf16> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
    copy_from_host(t.tensor(), rounded.data());
  }
  return t;
}

// The bytes of a mask with the fraction `density` of its cells alive.
std::vector<uint8_t> random_mask(const Conv2dGeometry& g, const Cell& cell, double density, std::mt19937_64& random) {
  const Shape shape = g.weight_shape();
  const int64_t taps = g.kh * g.kw, tap_cells = cell.all_taps ? 1 : taps, in_cells = g.c_in / cell.in;
  std::vector<int64_t> cells(static_cast<size_t>(cell.cells_in(shape)));
  std::iota(cells.begin(), cells.end(), 0);
  std::shuffle(cells.begin(), cells.end(), random);
  cells.resize(static_cast<size_t>(std::llround(density * static_cast<double>(cells.size()))));
  std::vector<uint8_t> alive(static_cast<size_t>(shape.elements()));
  for (const int64_t number : cells) {
    const int64_t out = number / (tap_cells * in_cells), tap = number / in_cells % tap_cells, in = number % in_cells;
    for (int64_t o = out * cell.out; o < (out + 1) * cell.out; ++o) {
      for (int64_t t = cell.all_taps ? 0 : tap; t < (cell.all_taps ? taps : tap + 1); ++t) {
        std::fill_n(alive.begin() + (o * taps + t) * g.c_in + in * cell.in, cell.in, uint8_t{1});
      }
    }
  }
  return alive;
}

}  // namespace

std::vector<Execution> BenchDevice::paths(const Cell& cell) const {
  std::vector<Execution> paths = {Execution::dense};
  if (block_of(cell) != 0) paths.push_back(Execution::block);
  if (block_of(cell) != 0 && has_cusparse(device)) paths.push_back(Execution::cusparse);
  if (block_of(cell) == 0 && has_weights(device)) paths.push_back(Execution::weights);
  return paths;
}

BenchLayer::BenchLayer(BenchDevice& on, const Conv2dGeometry& g, const Cell& cell, double density, uint64_t seed)
    : on_(on),
      sparse_(g.sparse_form()),
      stored_(activation_dtype(on.precision)),
      ctx_{.device = on.device, .precision = on.precision, .kernels = &on.kernels, .stream = on.stopwatch.stream()} {
  dense_ = g.dense_form();
  std::mt19937_64 random(seed);
  const std::vector<uint8_t> alive = random_mask(g, cell, density, random);
  mask_ = OwnedTensor(g.weight_shape(), DType::u8, on.device);
  copy_from_host(mask_.tensor(), alive.data());
  for (const Execution path : on.paths(cell)) {
    if (path == Execution::block) index_ = list_blocks(block_of(cell), mask_.tensor(), lists_);
    if (path == Execution::cusparse) {
      cusparse_index_ = list_blocks(cusparse_block_of(cell), mask_.tensor(), cusparse_lists_);
    }
    if (path != Execution::weights) continue;
    weights_ = WeightIndex::full(weights_form(g), cell.out);
    on.kernels.build_weight_index(ctx_, mask_.tensor(), weights_);
  }
  x_ = uniform(sparse_.x_shape(), stored_, on.device, random);
  weight_ = uniform(g.weight_shape(), stored_, on.device, random, alive.data());
  bias_ = uniform({g.c_out}, DType::f32, on.device, random);
  y_ = uniform(g.y_shape(), stored_, on.device, random);
  dx_ = OwnedTensor(sparse_.x_shape(), stored_, on.device);
  dw_ = OwnedTensor(dense_.weight_shape(), DType::f32, on.device);
  derived_ = uniform(on.kernels.conv2d_weight_shape(ctx_, dense_, stored_), stored_, on.device, random);
  if (dense_ != sparse_) {
    sums_ = uniform(sparse_.y_shape(), stored_, on.device, random);
  }
  db_ = OwnedTensor({g.c_out}, DType::f32, on.device);
  for (const Execution path : on.paths(cell)) {
    size_t bytes = 0;
    for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
      bytes = std::max(bytes, plan(pass, path).workspace_bytes);
    }
    workspaces_[static_cast<size_t>(path)] = OwnedTensor({static_cast<int64_t>(bytes)}, DType::u8, on.device);
  }
}

BlockIndex BenchLayer::list_blocks(int64_t block, const Tensor& mask, Lists& lists) {
  BlockIndex index{.block = block,
                   .out_blocks = sparse_.c_out / block,
                   .in_blocks = sparse_.c_in / block,
                   .taps = sparse_.kh * sparse_.kw};
  const auto list = [&](OwnedTensor& owned, int64_t elements) {
    owned = OwnedTensor({elements}, DType::i32, on_.device);
    return owned.tensor();
  };
  index.row_offsets = list(lists.row_offsets, index.out_blocks + 1);
  index.col_of_block = list(lists.col_of_block, index.capacity());
  index.in_offsets = list(lists.in_offsets, index.in_blocks + 1);
  index.out_of_block = list(lists.out_of_block, index.capacity());
  ctx_.kernels->build_block_index(ctx_, mask, index);
  return index;
}

Conv2dPlan BenchLayer::plan(Pass pass, Execution path) const {
  const KernelTable& k = on_.kernels;
  if (path == Execution::dense) return k.conv2d_plan(ctx_, dense_, stored_, pass);
  if (path == Execution::weights) return k.weights_conv2d_plan(ctx_, weights_.kind, weights_, stored_, pass);
  const auto planner = path == Execution::block ? k.block_conv2d_plan : k.cusparse_conv2d_plan;
  return planner(ctx_, sparse_, index_of(path), stored_, pass);
}

double BenchLayer::executed_macs(Pass pass, Execution path) const { return plan(pass, path).executed_macs; }

// y also serves as dy: any values will do as a gradient.
void BenchLayer::launch(Pass pass, Execution path) {
  const KernelTable& k = on_.kernels;
  const Tensor &x = x_.tensor(), &bias = bias_.tensor();
  Tensor &ws = workspaces_[static_cast<size_t>(path)].tensor(), &dx = dx_.tensor(), &db = db_.tensor();
  if (path == Execution::dense) {
    const Tensor& weight = derived_.tensor();
    Tensor &y = y_.tensor(), &dw = dw_.tensor();
    if (pass == Pass::forward) return k.conv2d_forward(ctx_, dense_, x, weight, bias, {}, ws, y);
    if (pass == Pass::backward_input) return k.conv2d_backward_input(ctx_, dense_, y, weight, {}, ws, dx);
    return k.conv2d_backward_weight(ctx_, dense_, x, y, ws, dw, db);
  }
  const Tensor& weight = weight_.tensor();
  Tensor& dw = dw_.tensor();
  if (path == Execution::weights) {
    const Conv2dGeometry& g = weights_.kind;
    Tensor& y = y_.tensor();
    if (pass == Pass::forward) return k.weights_conv2d_forward(ctx_, g, weights_, x, weight, bias, ws, y);
    if (pass == Pass::backward_input) return k.weights_conv2d_backward_input(ctx_, g, weights_, y, weight, ws, dx);
    return k.weights_conv2d_backward_weight(ctx_, g, weights_, x, y, ws, dw, db);
  }
  Tensor& y = dense_ != sparse_ ? sums_.tensor() : y_.tensor();
  if (dense_ != sparse_ && pass != Pass::forward) k.avg_pool_2x2_backward(ctx_, y_.tensor(), y);
  const bool ours = path == Execution::block;
  const BlockIndex& index = index_of(path);
  if (pass == Pass::forward) {
    (ours ? k.block_conv2d_forward : k.cusparse_conv2d_forward)(ctx_, sparse_, index, x, weight, bias, ws, y);
  } else if (pass == Pass::backward_input) {
    (ours ? k.block_conv2d_backward_input : k.cusparse_conv2d_backward_input)(ctx_, sparse_, index, y, weight, ws, dx);
  } else {
    (ours ? k.block_conv2d_backward_weight : k.cusparse_conv2d_backward_weight)(ctx_, sparse_, index, x, y, ws, dw, db);
  }
  if (dense_ != sparse_ && pass == Pass::forward) k.avg_pool_2x2_forward(ctx_, y, y_.tensor());
}

double BenchLayer::run(Pass pass, Execution path) {
  return on_.stopwatch.seconds_of([&] { launch(pass, path); });
}

std::vector<double> shortest_times(BenchLayer& layer, Pass pass, const std::vector<Execution>& paths, double seconds) {
  std::vector<double> best(paths.size(), 1e9);
  double spent = 0;
  for (const Execution path : paths) layer.run(pass, path);  // builds primitives, touches memory
  for (int round = 0; round < 3 || (spent < seconds && round < 200); ++round) {
    for (size_t i = 0; i < paths.size(); ++i) {
      const double time = layer.run(pass, paths[i]);
      best[i] = std::min(best[i], time);
      spent += time;
    }
  }
  return best;
}

}  // namespace poise
