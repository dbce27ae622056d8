#include "apps/training/training_machine.h"

#include <cstdlib>

namespace poise {
namespace {

bool launches_are_synchronous() {
  const char* text = std::getenv("POISE_SYNC");
  return text && std::string(text) == "1";
}

}  // namespace

TrainingMachine::TrainingMachine(const TrainerOptions& o, const DeviceChoice& choice, Arena step_arena, bool planning)
    : options(o),
      chosen(choice),
      memory(planning ? Device::cpu : chosen.device),
      kernels(o.kernels ? *o.kernels : kernels_of(chosen.device)),
      model(make_model(o.model)),
      slab_g(*model.generator, DType::f32, chosen.device, true, planning),
      slab_d(*model.discriminator, DType::f32, chosen.device, false, planning),
      arena(std::move(step_arena)),
      d_graph(
          tape, [this] { run_d_step(); }, o.train.graph),
      g_graph(
          tape, [this] { run_g_step(); }, o.train.graph),
      balance_graph(
          tape, [this] { sparse->measure_balance(latents_g()); }, o.train.graph) {
  if (planning) kernels = planning_kernels(kernels);
  if (memory != Device::cpu) queue = gpu::runtime(memory).make_stream();
  ctx.device = chosen.device;
  ctx.precision = chosen.precision;
  ctx.kernels = &kernels;
  ctx.arena = &arena;
  ctx.step = reinterpret_cast<StepState*>(step_state.tensor().bytes);
  ctx.stream = queue.get();
  ctx.planning = planning;
  ctx.synchronous = launches_are_synchronous();
  const StepState zero;
  copy_from_host(step_state.tensor(), &zero);
  step = {.model = &model,
          .slab_g = &slab_g,
          .slab_d = &slab_d,
          .tape = &tape,
          .train = o.train,
          .loss_d = losses.loss_d(),
          .loss_g = losses.loss_g(),
          .means_d = losses.means_d()};
  sparse = std::make_unique<SparseTraining>(o.scheduled_sparse(), step, real_shape(),
                                            activation_dtype(chosen.precision), conditional(), memory, planning);
}

Shape TrainingMachine::real_shape() const {
  const Shape& image = model.generator->image_shape;
  return {options.train.batch_size_d, image[0], image[1], image[2]};
}

Labelled TrainingMachine::latents(RandomStream stream, RandomStream label_stream, int64_t count) {
  Tensor z = ctx.arena->alloc({count, model.generator->latent_size}, activation_dtype(chosen.precision));
  tape.launch({.op = "random_normal", .bytes = static_cast<double>(z.size_bytes())}, ctx.kernels->random_normal, stream,
              z);
  if (!conditional()) return {z};
  Tensor classes = ctx.arena->alloc({count}, DType::i32);
  tape.launch({.op = "random_labels", .bytes = static_cast<double>(classes.size_bytes())}, ctx.kernels->random_labels,
              label_stream, model.generator->classes, classes);
  return {z, classes};
}

Labelled TrainingMachine::new_minibatch() {
  return {ctx.arena->alloc(real_shape(), activation_dtype(chosen.precision)),
          conditional() ? ctx.arena->alloc({options.train.batch_size_d}, DType::i32) : Tensor{}};
}

MinibatchOrder TrainingMachine::minibatch_order() const {
  // One loader batch of the method holds n_critic minibatches; the incomplete one at the end of an epoch is dropped.
  const int64_t loader_batches = image_count / (options.train.n_critic * options.train.batch_size_d);
  return {.batch_size = options.train.batch_size_d, .batches_per_epoch = loader_batches * options.train.n_critic};
}

void TrainingMachine::run_d_step() {
  Labelled real = sparse->measures_balance() ? sparse->real() : new_minibatch();
  const GatherOptions gather{.batches_per_epoch = minibatch_order().batches_per_epoch,
                             .flip = options.data.flip,
                             .ring = feed ? MinibatchStream::kSlots : 0};
  tape.launch({.op = "gather_images", .bytes = 1.25 * static_cast<double>(real.values.size_bytes())},
              ctx.kernels->gather_images, gather, images, labels, real.values, real.labels);
  d_step(step, real, latents(RandomStream::latent_d, RandomStream::label_d, options.train.batch_size_d));
  losses.add_d_step(ctx);
}

Labelled TrainingMachine::latents_g() {
  return latents(RandomStream::latent_g, RandomStream::label_g, options.train.batch_size_g);
}

void TrainingMachine::run_g_step() {
  g_step(step, latents_g());
  losses.end_iteration(ctx, options.train.n_critic);
}

void TrainingMachine::take_steps() {
  const bool fed = feed && !ctx.planning;
  for (int64_t i = 0; i < options.train.n_critic; ++i) {
    if (fed) feed->before_step();
    d_graph.launch();
    if (fed) feed->after_step();
  }
  g_graph.launch();
}

void TrainingMachine::iterate() {
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

void TrainingMachine::invalidate() {
  for (StepGraph* graph : {&d_graph, &g_graph, &balance_graph}) graph->invalidate();
  count_work();
}

void TrainingMachine::add_work(const WorkDone& work) {
  double* done = work_done.tensor().data<double>();
  done[0] += work.flops;
  done[1] += work.executed_flops;
}

Profile TrainingMachine::plan_of(const std::function<void()>& f) {
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

void TrainingMachine::count_work() {
  const auto total = [](const Profile& profile) {
    const Work work = profile.total().work;
    return WorkDone{work.flops, work.executed_flops};
  };
  per_iteration = total(plan_of([&] { take_steps(); }));
  if (sparse->measures_balance()) per_balance = total(plan_of([&] { balance_graph.launch(); }));
}

}  // namespace poise
