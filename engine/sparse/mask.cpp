#include "engine/sparse/mask.h"

#include "kernels/table.h"

namespace poise {
namespace {

Shape cells_shape(const Shape& weight, const Cell& cell) {
  if (weight.rank() == 2 || cell.all_taps) return {weight[0] / cell.out, weight.back() / cell.in};
  return {weight[0] / cell.out, weight[1], weight[2], weight[3] / cell.in};
}

Shape by_runs(Shape weight, int64_t run) {
  weight[weight.rank() - 1] /= run;
  return weight;
}

std::string layer_path(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

}  // namespace

CellGrid grid_of(const Shape& weight, const Cell& cell) {
  return {.out = weight[0],
          .taps = Cell::taps_of(weight),
          .in = weight.back(),
          .cell_out = cell.out,
          .cell_in = cell.in,
          .all_taps = cell.all_taps};
}

NetworkMasks::NetworkMasks(Module& network, ParameterSlab& slab, const Cell& cell, MaskableHead head, Memory memory) {
  int64_t cells = 0;
  size_t index = 0;
  network.for_each_parameter([&](Parameter& p) {
    const ParameterSlab::Entry& entry = slab.entries()[index++];
    if (!is_maskable(p, MaskableHead::masked_like_paper_code)) return;
    const std::string path = layer_path(p.path);
    if (!is_maskable(p, head)) return dense_layers_.push_back({path, p.shape, "the head of D"});
    if (!cell.divides(p.shape)) {
      undivided_ += p.shape.elements();
      return dense_layers_.push_back({path, p.shape, "cell " + to_string(cell) + " does not divide it"});
    }
    MaskedLayer layer{.path = path, .grid = grid_of(p.shape, cell), .mask = {.cell = cell}, .weight = entry};
    layer.segment = {cells, layer.grid.cells(), layer.grid.weights_per_cell()};
    cells += layer.segment.cells;
    masked_total_ += p.shape.elements();
    segments_.push_back(layer.segment);
    layers_.push_back(layer);
  });

  const int64_t run = mask_run(cell.in, slab.value.dtype), runs = slab.value.elements() / run;
  const size_t bytes_size = align_up(static_cast<size_t>(runs)), alive_size = align_up(static_cast<size_t>(cells));
  const size_t size = memory_bytes_ = bytes_size + alive_size + segments_.size() * sizeof(uint64_t);
  memory_ = MemoryBlock(size, memory);
  const auto place = [&](size_t offset, const Shape& shape, DType dtype) {
    return Tensor{.bytes = memory_.bytes() + offset, .shape = shape, .dtype = dtype, .device = memory.device};
  };
  bytes_ = place(0, {runs}, DType::u8);
  alive_ = place(bytes_size, {cells}, DType::u8);
  counts_ = place(bytes_size + alive_size, {static_cast<int64_t>(segments_.size())}, DType::u64);
  for (MaskedLayer& layer : layers_) {
    const auto element =
        static_cast<size_t>(static_cast<char*>(layer.weight.value.bytes) - static_cast<char*>(slab.value.bytes)) /
        size_of(slab.value.dtype);
    layer.bytes = place(element / static_cast<size_t>(run), by_runs(layer.weight.value.shape, run), DType::u8);
    layer.mask.alive = place(bytes_size + static_cast<size_t>(layer.segment.first),
                             cells_shape(layer.weight.value.shape, cell), DType::u8);
    layer.mask.alive_count = layer.grid.weights();
  }
  if (memory.planned) return;
  const std::vector<uint8_t> ones(static_cast<size_t>(std::max(runs, cells)), 1);
  copy_from_host(bytes_, ones.data());
  copy_from_host(alive_, ones.data());
}

void NetworkMasks::draw(Context& ctx, RandomStream stream, const std::vector<LayerDensity>& densities) {
  require(densities.size() >= layers_.size(), "one density per maskable layer");
  Tensor scores = ctx.arena->alloc(alive_.shape, DType::f32);
  ctx.kernels->random_scores(ctx, stream, scores);
  size_t next = 0;
  for (const MaskedLayer& layer : layers_) {
    while (!densities[next].divisible) ++next;
    const int64_t budget = densities[next++].alive_cells * layer.segment.weights_per_cell;
    const std::span<const CellSegment> where(&layer.segment, 1);
    Arena::Workspace workspace(*ctx.arena, select_workspace(where));
    ctx.kernels->select_cells(ctx, Selection::keep, where, budget, scores, workspace.tensor(), alive_);
  }
  commit(ctx, MomentPolicy::keep);
}

void NetworkMasks::commit(Context& ctx, MomentPolicy policy) {
  for (MaskedLayer& layer : layers_) {
    ParameterSlab::Entry& w = layer.weight;
    ctx.kernels->change_mask(ctx, policy, layer.grid,
                             {.alive = layer.mask.alive,
                              .mask = layer.bytes,
                              .grad = w.grad,
                              .value = w.value,
                              .m = w.adam_m,
                              .v = w.adam_v,
                              .ema = w.ema});
    layer.mask.version += 1;
  }
  count(ctx);
}

int64_t NetworkMasks::count(Context& ctx) {
  ctx.kernels->count_alive(ctx, segments_, alive_, counts_);
  if (!ctx.planning) {
    std::vector<uint64_t> cells(segments_.size());
    copy_to_host(cells.data(), counts_);
    for (size_t i = 0; i < cells.size(); ++i) {
      layers_[i].mask.alive_count = static_cast<int64_t>(cells[i]) * segments_[i].weights_per_cell;
    }
  }
  return alive_weights() - undivided_;
}

int64_t NetworkMasks::alive_weights() const {
  int64_t sum = undivided_;
  for (const MaskedLayer& layer : layers_) sum += layer.mask.alive_count;
  return sum;
}

}  // namespace poise
