#include "apps/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "apps/gan_step.h"

namespace poise {
namespace {

bool launches_are_synchronous() {
  const char* text = std::getenv("POISE_SYNC");
  return text && std::string(text) == "1";
}

// From iterations to updates of a network.
UpdateSchedule schedule_of(const TrainerOptions& o, Network network) {
  const int64_t updates = network == Network::generator ? 1 : o.n_critic;
  return {.decay_begin = static_cast<uint64_t>(updates * o.decay_start),
          .decay_end = static_cast<uint64_t>(updates * o.decay_end),
          .ema_start = static_cast<uint64_t>(updates * o.ema_start)};
}

// Everything that an iteration touches, on a real device or in a plan.
struct Machine {
  const TrainerOptions options;
  const Device memory;  // where it lies; a plan touches no GPU
  KernelTable kernels;
  std::unique_ptr<gpu::Stream> queue;
  OwnedTensor step_state{Shape{static_cast<int64_t>(sizeof(StepState))}, DType::u8, memory};
  int64_t iterations = 0;       // what the step state will say once everything asked for is done
  int64_t first_iteration = 0;  // reports begin after it
  Context ctx;
  Tape tape{ctx};
  GanModel model;
  ParameterSlab slab_g, slab_d;
  Arena arena;
  OwnedTensor results{Shape{8}, DType::f32, memory};  // loss_d, mean_real, mean_fake, loss_g, then D's sums
  OwnedTensor losses{Shape{Trainer::kReportsKept, 4}, DType::f32, memory};  // kernels/train/loss_ring.h
  Tensor images;                                                            // u8 [N,H,W,C]
  Tensor labels;                                                            // i32 [N] of a conditional model
  OwnedTensor work_done{Shape{2}, DType::f64, Device::cpu};                 // WorkDone, on the host
  WorkDone per_iteration, per_balance;                                      // as masks and choices are now
  GanStep step;
  std::unique_ptr<SparseTraining> sparse;
  StepGraph d_graph, g_graph, balance_graph;

  Machine(const TrainerOptions& o, Arena step_arena, bool planning)
      : options(o),
        memory(planning ? Device::cpu : o.device),
        kernels(o.kernels ? *o.kernels : kernels_of(o.device)),
        model(make_model(o.model)),
        slab_g(*model.generator, DType::f32, o.device, true, planning),
        slab_d(*model.discriminator, DType::f32, o.device, false, planning),
        arena(std::move(step_arena)),
        d_graph(
            tape, [this] { run_d_step(); }, o.graphs),
        g_graph(
            tape, [this] { run_g_step(); }, o.graphs),
        balance_graph(
            tape, [this] { sparse->measure_balance(latents_g()); }, o.graphs) {
    if (planning) kernels = planning_kernels(kernels);
    if (memory != Device::cpu) queue = gpu::runtime(memory).make_stream();
    ctx.device = o.device;
    ctx.precision = o.precision;
    ctx.kernels = &kernels;
    ctx.arena = &arena;
    ctx.step = reinterpret_cast<StepState*>(step_state.tensor().bytes);
    ctx.stream = queue.get();
    ctx.planning = planning;
    ctx.synchronous = launches_are_synchronous();
    const StepState zero;
    copy_from_host(step_state.tensor(), &zero);
    const Tensor& r = results.tensor();
    step = {.model = &model,
            .slab_g = &slab_g,
            .slab_d = &slab_d,
            .tape = &tape,
            .loss = o.loss,
            .adam = o.adam,
            .schedule_g = schedule_of(o, Network::generator),
            .schedule_d = schedule_of(o, Network::discriminator),
            .ema_decay = o.ema_decay,
            .augment = o.augment,
            .micro_batches = o.accumulate,
            .loss_d = r.slice(0, 1),
            .loss_g = r.slice(3, 1),
            .means_d = r.slice(1, 2)};
    sparse = std::make_unique<SparseTraining>(o.sparse, step, real_shape(), activation_dtype(o.precision),
                                              conditional(), memory, planning);
  }

  Shape real_shape() const {
    const Shape& image = model.generator->image_shape;
    return {options.batch_size_d, image[0], image[1], image[2]};
  }

  bool conditional() const { return model.generator->classes > 0; }

  Labelled latents(RandomStream stream, RandomStream label_stream, int64_t count) {
    Tensor z = ctx.arena->alloc({count, model.generator->latent_size}, activation_dtype(options.precision));
    tape.launch({.op = "random_normal", .bytes = static_cast<double>(z.size_bytes())}, ctx.kernels->random_normal,
                stream, z);
    if (!conditional()) return {z};
    Tensor classes = ctx.arena->alloc({count}, DType::i32);
    tape.launch({.op = "random_labels", .bytes = static_cast<double>(classes.size_bytes())}, ctx.kernels->random_labels,
                label_stream, model.generator->classes, classes);
    return {z, classes};
  }

  Labelled new_minibatch() {
    return {ctx.arena->alloc(real_shape(), activation_dtype(options.precision)),
            conditional() ? ctx.arena->alloc({options.batch_size_d}, DType::i32) : Tensor{}};
  }

  void run_d_step() {
    Labelled real = sparse->measures_balance() ? sparse->real() : new_minibatch();
    // One loader batch of the method holds n_critic minibatches; the incomplete one at the end of an epoch is dropped.
    const int64_t loader_batches = images.shape[0] / (options.n_critic * options.batch_size_d);
    const GatherOptions gather{.batches_per_epoch = loader_batches * options.n_critic, .flip = options.flip};
    tape.launch({.op = "gather_images", .bytes = 1.25 * static_cast<double>(real.values.size_bytes())},
                ctx.kernels->gather_images, gather, images, labels, real.values, real.labels);
    d_step(step, real, latents(RandomStream::latent_d, RandomStream::label_d, options.batch_size_d));
    Tensor last = results.tensor().slice(0, 3), sum = results.tensor().slice(4, 3);
    ctx.kernels->add(ctx, sum, last, sum);
  }

  // Of the G step begun last: drawn again, they are the same.
  Labelled latents_g() { return latents(RandomStream::latent_g, RandomStream::label_g, options.batch_size_g); }
  void run_g_step() {
    g_step(step, latents_g());
    Tensor sum = results.tensor().slice(4, 3);
    ctx.kernels->record_losses(ctx, options.n_critic, step.loss_g, sum, losses.tensor());
  }

  void take_steps() {
    for (int64_t i = 0; i < options.n_critic; ++i) d_graph.launch();
    g_graph.launch();
  }

  void iterate() {
    const int64_t t = ++iterations;
    const bool update = sparse->update_due(Network::generator, t) || sparse->update_due(Network::discriminator, t);
    sparse->prepare(t);
    if (update) invalidate();  // with the gradients of dead weights
    take_steps();
    add_work(per_iteration);
    if (sparse->balance_due(t)) {
      balance_graph.launch();
      add_work(per_balance);
    }
    if (sparse->update_masks(t)) {
      sparse->prepare(t + 1);
      invalidate();
    }
  }
  // Masks, or what a step computes, are not what they were.
  void invalidate() {
    for (StepGraph* graph : {&d_graph, &g_graph, &balance_graph}) graph->invalidate();
    count_work();
  }

  void add_work(const WorkDone& work) {
    double* done = work_done.tensor().data<double>();
    done[0] += work.flops;
    done[1] += work.executed_flops;
  }

  // f, against kernels that do nothing: what it costs.
  template <class F>
  Profile plan_of(const F& f) {
    const KernelTable nothing = planning_kernels(kernels);
    Arena planning = Arena::for_planning(arena.device());
    Profile profile;
    const Context saved = ctx;
    ctx.kernels = &nothing;
    ctx.arena = &planning;
    ctx.profile = &profile;
    ctx.planning = true;
    f();
    tape.reset();
    ctx = saved;
    return profile;
  }
  void count_work() {
    const auto total = [](const Profile& profile) {
      const Work work = profile.total().work;
      return WorkDone{work.flops, work.executed_flops};
    };
    per_iteration = total(plan_of([&] { take_steps(); }));
    if (sparse->measures_balance()) per_balance = total(plan_of([&] { balance_graph.launch(); }));
  }
};

void check_options(const TrainerOptions& o, int64_t image_count) {
  if (o.batch_size_d < 1 || o.batch_size_g < 1 || o.n_critic < 1) {
    fail(ErrorKind::usage, "batch_size_d, batch_size_g and n_critic must be at least 1");
  }
  if (o.accumulate < 1 || o.batch_size_d % o.accumulate != 0 || o.batch_size_g % o.accumulate != 0) {
    fail(ErrorKind::usage, "accumulate must divide batch_size_d and batch_size_g");
  }
  if (image_count < o.n_critic * o.batch_size_d) {
    fail(ErrorKind::usage,
         "one iteration draws n_critic * batch_size_d = " + std::to_string(o.n_critic * o.batch_size_d) +
             " images but the data set has " + std::to_string(image_count) + "; use a smaller batch_size_d");
  }
}

void check_labels(const TrainerOptions& o, const ImageSet& set) {
  const auto count = static_cast<int64_t>(set.labels.size());
  if (count != set.count) {
    fail(ErrorKind::data, "model " + o.model.name + " expects a label for each of " + std::to_string(set.count) +
                              " images but " + set.name + " has " + std::to_string(count) +
                              "; choose a model that is not conditional, or data with classes");
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = set.labels[static_cast<size_t>(i)];
    if (label >= 0 && label < o.model.classes) continue;
    fail(ErrorKind::data, "model " + o.model.name + " expects labels from 0 to " + std::to_string(o.model.classes - 1) +
                              " but image " + std::to_string(i) + " of " + set.name + " has " + std::to_string(label) +
                              "; set classes to the number of classes of the data set");
  }
}

}  // namespace

bool IterationReport::finite() const {
  return std::isfinite(loss_d) && std::isfinite(loss_g) && std::isfinite(mean_real) && std::isfinite(mean_fake);
}

struct Trainer::Parts {
  TrainingPlan plan;
  Machine machine;
  OwnedTensor images, labels;

  Parts(const TrainerOptions& o, const ImageSet& set)
      : plan(Trainer::plan(o, set.count)), machine(o, Arena(plan.arena_bytes, o.device), false) {
    const Shape& image = machine.model.generator->image_shape;
    if (Shape{set.height, set.width, set.channels} != image) {
      fail(ErrorKind::data, "model " + o.model.name + " expects images " + image.to_string() + " but " + set.name +
                                " has " + Shape{set.height, set.width, set.channels}.to_string() +
                                "; choose another model or data set");
    }
    images = OwnedTensor({set.count, set.height, set.width, set.channels}, DType::u8, o.device);
    copy_from_host(images.tensor(), set.pixels.data());
    machine.images = images.tensor();
    if (machine.conditional()) {
      check_labels(o, set);
      labels = OwnedTensor({set.count}, DType::i32, o.device);
      copy_from_host(labels.tensor(), set.labels.data());
      machine.labels = labels.tensor();
    }
    initialise(*machine.model.generator, o.init, o.seed);
    initialise(*machine.model.discriminator, o.init, o.seed);
    StepState start;
    start.seed = o.seed;
    start.clocks[static_cast<int>(Network::generator)].learning_rate = o.learning_rate_g;
    start.clocks[static_cast<int>(Network::discriminator)].learning_rate = o.learning_rate_d;
    copy_from_host(machine.step_state.tensor(), &start);
    machine.count_work();  // layers learn what they will be asked for
    machine.sparse->draw_masks();
    machine.count_work();
    machine.slab_g.copy_value_to_ema(machine.ctx);
  }
};

Trainer::Trainer(const TrainerOptions& options, const ImageSet& images)
    : parts_(std::make_unique<Parts>(options, images)) {}
Trainer::~Trainer() = default;

TrainingPlan Trainer::plan(const TrainerOptions& o, int64_t image_count) {
  check_options(o, image_count);
  Machine machine(o, Arena::for_planning(o.device), true);
  const Shape& image = machine.model.generator->image_shape;
  machine.images = {.bytes = machine.step_state.tensor().bytes,  // never read by a plan
                    .shape = {image_count, image[0], image[1], image[2]},
                    .dtype = DType::u8,
                    .device = o.device};
  if (machine.conditional()) {
    machine.labels = {.bytes = machine.images.bytes, .shape = {image_count}, .dtype = DType::i32, .device = o.device};
  }
  TrainingPlan plan;
  machine.ctx.profile = &plan.layers;
  // The workspaces of every path, at full density; what is counted is dense.
  for (Execution execution : {Execution::block, Execution::cusparse, Execution::dense}) {
    plan.layers.clear();
    machine.sparse->set_all_executions(execution);
    machine.take_steps();
  }
  const Profile::Row total = plan.layers.total();
  for (Network network : {Network::generator, Network::discriminator}) {
    for (const ExecutionDecision& d : machine.sparse->predict_execution(network)) plan.execution.push_back(d);
  }
  Profile balance;
  machine.ctx.profile = &balance;
  if (machine.sparse->measures_balance()) machine.balance_graph.launch();
  machine.sparse->plan_updates();
  plan.parameters_g = machine.slab_g.parameters;
  plan.parameters_d = machine.slab_d.parameters;
  plan.slab_bytes = machine.slab_g.bytes + machine.slab_d.bytes + machine.sparse->bytes();
  std::vector<NamedTensor> mask_state;
  machine.sparse->append_state(mask_state);
  for (const NamedTensor& t : mask_state) plan.mask_state_bytes += t.tensor.size_bytes();
  plan.arena_bytes = machine.arena.peak();
  plan.data_bytes = machine.images.size_bytes() + (machine.labels ? machine.labels.size_bytes() : 0);
  plan.flops = total.work.flops;
  plan.executed_flops = total.work.executed_flops;
  plan.balance_flops = balance.total().work.flops;
  plan.balance_executed_flops = balance.total().work.executed_flops;
  return plan;
}

void Trainer::iterate() { parts_->machine.iterate(); }

int64_t Trainer::iteration() const { return parts_->machine.iterations; }

void Trainer::synchronize() const {
  if (parts_->machine.queue) gpu::runtime(parts_->machine.memory).synchronize(*parts_->machine.queue);
}

std::vector<IterationReport> Trainer::reports(int64_t most) const {
  const Machine& m = parts_->machine;
  std::vector<float> rows(static_cast<size_t>(m.losses.tensor().elements()));
  copy_to_host(rows.data(), m.losses.tensor());
  const int64_t count = std::min({most, kReportsKept, m.iterations - m.first_iteration});
  std::vector<IterationReport> all;
  for (int64_t iteration = m.iterations - count + 1; iteration <= m.iterations; ++iteration) {
    const float* row = rows.data() + (iteration - 1) % kReportsKept * 4;
    all.push_back(
        {.iteration = iteration, .loss_d = row[0], .loss_g = row[3], .mean_real = row[1], .mean_fake = row[2]});
  }
  return all;
}

std::vector<NamedTensor> Trainer::state() {
  std::vector<NamedTensor> all;
  auto append = [&](const std::string& network, const ParameterSlab& slab) {
    for (const auto& e : slab.entries()) {
      all.push_back({network + "." + e.path, e.value});
      all.push_back({network + ".adam_m." + e.path, e.adam_m});
      all.push_back({network + ".adam_v." + e.path, e.adam_v});
      if (e.ema) all.push_back({network + ".ema." + e.path, e.ema});
    }
    for (const auto& b : slab.buffers()) all.push_back({network + "." + b.path, b.value});
  };
  append("G", parts_->machine.slab_g);
  append("D", parts_->machine.slab_d);
  parts_->machine.sparse->append_state(all);
  all.push_back({"work", parts_->machine.work_done.tensor()});
  return all;
}

StepState Trainer::step_state() const {
  StepState state;
  copy_to_host(&state, parts_->machine.step_state.tensor());
  return state;
}
void Trainer::set_step_state(const StepState& state) {
  Machine& m = parts_->machine;
  copy_from_host(m.step_state.tensor(), &state);
  m.iterations = m.first_iteration = static_cast<int64_t>(state.step) / (options().n_critic + 1);
  m.sparse->restored();
  m.invalidate();  // what captured steps know of masks is that of another state
}

SparseReport Trainer::sparse_report() const { return parts_->machine.sparse->report(); }
std::vector<MaskEvent> Trainer::take_mask_events() { return parts_->machine.sparse->take_events(); }

std::vector<ExecutionEvent> Trainer::take_execution_events() { return parts_->machine.sparse->take_execution_events(); }

WorkDone Trainer::work_done() const {
  const double* done = parts_->machine.work_done.tensor().data<double>();
  return {.flops = done[0], .executed_flops = done[1]};
}

Profile Trainer::work_by_layer() {
  return parts_->machine.plan_of([&] { parts_->machine.take_steps(); });
}

std::vector<uint8_t> Trainer::sample(const std::vector<float>& latents, const std::vector<int32_t>& labels,
                                     Weights weights, Mode mode, int64_t batch, Quantisation quantisation) {
  Machine& m = parts_->machine;
  return sample_images(*m.model.generator, m.slab_g, m.ctx, latents, labels, weights, mode, batch, quantisation);
}

Profile* Trainer::profile() const { return parts_->machine.ctx.profile; }
void Trainer::set_profile(Profile* profile) { parts_->machine.ctx.profile = profile; }
const TrainingPlan& Trainer::training_plan() const { return parts_->plan; }
const TrainerOptions& Trainer::options() const { return parts_->machine.options; }
int64_t Trainer::latent_size() const { return parts_->machine.model.generator->latent_size; }
int64_t Trainer::classes() const { return parts_->machine.model.generator->classes; }
Shape Trainer::image_shape() const { return parts_->machine.model.generator->image_shape; }

}  // namespace poise
