#include "apps/training/sparse_training.h"

#include <cmath>
#include <limits>

#include "apps/console/program.h"
#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

MaskEvent event_of(const std::string& network, const NetworkMasks& masks, const char* kind, int64_t t) {
  MaskEvent event{.iteration = t, .network = network, .kind = kind, .alive = masks.alive_weights()};
  event.density = masks.density();
  for (const MaskedLayer& layer : masks.layers()) event.layers.emplace_back(layer.path, layer.density());
  return event;
}

// Those of the device; a plan may be for one that is not here.
CrossoverTable measured_crossovers(const SparseMethod& method, const Context& ctx) {
  if (!method.masks || !gpu::why_unavailable(ctx.device).empty()) return {};
  return CrossoverTable::load(CrossoverTable::default_path(device_identity(ctx.device, ctx.precision)));
}

}  // namespace

// The masks of one network and what its controller remembers.
struct SparseTraining::Masked {
  std::string name;
  RandomStream stream;
  Module& network;
  NetworkMasks masks;
  NetworkExecution execution;
  double density;      // asked for
  int64_t target = 0;  // alive weights that go with it

  Masked(const char* n, RandomStream s, Module& module, ParameterSlab& slab, const SparseOptions& o,
         const CrossoverTable& crossovers, double initial, Device memory, Device computes, bool planning)
      : name(n),
        stream(s),
        network(module),
        masks(module, slab, o.cell, o.head(), memory, planning),
        execution(module, masks, o.execution, crossovers, computes, planning),
        density(initial) {}
};

SparseTraining::SparseTraining(const SparseOptions& options, GanStep& step, const Shape& real, DType activations,
                               bool labelled, Device device, bool planning)
    : options_(options),
      method_(sparse_method(options.method)),
      prune_at_(poise::prune_at(options)),
      step_(step),
      crossovers_(measured_crossovers(method_, step.tape->ctx)),
      queue_(measures_balance() ? options.br_window / options.br_every : 0, device),
      means_({3}, DType::f32, device),
      counters_({3}, DType::f64, Device::cpu) {
  if (method_.masks) {
    const double initial_g = prune_at_ > 0 ? 1.0 : options.density_g;
    g_ = std::make_unique<Masked>("G", RandomStream::mask_g, *step.model->generator, *step.slab_g, options, crossovers_,
                                  initial_g, device, step.tape->ctx.device, planning);
    step.mask_g = g_->masks.bytes();
  }
  if (method_.masks_d) {
    d_ = std::make_unique<Masked>("D", RandomStream::mask_d, *step.model->discriminator, *step.slab_d, options,
                                  crossovers_, options.density_d, device, step.tape->ctx.device, planning);
    step.mask_d = d_->masks.bytes();
  }
  if (measures_balance()) {
    real_ = OwnedTensor(real, activations, device);
    if (labelled) real_labels_ = OwnedTensor({real[0]}, DType::i32, device);
    step.mean_g = means_.tensor().slice(0, 1);
  }
}

SparseTraining::~SparseTraining() = default;

DropSchedule SparseTraining::drop_schedule() const {
  return {.shape = options_.drop_schedule,
          .start = options_.drop_fraction,
          .end = options_.drop_fraction_end,
          .length = options_.schedule_iterations};
}

DensityControl SparseTraining::density_control() const {
  return {.low = options_.band_low,
          .high = options_.band_high,
          .step = options_.density_step,
          .floor = options_.density_floor,
          .limit = method_.strict ? options_.d_max : 1.0,
          .rewire_at_limit = method_.strict};
}

void SparseTraining::draw_masks() {
  for (Masked* m : {g_.get(), d_.get()}) {
    if (!m) continue;
    m->masks.draw(ctx(), m->stream,
                  layer_densities(maskable_layers(m->network, options_.head()), options_.density_rule, m->density,
                                  options_.cell));
    m->target = m->masks.alive_weights();
    note(*m, "initial", 0, {}, 0);
    decide_execution(*m, 0);
  }
}

void SparseTraining::measure_balance(const Labelled& z) {
  Tensor a_post = means_.tensor().slice(1, 1), r = means_.tensor().slice(2, 1);
  balance_probe(step_, real(), z, a_post, r);
  queue_.push(ctx(), a_post, means_.tensor().slice(0, 1), r);
}

bool SparseTraining::update_due(Network network, int64_t t) const {
  // Once: a run that is resumed for more iterations has another prune_at.
  if (network == Network::generator && t == prune_at_) return t > 0 && g_->target == weights_at(g_->masks, 1.0);
  const bool changes = network == Network::generator ? method_.growth_g.has_value() : method_.control_d;
  const int64_t every = network == Network::generator ? options_.update_every_g : options_.update_every_d;
  return changes && t % every == 0 && t < options_.schedule_iterations;
}

void SparseTraining::prepare(int64_t t) {
  if (g_) g_->execution.set_dense_weight_gradients(update_due(Network::generator, t));
  if (d_) d_->execution.set_dense_weight_gradients(update_due(Network::discriminator, t));
}

std::vector<ExecutionDecision> SparseTraining::predict_execution(Network which) const {
  const Masked* m = which == Network::generator ? g_.get() : d_.get();
  if (!m) return {};
  const std::vector<MaskableLayer> maskable = maskable_layers(m->network, options_.head());
  const std::vector<LayerDensity> densities =
      layer_densities(maskable, options_.density_rule, m->density, options_.cell);
  std::vector<double> of_masked;
  for (const MaskedLayer& layer : m->masks.layers()) {
    for (size_t i = 0; i < maskable.size(); ++i) {
      if (maskable[i].path != layer.path) continue;
      of_masked.push_back(static_cast<double>(densities[i].alive_cells) / static_cast<double>(densities[i].cells));
    }
  }
  return m->execution.predict(step_.tape->ctx, of_masked);
}

void SparseTraining::set_all_executions(Execution execution) {
  for (Masked* m : {g_.get(), d_.get()}) {
    if (m) m->execution.set_all(execution);
  }
}

void SparseTraining::decide_execution(Masked& network, int64_t t) {
  for (const ExecutionDecision& decision : network.execution.update(ctx())) {
    if (decision.changed || t == 0) execution_events_.push_back({t, decision});
  }
}

bool SparseTraining::update_masks(int64_t t) {
  const bool g_due = update_due(Network::generator, t), d_due = update_due(Network::discriminator, t);
  if (g_due) {
    if (prune_at_ > 0)
      prune_g(t);
    else
      rewire(*g_,
             {.growth = *method_.growth_g,
              .scope = options_.selection_scope,
              .moments = options_.moment_policy,
              .stream = g_->stream},
             t);
    decide_execution(*g_, t);
  }
  if (d_due) {
    control_d(t);
    decide_execution(*d_, t);
  }
  return g_due || d_due;
}

void SparseTraining::plan_updates() {
  for (Masked* m : {g_.get(), d_.get()}) {
    if (!m) continue;
    ctx().arena->reset();
    drop_and_grow(ctx(), m->masks, {}, 0, m->target);
  }
}

// G becomes its moving average, loses its smallest weights, and the average starts anew from there.
void SparseTraining::prune_g(int64_t t) {
  ParameterSlab& slab = *step_.slab_g;
  ctx().arena->reset();
  ctx().kernels->copy(ctx(), slab.ema, slab.value);
  g_->density = options_.density_g;
  g_->target = weights_at(g_->masks, g_->density);
  const MaskChange change = lower_to(ctx(), g_->masks, g_->target);
  slab.copy_value_to_ema(ctx());
  note(*g_, "prune", t, change, 0);
}

void SparseTraining::rewire(Masked& network, const PruneGrow& how, int64_t t) {
  const double fraction = drop_schedule().at(t);
  ctx().arena->reset();
  note(network, "drop_grow", t, drop_and_grow(ctx(), network.masks, how, fraction, network.target), fraction);
}

void SparseTraining::control_d(int64_t t) {
  using Kind = DensityDecision::Kind;
  const BalanceReadings readings = report().balance;
  const bool full = readings.entries == queue_.capacity();
  const double ratio = full ? readings.of(options_.br_mode) : kNone;
  const DensityDecision decision = decide(density_control(), d_->density, ratio);
  if (decision.kind != Kind::rewire) {
    d_->density = decision.density;
    if (decision.kind != Kind::none) d_->target = weights_at(d_->masks, d_->density);
  }
  ctx().arena->reset();
  switch (decision.kind) {
    case Kind::none:
      note(*d_, "none", t, {}, 0);
      break;
    case Kind::raise:
      note(*d_, "raise", t, raise_to(ctx(), d_->masks, options_.moment_policy, d_->target), options_.density_step);
      break;
    case Kind::lower:
      note(*d_, "lower", t, lower_to(ctx(), d_->masks, d_->target), options_.density_step);
      break;
    case Kind::rewire:
      rewire(*d_, {.scope = options_.selection_scope, .moments = options_.moment_policy, .stream = d_->stream}, t);
      break;
  }
  events_.back().balance_ratio = ratio;
}

void SparseTraining::note(Masked& network, const char* kind, int64_t t, const MaskChange& change,
                          double drop_fraction) {
  MaskEvent event = event_of(network.name, network.masks, kind, t);
  event.dropped = change.dropped;
  event.grown = change.grown;
  event.drop_fraction = drop_fraction;
  event.balance_ratio = kNone;
  events_.push_back(event);
  const double counters[] = {g_ ? static_cast<double>(g_->target) : 0, d_ ? static_cast<double>(d_->target) : 0,
                             d_ ? d_->density : 1};
  copy_from_host(counters_.tensor(), counters);
}

SparseReport SparseTraining::report() const {
  SparseReport report{.balance = {.latest = kNone, .mean_of_ratios = kNone, .ratio_of_sums = kNone}};
  if (measures_balance() && !ctx().planning) report.balance = queue_.read(ctx());
  if (g_) report.density_g = g_->masks.density();
  if (d_) report.density_d = d_->masks.density();
  return report;
}

void SparseTraining::append_state(std::vector<NamedTensor>& all) {
  for (Masked* m : {g_.get(), d_.get()}) {
    if (!m) continue;
    for (const MaskedLayer& layer : m->masks.layers()) {
      all.push_back({m->name + ".mask." + layer.weight.path, layer.mask.alive});
    }
    if (m->execution.choices()) all.push_back({m->name + ".execution", m->execution.choices().tensor()});
  }
  if (method_.masks) all.push_back({"sparse.counters", counters_.tensor()});
  if (!measures_balance()) return;
  all.push_back({"balance.triples", queue_.triples()});
  all.push_back({"balance.pushed", queue_.pushed()});
}

void SparseTraining::restored() {
  double counters[3];
  copy_to_host(counters, counters_.tensor());
  if (g_) g_->target = static_cast<int64_t>(counters[0]);
  if (d_) d_->target = static_cast<int64_t>(counters[1]), d_->density = counters[2];
  // Dead weights are zero already, so nothing but the bytes for Adam and the counts follows the masks here.
  for (Masked* m : {g_.get(), d_.get()}) {
    if (!m) continue;
    m->masks.commit(ctx(), MomentPolicy::keep);
    m->execution.restore(ctx());
  }
  events_.clear();
  execution_events_.clear();
}

size_t SparseTraining::bytes() const {
  size_t bytes = queue_.triples().size_bytes() + (real_ ? real_.tensor().size_bytes() : 0) +
                 (real_labels_ ? real_labels_.tensor().size_bytes() : 0);
  for (const Masked* m : {g_.get(), d_.get()}) bytes += m ? m->masks.memory_bytes() + m->execution.memory_bytes() : 0;
  return bytes;
}

}  // namespace poise
