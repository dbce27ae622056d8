#include "engine/sparse/execution.h"

#include <array>
#include <cstdio>

#include "kernels/table.h"

namespace poise {
namespace {

// A path is entered for a gain of 5% and left when there is none: no flapping at the crossover.
constexpr double kEnter = 1.05, kLeave = 1.0;
constexpr int64_t kBlock = 16;  // that the kernels skip; larger cells are several
constexpr std::array<Pass, 3> kPasses = {Pass::forward, Pass::backward_input, Pass::backward_weight};

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
    ctx.kernels->build_block_index(ctx, layer.masked->bytes, layer.execution.index);
    if (layer.execution.geometry.macs() == 0) continue;
    for (Pass pass : kPasses) decisions.push_back(decide(ctx, layer, pass));
  }
  uint8_t* choice = layers_.empty() ? nullptr : choices_.tensor().data<uint8_t>();
  for (const Layer& layer : layers_) {
    for (Pass pass : kPasses) *choice++ = static_cast<uint8_t>(layer.execution.of(pass));
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

ExecutionDecision NetworkExecution::decide(Context& ctx, Layer& layer, Pass pass) const {
  LayerExecution& e = layer.execution;
  ExecutionDecision decision{.layer = layer.path, .pass = pass, .density = layer.masked->density()};
  const Execution before = e.of(pass);
  Execution now = Execution::dense;
  if (!block_conv2d_serves(e.geometry, e.index.block)) {
    if (choice_ == ExecutionChoice::block) {
      fail(ErrorKind::usage, layer.path + ": execution = block serves 1x1 and 3x3 convolutions of stride 1 that keep " +
                                 "the size; use execution = auto, which leaves this layer dense");
    }
    decision.reason = "no block kernel for this convolution";
  } else {
    const CrossoverKey key{.geometry = e.geometry, .pass = pass, .cell = layer.masked->mask.cell};
    const double dense = ctx.kernels->conv2d_plan(ctx, e.geometry, DType::f32, pass).executed_macs;
    const double block = ctx.kernels->block_conv2d_plan(ctx, e.geometry, e.index, DType::f32, pass).executed_macs;
    decision.speedup = block > 0 ? crossovers_.speedup(key, decision.density, dense / block) : 1e9;
    char text[96];
    std::snprintf(text, sizeof(text), "cell %s, %.1fx %s", to_string(key.cell).c_str(), decision.speedup,
                  crossovers_.measured(key) ? "measured" : "estimated");
    decision.reason = text;
    if (choice_ == ExecutionChoice::block) {
      now = Execution::block;
      decision.reason += ", forced";
    } else {
      now = decision.speedup >= (before == Execution::block ? kLeave : kEnter) ? Execution::block : Execution::dense;
    }
  }
  e.set(pass, now);
  decision.execution = now;
  decision.changed = now != before;
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
