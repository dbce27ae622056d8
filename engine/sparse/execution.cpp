#include "engine/sparse/execution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/sparse/weights/lane_share.h"
#include "kernels/table.h"

namespace poise {
namespace {

constexpr double kEverything = 1000;  // the `saved` of a pass in which nothing is alive
constexpr double kDensest = 0.75;     // the automatic choice considers single weights up to here: none gains beyond
constexpr std::array<Pass, 3> kPasses = {Pass::forward, Pass::backward_input, Pass::backward_weight};

Execution fastest_sparse_path(const PathNumbers& speedups) {
  Execution fastest = Execution::block;
  for (size_t path = 2; path < kExecutions; ++path) {
    const double best = speedups[static_cast<size_t>(fastest)];
    if (speedups[path] > best || (std::isnan(best) && !std::isnan(speedups[path]))) {
      fastest = static_cast<Execution>(path);
    }
  }
  return fastest;
}

// The expected number of alive taps of a pair of blocks that kernels multiply per pixel of the stored image, if cells
// are alive with probability `density`. In an enlarging 3x3 convolution a position sums one, two or four taps.
double expected_positions(const Conv2dGeometry& g, const Cell& cell, double density) {
  if (g.upsample == 1 || g.kh == 1) return density * static_cast<double>(g.kh * g.kw);
  if (cell.all_taps) return density * kFoldedPositions;
  const double none = 1 - density;
  return positions_with(1) * (1 - none) + positions_with(2) * (1 - none * none) +
         positions_with(4) * (1 - none * none * none * none);
}

double dense_macs(const Context& ctx, const Conv2dGeometry& layer, Pass pass) {
  const KernelTable& k = *ctx.kernels;
  return k.conv2d_plan(ctx, layer.dense_form(), DType::f32, pass).executed_macs;
}

// Multiply-adds of one pass of a layer on a sparse path.
double expected_macs(Execution path, const Conv2dGeometry& layer, const Cell& cell, double density) {
  const bool weights = path == Execution::weights;
  const Conv2dGeometry g = sparse_form_on(path, layer);
  const auto pixels = static_cast<double>(g.upsample == 1 ? g.n * g.out_h() * g.out_w() : g.n * g.h * g.w);
  const double taps = weights ? density * static_cast<double>(g.kh * g.kw) : expected_positions(g, cell, density);
  return pixels * static_cast<double>(g.c_out * g.c_in) * taps;
}

// The memory of a BlockIndex.
struct OwnedLists {
  OwnedTensor row_offsets, col_of_block, in_offsets, out_of_block, kept_memory;
  KeptLists kept;

  void attach(BlockIndex& index, bool transposed, Device device) {
    row_offsets = OwnedTensor({index.out_blocks + 1}, DType::i32, device);
    col_of_block = OwnedTensor({index.capacity()}, DType::i32, device);
    index.row_offsets = row_offsets.tensor();
    index.col_of_block = col_of_block.tensor();
    if (keeps_lists(transposed, device)) {
      kept_memory = OwnedTensor({static_cast<int64_t>(kept_lists_bytes(index))}, DType::u8, device);
      kept = KeptLists(kept_memory.tensor());
      index.kept = &kept;
    }
    if (!transposed) return;
    in_offsets = OwnedTensor({index.in_blocks + 1}, DType::i32, device);
    out_of_block = OwnedTensor({index.capacity()}, DType::i32, device);
    index.in_offsets = in_offsets.tensor();
    index.out_of_block = out_of_block.tensor();
  }
  // Only our own kernels on GPUs keep lists, which they make from the index.
  static bool keeps_lists(bool transposed, Device device) { return !transposed && device != Device::cpu; }
  static size_t bytes(const BlockIndex& index, bool transposed, Device device) {
    const int64_t one = index.out_blocks + 1 + index.capacity(), other = index.in_blocks + 1 + index.capacity();
    return static_cast<size_t>(one + (transposed ? other : 0)) * sizeof(int32_t) +
           (keeps_lists(transposed, device) ? kept_lists_bytes(index) : 0);
  }
};

// Until masks are drawn every block counts as alive, so that a plan learns the most that a pass can need.
BlockIndex full_index(const CellGrid& grid, int64_t block) {
  BlockIndex index{.block = block, .out_blocks = grid.out / block, .in_blocks = grid.in / block, .taps = grid.taps};
  index.alive = index.capacity();
  index.alive_in_parities = grid.taps == 9 ? kFoldedPositions * index.out_blocks * index.in_blocks : 0;
  return index;
}

// Can the kernel of this path compute this convolution?
bool serves(Execution path, const Conv2dGeometry& geometry, int64_t block) {
  if (geometry.macs() == 0) return false;  // not known yet
  const Conv2dGeometry form = sparse_form_on(path, geometry);
  return path == Execution::weights ? weights_conv2d_serves(form) : block_conv2d_serves(form, block);
}

bool too_dense(ExecutionChoice choice, Execution path, double density) {
  return path == Execution::weights && choice == ExecutionChoice::automatic && density > kDensest;
}

}  // namespace

Execution choose_path(const PathNumbers& speedups, Execution before) {
  constexpr double kEnter = 1.05, kLeave = 1.0;  // hysteresis, against flapping at the crossover
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

namespace {

void refuse_impossible(ExecutionChoice choice, Device device, const Cell& cell) {
  if (choice == ExecutionChoice::weights && !has_weights(device)) {
    fail(ErrorKind::usage, std::string("execution = weights needs --device cpu but this is ") + name_of(device) +
                               "; use execution = auto or block");
  }
  if (choice == ExecutionChoice::cusparse && !has_cusparse(device)) {
    fail(ErrorKind::usage,
         "execution = cusparse needs --device cuda or emulated but this is the CPU; use execution = auto or block");
  }
  const bool skips_blocks = choice == ExecutionChoice::block || choice == ExecutionChoice::cusparse;
  if (skips_blocks && block_of(cell) == 0) {
    fail(ErrorKind::usage, std::string("execution = ") + name_of(choice) +
                               " skips blocks of 16x16 weights, but the masks have cells of " + to_string(cell) +
                               "; use cell = 16x16 or execution = auto");
  }
}

}  // namespace

struct NetworkExecution::Layer {
  std::string path;
  const MaskedLayer* masked;
  Parameter* parameter;
  LayerExecution execution;
  OwnedLists lists, cusparse_lists;

  bool has_blocks() const { return block_of(masked->mask.cell) != 0; }
  bool has_weights() const { return execution.weights.kind.macs() > 0; }
};

NetworkExecution::NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice,
                                   const CrossoverTable& crossovers, Memory memory)
    : choice_(choice), crossovers_(crossovers), device_(memory.device) {
  if (choice == ExecutionChoice::dense || masks.layers().empty()) return;
  const bool automatic = choice == ExecutionChoice::automatic;
  const Cell& cell = masks.layers().front().mask.cell;
  refuse_impossible(choice, memory.device, cell);
  const bool blocks = block_of(cell) != 0;
  if (blocks && (automatic || choice == ExecutionChoice::block)) paths_.push_back(Execution::block);
  if (choice == ExecutionChoice::cusparse ||
      (blocks && automatic && has_cusparse(memory.device) && crossovers.measured(Execution::cusparse))) {
    paths_.push_back(Execution::cusparse);
  }
  if (choice == ExecutionChoice::weights || (automatic && has_weights(memory.device)))
    paths_.push_back(Execution::weights);
  if (paths_.empty()) return;  // masked, without a speed-up
  for (const MaskedLayer& masked : masks.layers()) {
    Layer& layer = layers_.emplace_back();
    layer.masked = &masked;
    LayerExecution& e = layer.execution;
    e.mask = masked.bytes;
    if (may_take(Execution::block)) {
      e.index = full_index(masked.grid, block_of(cell));
      if (!memory.planned) layer.lists.attach(e.index, false, memory.device);
    }
    if (may_take(Execution::cusparse)) {
      e.cusparse_index = full_index(masked.grid, cusparse_block_of(cell));
      if (!memory.planned) layer.cusparse_lists.attach(e.cusparse_index, true, memory.device);
    }
  }
  choices_ = OwnedTensor({static_cast<int64_t>(layers_.size()), 3}, DType::u8, Device::cpu);
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

// Single weights are for layers without blocks, unless the user forces them.
bool NetworkExecution::may_take(const Layer& layer, Execution path) const {
  if (path == Execution::dense) return true;
  const Conv2dGeometry& asked = layer.execution.geometry;
  if (!may_take(path) || !serves(path, asked, layer.execution.index.block)) return false;
  if (path != Execution::weights || choice_ == ExecutionChoice::weights) return true;
  return !layer.has_blocks() || !serves(Execution::block, asked, layer.execution.index.block);
}

void NetworkExecution::list_alive(Context& ctx, Layer& layer) const {
  LayerExecution& e = layer.execution;
  const Tensor& mask = layer.masked->bytes;
  if (e.index.row_offsets) ctx.kernels->build_block_index(ctx, mask, e.index);
  if (e.cusparse_index.row_offsets) ctx.kernels->build_block_index(ctx, mask, e.cusparse_index);
  if (!may_take(layer, Execution::weights)) return;
  if (too_dense(choice_, Execution::weights, layer.masked->density())) return;
  if (!layer.has_weights()) e.weights = WeightIndex::full(weights_form(e.geometry), layer.masked->mask.cell.out);
  ctx.kernels->build_weight_index(ctx, mask, e.weights);
}

std::vector<ExecutionDecision> NetworkExecution::update(Context& ctx) {
  std::vector<ExecutionDecision> decisions;
  for (Layer& layer : layers_) {
    LayerExecution& e = layer.execution;
    list_alive(ctx, layer);
    if (e.geometry.macs() == 0) continue;
    const double density = layer.masked->density();
    const Conv2dGeometry form = e.geometry.sparse_form();
    for (Pass pass : kPasses) {
      const double dense = dense_macs(ctx, e.geometry, pass);
      const auto saved_by = [&](Execution path, double executed) {
        return !may_take(layer, path) ? 0.0 : executed > 0 ? dense / executed : kEverything;
      };
      const KernelTable& k = *ctx.kernels;
      PathNumbers saved = {};
      if (may_take(layer, Execution::block) || may_take(layer, Execution::cusparse)) {
        const BlockIndex& blocks = may_take(Execution::block) ? e.index : e.cusparse_index;
        const double macs = k.block_conv2d_plan(ctx, form, blocks, DType::f32, pass).executed_macs;
        saved[1] = saved_by(Execution::block, macs), saved[2] = saved_by(Execution::cusparse, macs);
      }
      if (may_take(layer, Execution::weights) && !too_dense(choice_, Execution::weights, density)) {
        const Conv2dPlan plan = k.weights_conv2d_plan(ctx, weights_form(e.geometry), e.weights, DType::f32, pass);
        saved[3] = saved_by(Execution::weights, plan.executed_macs);
      }
      decisions.push_back(decide(layer, pass, density, saved, e.of(pass)));
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
    const Conv2dGeometry& asked = layer.execution.geometry;
    if (asked.macs() == 0) continue;
    for (Pass pass : kPasses) {
      const double dense = dense_macs(ctx, asked, pass);
      PathNumbers saved = {};
      for (const Execution path : paths_) {
        if (!may_take(layer, path) || too_dense(choice_, path, densities[i])) continue;
        const double executed = expected_macs(path, asked, layer.masked->mask.cell, densities[i]);
        saved[static_cast<size_t>(path)] = executed > 0 ? dense / executed : kEverything;
      }
      decisions.push_back(decide(layer, pass, densities[i], saved, Execution::dense));
    }
  }
  return decisions;
}

void NetworkExecution::restore(Context& ctx) {
  const uint8_t* choice = layers_.empty() ? nullptr : choices_.tensor().data<uint8_t>();
  if (choice && *choice == kUndecided) {
    update(ctx);
    return;
  }
  for (Layer& layer : layers_) {
    list_alive(ctx, layer);
    for (Pass pass : kPasses) {
      const uint8_t saved = *choice++;
      // A path that may not be taken on this device becomes dense until the next decision.
      const bool known = saved < kExecutions && may_take(layer, static_cast<Execution>(saved));
      layer.execution.set(pass, known ? static_cast<Execution>(saved) : Execution::dense);
    }
  }
}

bool NetworkExecution::set_all(Execution execution) {
  const auto takes = [&](const Layer& layer) { return may_take(layer, execution); };
  if (std::none_of(layers_.begin(), layers_.end(), takes)) return false;
  for (Layer& layer : layers_) {
    const bool possible = may_take(layer, execution);
    if (possible && execution == Execution::weights && !layer.has_weights()) {
      layer.execution.weights = WeightIndex::full(weights_form(layer.execution.geometry), layer.masked->mask.cell.out);
    }
    for (Pass pass : kPasses) layer.execution.set(pass, possible ? execution : Execution::dense);
  }
  return true;
}

ExecutionDecision NetworkExecution::stays_dense(const Layer& layer, ExecutionDecision decision) const {
  if (choice_ == ExecutionChoice::weights) {
    fail(ErrorKind::usage, layer.path +
                               ": execution = weights serves convolutions of up to 64 taps and 65536 / taps "
                               "channels; use execution = auto, which leaves this layer dense");
  }
  if (choice_ != ExecutionChoice::automatic) {
    fail(ErrorKind::usage, layer.path + ": execution = " + name_of(choice_) +
                               " serves 1x1 and 3x3 convolutions of stride 1 that keep the size; use execution = " +
                               "auto, which leaves this layer dense");
  }
  const bool served = std::any_of(paths_.begin(), paths_.end(), [&](Execution path) { return may_take(layer, path); });
  decision.reason = "cell " + to_string(layer.masked->mask.cell);
  decision.reason += served ? ", too dense to gain" : ", no sparse kernel for this convolution";
  return decision;
}

ExecutionDecision NetworkExecution::decide(const Layer& layer, Pass pass, double density, const PathNumbers& saved,
                                           Execution before) const {
  ExecutionDecision decision{.layer = layer.path, .pass = pass, .density = density};
  decision.changed = before != Execution::dense;
  if (std::count(saved.begin(), saved.end(), 0.0) == kExecutions) return stays_dense(layer, decision);
  if (pass == Pass::backward_weight && follows_dead_weights_) {
    decision.reason = "the moments of dead weights follow their gradients";
    return decision;
  }
  const bool forced = choice_ != ExecutionChoice::automatic;
  PathNumbers speedups;
  speedups.fill(std::numeric_limits<double>::quiet_NaN());
  speedups[0] = 1;
  const Cell& cell = layer.masked->mask.cell;
  decision.reason = "cell " + to_string(cell);
  const auto candidates = std::count_if(saved.begin(), saved.end(), [](double s) { return s != 0; });
  for (const Execution path : paths_) {
    if (saved[static_cast<size_t>(path)] == 0) continue;
    const CrossoverKey key{.geometry = layer.execution.geometry, .pass = pass, .cell = cell, .path = path};
    const double speedup = crossovers_.speedup(key, density, saved[static_cast<size_t>(path)]);
    speedups[static_cast<size_t>(path)] = speedup;
    char text[48];
    std::snprintf(text, sizeof(text), "%.1fx %s", speedup, crossovers_.measured(key) ? "measured" : "estimated");
    decision.reason += candidates > 1 ? std::string(", ") + name_of(path) + " " : ", ";
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
    if (may_take(Execution::block)) bytes += OwnedLists::bytes(layer.execution.index, false, device_);
    if (const WeightIndex& weights = layer.execution.weights; weights.mask) {
      bytes += weight_index_bytes(weights);
    } else if (layer.has_weights()) {
      bytes += weight_index_bytes(weights, choice_ == ExecutionChoice::automatic ? kDensest : 1);
    }
    if (may_take(Execution::cusparse)) bytes += OwnedLists::bytes(layer.execution.cusparse_index, true, device_);
  }
  return bytes;
}

}  // namespace poise
