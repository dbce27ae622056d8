#include "engine/sparse/prune_grow.h"

#include <cmath>

#include "kernels/table.h"

namespace poise {
namespace {

enum class Of : uint8_t { value, gradient };

void score(Context& ctx, const NetworkMasks& masks, Of what, Tensor& scores) {
  for (const MaskedLayer& layer : masks.layers()) {
    Tensor part = scores.slice(layer.segment.first, layer.segment.cells);
    ctx.kernels->cell_scores(ctx, layer.grid, what == Of::value ? layer.weight.value : layer.weight.grad, part);
  }
}

void select(Context& ctx, NetworkMasks& masks, Selection selection, std::span<const CellSegment> where, int64_t budget,
            const Tensor& scores) {
  int64_t least = 0;
  if (selection == Selection::keep) {
    for (const CellSegment& layer : where) least += layer.weights_per_cell;
  }
  Arena::Workspace workspace(*ctx.arena, select_workspace(where));
  ctx.kernels->select_cells(ctx, selection, where, std::max(budget, least), scores, workspace.tensor(), masks.alive());
}

int64_t kept_of(int64_t alive, double drop_fraction) {
  return alive - static_cast<int64_t>(std::floor(static_cast<double>(alive) * drop_fraction));
}

std::vector<int64_t> alive_by_layer(const NetworkMasks& masks) {
  std::vector<int64_t> alive;
  for (const MaskedLayer& layer : masks.layers()) alive.push_back(layer.mask.alive_count);
  return alive;
}

}  // namespace

int64_t weights_at(const NetworkMasks& masks, double density) {
  return std::llround(density * static_cast<double>(masks.total()));
}

MaskChange drop_and_grow(Context& ctx, NetworkMasks& masks, const PruneGrow& how, double drop_fraction,
                         int64_t target) {
  const bool global = how.scope == SelectionScope::global;
  const std::vector<int64_t> layer_before = alive_by_layer(masks);
  const int64_t before = masks.alive_weights() - masks.undivided();

  Tensor scores = ctx.arena->alloc(masks.alive().shape, DType::f32);
  score(ctx, masks, Of::value, scores);
  if (global) select(ctx, masks, Selection::keep, masks.segments(), kept_of(before, drop_fraction), scores);
  for (size_t i = 0; !global && i < layer_before.size(); ++i) {
    select(ctx, masks, Selection::keep, std::span(&masks.segments()[i], 1), kept_of(layer_before[i], drop_fraction),
           scores);
  }
  const int64_t kept = masks.count(ctx);
  const std::vector<int64_t> layer_kept = alive_by_layer(masks);

  if (how.growth == Growth::gradient)
    score(ctx, masks, Of::gradient, scores);
  else
    ctx.kernels->random_scores(ctx, how.stream, scores);
  if (global) select(ctx, masks, Selection::grow, masks.segments(), target - masks.undivided() - kept, scores);
  for (size_t i = 0; !global && i < layer_before.size(); ++i) {
    select(ctx, masks, Selection::grow, std::span(&masks.segments()[i], 1), layer_before[i] - layer_kept[i], scores);
  }
  masks.commit(ctx, how.moments);
  return {.dropped = before - kept, .grown = masks.alive_weights() - masks.undivided() - kept};
}

MaskChange grow_to(Context& ctx, NetworkMasks& masks, MomentPolicy moments, int64_t target) {
  const int64_t before = masks.alive_weights();
  Tensor scores = ctx.arena->alloc(masks.alive().shape, DType::f32);
  score(ctx, masks, Of::gradient, scores);
  select(ctx, masks, Selection::grow, masks.segments(), target - before, scores);
  masks.commit(ctx, moments);
  return {.grown = masks.alive_weights() - before};
}

MaskChange prune_to(Context& ctx, NetworkMasks& masks, int64_t target) {
  const int64_t before = masks.alive_weights();
  Tensor scores = ctx.arena->alloc(masks.alive().shape, DType::f32);
  score(ctx, masks, Of::value, scores);
  select(ctx, masks, Selection::keep, masks.segments(), target - masks.undivided(), scores);
  masks.commit(ctx, MomentPolicy::keep);  // nothing grows
  return {.dropped = before - masks.alive_weights()};
}

}  // namespace poise
