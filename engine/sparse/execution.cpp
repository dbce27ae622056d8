#include "engine/sparse/execution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/table.h"

namespace poise {
namespace {

constexpr double kEverything = 1000;  // saved, where nothing is alive
constexpr std::array<Pass, 3> kPasses = {Pass::forward, Pass::backward_input, Pass::backward_weight};

Execution fastest_sparse_path(const std::array<double, 3>& speedups) {
  return speedups[2] > speedups[1] || std::isnan(speedups[1]) ? Execution::cusparse : Execution::block;
}

// Alive taps of a pair of blocks, as the kernels multiply them, per pixel of the stored image, if each cell is alive
// with probability `density`. Where a 3x3 convolution enlarges, each position is a sum of one, two or four taps.
double expected_positions(const Conv2dGeometry& g, const Cell& cell, double density) {
  if (g.upsample == 1 || g.kh == 1) return density * static_cast<double>(g.kh * g.kw);
  if (cell.all_taps) return density * kFoldedPositions;
  const double none = 1 - density;
  return positions_with(1) * (1 - none) + positions_with(2) * (1 - none * none) +
         positions_with(4) * (1 - none * none * none * none);
}

// The memory of a BlockIndex.
struct OwnedLists {
  OwnedTensor row_offsets, col_of_block, in_offsets, out_of_block;

  void attach(BlockIndex& index, bool transposed, Device device) {
    row_offsets = OwnedTensor({index.out_blocks + 1}, DType::i32, device);
    col_of_block = OwnedTensor({index.capacity()}, DType::i32, device);
    index.row_offsets = row_offsets.tensor();
    index.col_of_block = col_of_block.tensor();
    if (!transposed) return;
    in_offsets = OwnedTensor({index.in_blocks + 1}, DType::i32, device);
    out_of_block = OwnedTensor({index.capacity()}, DType::i32, device);
    index.in_offsets = in_offsets.tensor();
    index.out_of_block = out_of_block.tensor();
  }
  static size_t bytes(const BlockIndex& index, bool transposed) {
    const int64_t one = index.out_blocks + 1 + index.capacity(), other = index.in_blocks + 1 + index.capacity();
    return static_cast<size_t>(one + (transposed ? other : 0)) * sizeof(int32_t);
  }
};

// Until masks are drawn every block counts as alive: a plan then knows the most that a pass can need.
BlockIndex full_index(const CellGrid& grid, int64_t block) {
  BlockIndex index{.block = block, .out_blocks = grid.out / block, .in_blocks = grid.in / block, .taps = grid.taps};
  index.alive = index.capacity();
  index.alive_in_parities = grid.taps == 9 ? kFoldedPositions * index.out_blocks * index.in_blocks : 0;
  return index;
}

}  // namespace

const char* name_of(Execution execution) {
  return execution == Execution::dense ? "dense" : execution == Execution::block ? "block" : "cusparse";
}

Execution choose_path(const std::array<double, 3>& speedups, Execution before) {
  constexpr double kEnter = 1.05, kLeave = 1.0;  // no flapping at the crossover
  if (!(speedups[static_cast<size_t>(before)] >= kLeave)) before = Execution::dense;
  const Execution fastest = fastest_sparse_path(speedups);
  const double now = speedups[static_cast<size_t>(before)];
  return speedups[static_cast<size_t>(fastest)] >= kEnter * now ? fastest : before;
}

int64_t block_of(const Cell& cell) {
  return cell.out % kSparseBlock == 0 && cell.in % kSparseBlock == 0 ? kSparseBlock : 0;
}

int64_t cusparse_block_of(const Cell& cell) {
  int64_t block = 128;
  while (cell.out % block != 0 || cell.in % block != 0) block /= 2;
  return block;
}

std::string ExecutionDecision::to_string() const {
  char text[64];
  std::snprintf(text, sizeof(text), ": density %.3f, ", density);
  return layer + " " + name_of(pass) + text + reason + " -> " + name_of(execution);
}

struct NetworkExecution::Layer {
  std::string path;
  const MaskedLayer* masked;
  Parameter* parameter;
  LayerExecution execution;
  OwnedLists lists, cusparse_lists;

  void list_blocks(Context& ctx) {
    ctx.kernels->build_block_index(ctx, masked->bytes, execution.index);
    if (execution.cusparse_index.row_offsets) {
      ctx.kernels->build_block_index(ctx, masked->bytes, execution.cusparse_index);
    }
  }
};

NetworkExecution::NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice,
                                   const CrossoverTable& crossovers, Memory memory)
    : choice_(choice), crossovers_(crossovers) {
  if (choice == ExecutionChoice::dense) return;
  if (choice == ExecutionChoice::cusparse && !has_cusparse(memory.device)) {
    fail(ErrorKind::usage,
         "execution = cusparse needs --device cuda or emulated but this is the CPU; use execution = auto or block");
  }
  if (choice != ExecutionChoice::cusparse) paths_.push_back(Execution::block);
  if (choice == ExecutionChoice::cusparse || (choice == ExecutionChoice::automatic && has_cusparse(memory.device) &&
                                              crossovers.measured(Execution::cusparse))) {
    paths_.push_back(Execution::cusparse);
  }
  for (const MaskedLayer& masked : masks.layers()) {
    const Cell& cell = masked.mask.cell;
    if (block_of(cell) == 0) {
      if (choice == ExecutionChoice::automatic) return;  // masked, without a speed-up
      fail(ErrorKind::usage, std::string("execution = ") + name_of(choice) +
                                 " skips blocks of 16x16 weights, but the masks have cells of " + to_string(cell) +
                                 "; use cell = 16x16 or execution = auto");
    }
    Layer& layer = layers_.emplace_back();
    layer.masked = &masked;
    LayerExecution& e = layer.execution;
    e.index = full_index(masked.grid, block_of(cell));
    if (!memory.planned) layer.lists.attach(e.index, false, memory.device);
    if (!may_take(Execution::cusparse)) continue;
    e.cusparse_index = full_index(masked.grid, cusparse_block_of(cell));
    if (!memory.planned) layer.cusparse_lists.attach(e.cusparse_index, true, memory.device);
  }
  if (!layers_.empty()) choices_ = OwnedTensor({static_cast<int64_t>(layers_.size()), 3}, DType::u8, Device::cpu);
  network.for_each_parameter([&](Parameter& p) {
    for (Layer& layer : layers_) {
      if (layer.masked->weight.path != p.path) continue;
      layer.path = network.path() + "." + layer.masked->path;
      layer.parameter = &p;
      p.execution = &layer.execution;
    }
  });
}

NetworkExecution::~NetworkExecution() {
  for (Layer& layer : layers_) layer.parameter->execution = nullptr;
}

bool NetworkExecution::may_take(Execution path) const {
  return path == Execution::dense || std::find(paths_.begin(), paths_.end(), path) != paths_.end();
}

std::vector<ExecutionDecision> NetworkExecution::update(Context& ctx) {
  std::vector<ExecutionDecision> decisions;
  for (Layer& layer : layers_) {
    LayerExecution& e = layer.execution;
    layer.list_blocks(ctx);
    if (e.geometry.macs() == 0) continue;
    for (Pass pass : kPasses) {
      double saved = 0;
      if (block_conv2d_serves(e.geometry, e.index.block)) {
        const double dense = ctx.kernels->conv2d_plan(ctx, e.geometry, DType::f32, pass).executed_macs;
        const double block = ctx.kernels->block_conv2d_plan(ctx, e.geometry, e.index, DType::f32, pass).executed_macs;
        saved = block > 0 ? dense / block : kEverything;
      }
      decisions.push_back(decide(layer, pass, layer.masked->density(), saved, e.of(pass)));
      e.set(pass, decisions.back().execution);
    }
  }
  uint8_t* choice = layers_.empty() ? nullptr : choices_.tensor().data<uint8_t>();
  for (const Layer& layer : layers_) {
    for (Pass pass : kPasses) *choice++ = static_cast<uint8_t>(layer.execution.of(pass));
  }
  return decisions;
}

std::vector<ExecutionDecision> NetworkExecution::predict(const Context& ctx,
                                                         const std::vector<double>& densities) const {
  std::vector<ExecutionDecision> decisions;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const Conv2dGeometry& g = layer.execution.geometry;
    if (g.macs() == 0) continue;
    const double small_pixels = static_cast<double>(g.n * g.h * g.w), weights = static_cast<double>(g.c_out * g.c_in);
    const double positions = expected_positions(g, layer.masked->mask.cell, densities[i]);
    for (Pass pass : kPasses) {
      const double dense = ctx.kernels->conv2d_plan(ctx, g, DType::f32, pass).executed_macs;
      const double saved =
          block_conv2d_serves(g, layer.execution.index.block) ? dense / (small_pixels * weights * positions) : 0;
      decisions.push_back(decide(layer, pass, densities[i], saved, Execution::dense));
    }
  }
  return decisions;
}

void NetworkExecution::restore(Context& ctx) {
  const uint8_t* choice = layers_.empty() ? nullptr : choices_.tensor().data<uint8_t>();
  for (Layer& layer : layers_) {
    layer.list_blocks(ctx);
    for (Pass pass : kPasses) {
      const uint8_t saved = *choice++;
      // What is no choice on this device computes densely until the next decision.
      const bool known = saved <= static_cast<uint8_t>(Execution::cusparse) && may_take(static_cast<Execution>(saved));
      layer.execution.set(pass, known ? static_cast<Execution>(saved) : Execution::dense);
    }
  }
}

bool NetworkExecution::set_all(Execution execution) {
  if (!may_take(execution)) return false;
  for (Layer& layer : layers_) {
    for (Pass pass : kPasses) layer.execution.set(pass, execution);
  }
  return !layers_.empty();
}

ExecutionDecision NetworkExecution::decide(const Layer& layer, Pass pass, double density, double saved,
                                           Execution before) const {
  ExecutionDecision decision{.layer = layer.path, .pass = pass, .density = density};
  const bool forced = choice_ != ExecutionChoice::automatic;
  if (saved == 0) {
    if (forced) {
      fail(ErrorKind::usage, layer.path + ": execution = " + name_of(choice_) +
                                 " serves 1x1 and 3x3 convolutions of stride 1 that keep the size; use execution = " +
                                 "auto, which leaves this layer dense");
    }
    decision.reason = "no block kernel for this convolution";
    return decision;
  }
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::array<double, 3> speedups = {1, kNone, kNone};  // by Execution
  const Cell& cell = layer.masked->mask.cell;
  decision.reason = "cell " + to_string(cell);
  for (const Execution path : paths_) {
    const CrossoverKey key{.geometry = layer.execution.geometry, .pass = pass, .cell = cell, .path = path};
    const double speedup = crossovers_.speedup(key, density, saved);
    speedups[static_cast<size_t>(path)] = speedup;
    char text[48];
    std::snprintf(text, sizeof(text), "%.1fx %s", speedup, crossovers_.measured(key) ? "measured" : "estimated");
    decision.reason += paths_.size() > 1 ? std::string(", ") + name_of(path) + " " : ", ";
    decision.reason += std::isnan(speedup) ? "not measured" : text;
  }
  decision.execution = forced ? paths_.front() : choose_path(speedups, before);
  if (forced) decision.reason += ", forced";
  const Execution shown = decision.execution == Execution::dense ? fastest_sparse_path(speedups) : decision.execution;
  decision.speedup = speedups[static_cast<size_t>(shown)];
  decision.changed = decision.execution != before;
  return decision;
}

void NetworkExecution::set_dense_weight_gradients(bool wanted) {
  for (Layer& layer : layers_) layer.execution.dense_weight_gradient = wanted;
}

size_t NetworkExecution::memory_bytes() const {
  size_t bytes = 0;
  for (const Layer& layer : layers_) {
    bytes += OwnedLists::bytes(layer.execution.index, false);
    if (may_take(Execution::cusparse)) bytes += OwnedLists::bytes(layer.execution.cusparse_index, true);
  }
  return bytes;
}

}  // namespace poise
