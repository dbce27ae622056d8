#include "apps/training/sparse_training.h"

#include <cmath>
#include <limits>

#include "apps/console/program.h"
#include "kernels/core/simd.h"
#include "kernels/gpu/runtime.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The crossovers measured on the device; none if a plan is for a device that is not available.
CrossoverTable measured_crossovers(const Context& ctx) {
  if (!gpu::why_unavailable(ctx.device).empty()) return {};
  CrossoverTable table = CrossoverTable::load(CrossoverTable::default_path(device_identity(ctx.device, ctx.precision)));
  const bool bf16_products = ctx.device == Device::cpu && ctx.precision == Precision::bf16 && has_bf16_products();
  if (bf16_products) table.expect_slow_weights(2);  // their kernels multiply in f32
  return table;
}

}  // namespace

// One network with masks.
struct SparseTraining::Side {
  const Network which;
  const std::string name;  // "G", "D"
  const MaskPolicy& policy;
  Module& module;
  MaskedNetwork masked;
  NetworkExecution execution;
  bool dense_gradients = false;  // as last prepared

  Side(Network network, const MaskPolicy& p, Module& m, ParameterSlab& slab, const SparseOptions& o,
       const CrossoverTable& crossovers, Memory memory)
      : which(network),
        name(m.path()),
        policy(p),
        module(m),
        masked{.slab = slab,
               .masks = NetworkMasks(m, slab, o.cell, o.head(), memory),
               .stream = network == Network::generator ? RandomStream::mask_g : RandomStream::mask_d,
               .density = p.planned_density(0)},
        execution(m, masked.masks, o.execution, crossovers, memory) {
    if (o.moment_policy == MomentPolicy::keep) execution.always_dense_weight_gradients();
  }
};

SparseTraining::SparseTraining(const SparseOptions& options, GanModel& model, ParameterSlab& slab_g,
                               ParameterSlab& slab_d, Context& ctx, const Shape& real, DType activations, Memory memory)
    : options_(options),
      policies_(policies_of(options)),
      ctx_(ctx),
      crossovers_(policies_.masks() ? measured_crossovers(ctx) : CrossoverTable()),
      queue_(measures_balance() ? options.br_window / options.br_every : 0, memory.of_scalars()),
      means_({3}, DType::f32, memory.of_scalars()),
      counters_({3}, DType::f64, Device::cpu) {
  const auto add_side = [&](Network network, Module& module, ParameterSlab& slab) {
    const MaskPolicy* policy = policies_.of(network);
    if (!policy) return;
    sides_.push_back(std::make_unique<Side>(network, *policy, module, slab, options, crossovers_, memory));
  };
  add_side(Network::generator, *model.generator, slab_g);
  add_side(Network::discriminator, *model.discriminator, slab_d);
  if (measures_balance()) {
    real_ = OwnedTensor(real, activations, memory.of_scalars());
    if (model.generator->classes > 0) real_labels_ = OwnedTensor({real[0]}, DType::i32, memory.of_scalars());
  }
}

SparseTraining::~SparseTraining() = default;

Tensor SparseTraining::mask(Network network) const {
  for (const auto& side : sides_)
    if (side->which == network) return side->masked.masks.bytes();
  return {};
}

const NetworkMasks* SparseTraining::masks(Network network) const {
  for (const auto& side : sides_)
    if (side->which == network) return &side->masked.masks;
  return nullptr;
}

bool SparseTraining::reads_dense_gradients(Network network) const {
  for (const auto& side : sides_)
    if (side->which == network) return side->dense_gradients || options_.moment_policy == MomentPolicy::keep;
  return true;
}

Tensor SparseTraining::mean_g() const { return measures_balance() ? means_.tensor().slice(0, 1) : Tensor{}; }

void SparseTraining::draw_masks() {
  for (const auto& side : sides_) {
    MaskedNetwork& masked = side->masked;
    masked.masks.draw(ctx_, masked.stream, densities_of(side->module, options_, masked.density));
    masked.target = masked.masks.alive_weights();
    note(*side, {.kind = "initial"}, 0, kNone);
    decide_execution(*side, 0);
  }
}

void SparseTraining::measure_balance(GanStep& step, const Labelled& z, Ranks* ranks) {
  Tensor a_post = means_.tensor().slice(1, 1), r = means_.tensor().slice(2, 1);
  balance_probe(step, real(), z, a_post, r);
  if (ranks) {
    Arena::Scratch scratch(*ctx_.arena, ranks->mean_scratch(means_.tensor()));
    ranks->mean(ctx_, means_.tensor(), scratch);
  }
  queue_.push(ctx_, a_post, mean_g(), r);
}

bool SparseTraining::prepare(int64_t t) {
  bool changed = false;
  for (const auto& side : sides_) {
    const bool wanted = side->policy.wants_dense_gradient(t);
    changed |= std::exchange(side->dense_gradients, wanted) != wanted;
    side->execution.set_dense_weight_gradients(wanted);
  }
  return changed;
}

std::vector<ExecutionDecision> SparseTraining::predict_execution() const {
  std::vector<ExecutionDecision> all;
  for (const auto& side : sides_) {
    const MaskedNetwork& masked = side->masked;
    const std::vector<MaskableLayer> maskable = maskable_layers(side->module, options_.head());
    const std::vector<LayerDensity> densities = densities_of(side->module, options_, masked.density);
    std::vector<double> of_masked;
    for (const MaskedLayer& layer : masked.masks.layers()) {
      for (size_t i = 0; i < maskable.size(); ++i) {
        if (maskable[i].path != layer.path) continue;
        of_masked.push_back(static_cast<double>(densities[i].alive_cells) / static_cast<double>(densities[i].cells));
      }
    }
    for (const ExecutionDecision& decision : side->execution.predict(ctx_, of_masked)) all.push_back(decision);
  }
  return all;
}

bool SparseTraining::set_all_executions(Execution execution) {
  bool taken = execution == Execution::dense;
  for (const auto& side : sides_) taken |= side->execution.set_all(execution);
  return taken;
}

void SparseTraining::decide_execution(Side& side, int64_t t) {
  for (const ExecutionDecision& decision : side.execution.update(ctx_)) {
    if (decision.changed || t == 0) execution_events_.push_back({t, decision});
  }
}

bool SparseTraining::update_masks(int64_t t) {
  bool updated = false;
  for (const auto& side : sides_) {
    if (!side->policy.due(t)) continue;
    const double ratio = side->policy.follows_balance() ? balance_ratio() : kNone;
    ctx_.arena->reset();
    note(*side, side->policy.apply(ctx_, side->masked, t, ratio), t, ratio);
    decide_execution(*side, t);
    updated = true;
  }
  return updated;
}

void SparseTraining::plan_updates() {
  for (const auto& side : sides_) {
    ctx_.arena->reset();
    drop_and_grow(ctx_, side->masked.masks, {}, 0, side->masked.target);
  }
}

double SparseTraining::balance_ratio() const {
  const BalanceReadings readings = report().balance;
  return readings.entries == queue_.capacity() ? readings.of(options_.br_mode) : kNone;
}

void SparseTraining::note(const Side& side, const MaskAction& action, int64_t t, double balance_ratio) {
  const NetworkMasks& masks = side.masked.masks;
  MaskEvent event{.iteration = t,
                  .network = side.name,
                  .kind = action.kind,
                  .dropped = action.change.dropped,
                  .grown = action.change.grown,
                  .alive = masks.alive_weights(),
                  .density = masks.density(),
                  .drop_fraction = action.drop_fraction,
                  .balance_ratio = balance_ratio};
  for (const MaskedLayer& layer : masks.layers()) event.layers.emplace_back(layer.path, layer.density());
  events_.push_back(event);
  double counters[] = {0, 0, 1};
  for (const auto& s : sides_) {
    counters[s->which == Network::generator ? 0 : 1] = static_cast<double>(s->masked.target);
    if (s->which == Network::discriminator) counters[2] = s->masked.density;
  }
  copy_from_host(counters_.tensor(), counters);
}

SparseReport SparseTraining::report() const {
  SparseReport report{.balance = {.latest = kNone, .mean_of_ratios = kNone, .ratio_of_sums = kNone}};
  if (measures_balance() && !ctx_.planning) report.balance = queue_.read(ctx_);
  for (const auto& side : sides_) {
    (side->which == Network::generator ? report.density_g : report.density_d) = side->masked.masks.density();
  }
  return report;
}

void SparseTraining::append_state(std::vector<NamedTensor>& all) {
  for (const auto& side : sides_) {
    for (const MaskedLayer& layer : side->masked.masks.layers()) {
      all.push_back({side->name + ".mask." + layer.weight.path, layer.mask.alive});
    }
    if (side->execution.choices()) all.push_back({side->name + ".execution", side->execution.choices().tensor()});
  }
  if (policies_.masks()) all.push_back({"sparse.counters", counters_.tensor()});
  if (!measures_balance()) return;
  all.push_back({"balance.triples", queue_.triples()});
  all.push_back({"balance.pushed", queue_.pushed()});
}

void SparseTraining::restored() {
  double counters[3];
  copy_to_host(counters, counters_.tensor());
  // Dead weights are already zero, so commit() changes only the bytes for Adam and the counts.
  for (const auto& side : sides_) {
    side->masked.target = static_cast<int64_t>(counters[side->which == Network::generator ? 0 : 1]);
    if (side->which == Network::discriminator) side->masked.density = counters[2];
    side->masked.masks.commit(ctx_, MomentPolicy::keep);
    side->execution.restore(ctx_);
  }
  events_.clear();
  execution_events_.clear();
}

size_t SparseTraining::bytes() const {
  size_t bytes = queue_.triples().size_bytes() + (real_ ? real_.tensor().size_bytes() : 0) +
                 (real_labels_ ? real_labels_.tensor().size_bytes() : 0);
  for (const auto& side : sides_) bytes += side->masked.masks.memory_bytes() + side->execution.memory_bytes();
  return bytes;
}

}  // namespace poise
