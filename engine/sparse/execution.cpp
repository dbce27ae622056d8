#include "engine/sparse/execution.h"

#include <array>
#include <cstdio>

#include "kernels/table.h"

namespace poise {
namespace {

// A path is entered for a gain of 5% and left when there is none: no flapping at the crossover.
constexpr double kEnter = 1.05, kLeave = 1.0;
constexpr int64_t kBlock = 16;        // that the kernels skip; larger cells are several
constexpr double kEverything = 1000;  // saved, where nothing is alive
constexpr std::array<Pass, 3> kPasses = {Pass::forward, Pass::backward_input, Pass::backward_weight};

// Alive taps of a pair of blocks, as the kernels multiply them, per pixel of the stored image, if each cell is alive
// with probability `density`. Where a 3x3 convolution enlarges, each of 16 positions is a sum of one, two or four taps.
double expected_positions(const Conv2dGeometry& g, const Cell& cell, double density) {
  if (g.upsample == 1 || g.kh == 1) return density * static_cast<double>(g.kh * g.kw);
  if (cell.all_taps) return density * 16;
  const double none = 1 - density;
  return 4 * (1 - none) + 8 * (1 - none * none) + 4 * (1 - none * none * none * none);
}

}  // namespace

const char* name_of(Execution execution) { return execution == Execution::block ? "block" : "dense"; }

std::vector<std::string> execution_choice_names() { return {"auto", "dense", "block"}; }
std::optional<ExecutionChoice> execution_choice_of(const std::string& name) {
  if (name == "auto") return ExecutionChoice::automatic;
  if (name == "dense") return ExecutionChoice::dense;
  if (name == "block") return ExecutionChoice::block;
  return std::nullopt;
}

int64_t block_of(const Cell& cell) { return cell.out % kBlock == 0 && cell.in % kBlock == 0 ? kBlock : 0; }

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
  OwnedTensor row_offsets, col_of_block;
};

NetworkExecution::NetworkExecution(Module& network, NetworkMasks& masks, ExecutionChoice choice,
                                   const CrossoverTable& crossovers, Device device, bool planning)
    : choice_(choice), crossovers_(crossovers) {
  if (choice == ExecutionChoice::dense) return;
  for (const MaskedLayer& masked : masks.layers()) {
    const int64_t block = block_of(masked.mask.cell);
    if (block == 0) {
      if (choice == ExecutionChoice::automatic) return;  // masked, without a speed-up
      fail(ErrorKind::usage, "execution = block skips blocks of 16x16 weights, but the masks have cells of " +
                                 to_string(masked.mask.cell) + "; use cell = 16x16 or execution = auto");
    }
    Layer& layer = layers_.emplace_back();
    layer.masked = &masked;
    const CellGrid& grid = masked.grid;
    BlockIndex& index = layer.execution.index;
    index = {.block = block, .out_blocks = grid.out / block, .in_blocks = grid.in / block, .taps = grid.taps};
    // Until masks are drawn every block counts as alive: a plan then knows the most that a pass can need.
    index.alive = index.capacity();
    index.alive_in_parities = grid.taps == 9 ? 16 * index.out_blocks * index.in_blocks : 0;
    if (!planning) {
      layer.row_offsets = OwnedTensor({index.out_blocks + 1}, DType::i32, device);
      layer.col_of_block = OwnedTensor({index.capacity()}, DType::i32, device);
      index.row_offsets = layer.row_offsets.tensor();
      index.col_of_block = layer.col_of_block.tensor();
    }
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

std::vector<ExecutionDecision> NetworkExecution::update(Context& ctx) {
  std::vector<ExecutionDecision> decisions;
  for (Layer& layer : layers_) {
    LayerExecution& e = layer.execution;
    ctx.kernels->build_block_index(ctx, layer.masked->bytes, e.index);
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
    ctx.kernels->build_block_index(ctx, layer.masked->bytes, layer.execution.index);
    for (Pass pass : kPasses) layer.execution.set(pass, *choice++ == 1 ? Execution::block : Execution::dense);
  }
}

void NetworkExecution::set_all(Execution execution) {
  for (Layer& layer : layers_) {
    for (Pass pass : kPasses) layer.execution.set(pass, execution);
  }
}

ExecutionDecision NetworkExecution::decide(const Layer& layer, Pass pass, double density, double saved,
                                           Execution before) const {
  ExecutionDecision decision{.layer = layer.path, .pass = pass, .density = density};
  if (saved == 0) {
    if (choice_ == ExecutionChoice::block) {
      fail(ErrorKind::usage, layer.path + ": execution = block serves 1x1 and 3x3 convolutions of stride 1 that keep " +
                                 "the size; use execution = auto, which leaves this layer dense");
    }
    decision.reason = "no block kernel for this convolution";
    return decision;
  }
  const CrossoverKey key{.geometry = layer.execution.geometry, .pass = pass, .cell = layer.masked->mask.cell};
  decision.speedup = crossovers_.speedup(key, density, saved);
  char text[96];
  std::snprintf(text, sizeof(text), "cell %s, %.1fx %s", to_string(key.cell).c_str(), decision.speedup,
                crossovers_.measured(key) ? "measured" : "estimated");
  decision.reason = text;
  if (choice_ == ExecutionChoice::block) {
    decision.execution = Execution::block;
    decision.reason += ", forced";
  } else if (decision.speedup >= (before == Execution::block ? kLeave : kEnter)) {
    decision.execution = Execution::block;
  }
  decision.changed = decision.execution != before;
  return decision;
}

void NetworkExecution::set_dense_weight_gradients(bool wanted) {
  for (Layer& layer : layers_) layer.execution.dense_weight_gradient = wanted;
}

size_t NetworkExecution::memory_bytes() const {
  size_t bytes = 0;
  for (const Layer& layer : layers_) {
    bytes +=
        static_cast<size_t>(layer.execution.index.out_blocks + 1 + layer.execution.index.capacity()) * sizeof(int32_t);
  }
  return bytes;
}

}  // namespace poise
