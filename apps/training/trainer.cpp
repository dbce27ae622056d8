#include "apps/training/trainer.h"

#include <cstdlib>

#include "kernels/ranks/ranks.h"
#include "kernels/table.h"

namespace poise {
namespace {

void check_options(const TrainerOptions& o, int64_t image_count) {
  if (o.train.batch_size_d < 1 || o.train.batch_size_g < 1 || o.train.n_critic < 1) {
    fail(ErrorKind::usage, "batch_size_d, batch_size_g and n_critic must be at least 1");
  }
  if (o.train.accumulate < 1 || o.train.batch_size_d % o.train.accumulate != 0 ||
      o.train.batch_size_g % o.train.accumulate != 0) {
    fail(ErrorKind::usage, "accumulate must divide batch_size_d and batch_size_g");
  }
  const int64_t ranks = o.ranks ? o.ranks->size() : 1;
  if (o.train.batch_size_d % (ranks * o.train.accumulate) != 0 ||
      o.train.batch_size_g % (ranks * o.train.accumulate) != 0) {
    fail(ErrorKind::usage,
         "batch_size_d = " + std::to_string(o.train.batch_size_d) + " and batch_size_g = " +
             std::to_string(o.train.batch_size_g) + " are totals over all ranks: " + std::to_string(ranks) + " ranks" +
             (o.train.accumulate > 1 ? " times accumulate = " + std::to_string(o.train.accumulate) : "") +
             " must divide them");
  }
  if (image_count < o.train.n_critic * o.train.batch_size_d) {
    fail(ErrorKind::usage,
         "one iteration draws n_critic * batch_size_d = " + std::to_string(o.train.n_critic * o.train.batch_size_d) +
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

bool launches_are_synchronous() {
  const char* text = std::getenv("POISE_SYNC");
  return text && std::string(text) == "1";
}

}  // namespace

Trainer::Trainer(const TrainerOptions& options, const TrainingPlan& plan, int64_t image_count, Memory memory)
    : options_(options),
      plan_(plan),
      memory_(memory),
      image_count_(image_count),
      kernels_(options.kernels ? *options.kernels : kernels_of(plan.device.device)),
      queue_(memory.of_scalars() == Device::cpu ? nullptr : gpu::runtime(memory.device).make_stream()),
      step_state_({static_cast<int64_t>(sizeof(StepState))}, DType::u8, memory.of_scalars()),
      arena_(plan.arena_bytes, memory.of_scalars()),
      ctx_(context()),
      model_(make_model(options.model)),
      slab_g_(*model_.generator, DType::f32, memory, true),
      slab_d_(*model_.discriminator, DType::f32, memory, false),
      losses_(memory.of_scalars()),
      sparse_(options.scheduled_sparse(), model_, slab_g_, slab_d_, ctx_, real_shape(),
              activation_dtype(plan.device.precision), memory),
      exchange_g_(exchange_of(Network::generator, slab_g_)),
      exchange_d_(exchange_of(Network::discriminator, slab_d_)),
      step_(gan_step()),
      work_done_({2}, DType::f64, Device::cpu),
      d_graph_(
          tape_, [this] { run_d_step(); }, options.train.graph),
      g_graph_(
          tape_, [this] { run_g_step(); }, options.train.graph),
      balance_graph_(
          tape_, [this] { sparse_.measure_balance(step_, latents_g(), options_.ranks); }, options.train.graph) {
  if (options.train.sync_batch_norm) tape_.batch_norm_ranks = options.ranks;
  tape_.in_batches = !options.ranks;
  slab_g_.keep_forms(tape_, *model_.generator, memory);
}

Trainer::Trainer(const TrainerOptions& options, const TrainingPlan& plan, std::shared_ptr<const ImageSet> images)
    : Trainer(options, plan, images->count, plan.device.device) {
  take_images(images);
  initialise_state();
}

Context Trainer::context() {
  return {.device = plan_.device.device,
          .precision = plan_.device.precision,
          .kernels = &kernels_,
          .arena = &arena_,
          .step = reinterpret_cast<StepState*>(step_state_.tensor().bytes),
          .stream = queue_.get(),
          .synchronous = launches_are_synchronous()};
}

std::unique_ptr<GradientExchange> Trainer::exchange_of(Network network, ParameterSlab& slab) const {
  if (!options_.ranks) return nullptr;
  return std::make_unique<GradientExchange>(*options_.ranks, slab, sparse_.masks(network),
                                            network == Network::generator ? "G" : "D",
                                            options_.train.exchange_precision, memory_);
}

BatchShare Trainer::share() const {
  return options_.ranks ? BatchShare{options_.ranks->rank(), options_.ranks->size()} : BatchShare{};
}

GanStep Trainer::gan_step() {
  return {.model = &model_,
          .slab_g = &slab_g_,
          .slab_d = &slab_d_,
          .tape = &tape_,
          .train = options_.train,
          .mask_g = sparse_.mask(Network::generator),
          .mask_d = sparse_.mask(Network::discriminator),
          .dead_moments = options_.sparse.moment_policy == MomentPolicy::keep,
          .share = share(),
          .exchange_g = exchange_g_.get(),
          .exchange_d = exchange_d_.get(),
          .loss_d = losses_.loss_d(),
          .loss_g = losses_.loss_g(),
          .means_d = losses_.means_d(),
          .mean_g = sparse_.mean_g()};
}

Shape Trainer::real_shape() const {
  const Shape& image = image_shape();
  return {options_.train.batch_size_d, image[0], image[1], image[2]};
}

MinibatchOrder Trainer::minibatch_order() const {
  // One loader batch of the method holds n_critic minibatches; the incomplete one at the end of an epoch is dropped.
  const int64_t loader_batches = image_count_ / (options_.train.n_critic * options_.train.batch_size_d);
  return {.batch_size = options_.train.batch_size_d, .batches_per_epoch = loader_batches * options_.train.n_critic};
}

TrainingPlan Trainer::plan(const TrainerOptions& options, int64_t image_count) {
  check_options(options, image_count);
  const DeviceChoice device = choose_device(options.train.device, options.train.precision);
  return Trainer(options, {.device = device}, image_count, {device.device, /*is_planned=*/true}).planned();
}

TrainingPlan Trainer::planned() {
  TrainingPlan plan{.device = plan_.device};
  const Shape& image = image_shape();
  images_ = {.bytes = step_state_.tensor().bytes,  // never read by a plan
             .shape = {image_count_, image[0], image[1], image[2]},
             .dtype = DType::u8,
             .device = memory_.device};
  if (classes() > 0) {
    labels_ = {.bytes = images_.bytes, .shape = {image_count_}, .dtype = DType::i32, .device = memory_.device};
  }
  // Counts the work of dense execution. This comes first because it shows the layers which convolutions they will run.
  plan.layers = work_by_layer();
  plan.execution = sparse_.predict_execution();
  Work balance;
  if (sparse_.measures_balance()) balance = profile_of([&] { balance_graph_.launch(); }).total().work;
  PlanningScope planning(ctx_);
  // Reserves the workspaces of every path, at full density.
  for (const Execution execution : {Execution::block, Execution::cusparse, Execution::weights, Execution::dense}) {
    if (sparse_.set_all_executions(execution)) take_steps();
  }
  if (sparse_.measures_balance()) balance_graph_.launch();
  sparse_.plan_updates();
  plan.parameters_g = slab_g_.parameters;
  plan.parameters_d = slab_d_.parameters;
  plan.slab_bytes = slab_bytes();
  std::vector<NamedTensor> mask_state;
  sparse_.append_state(mask_state);
  for (const NamedTensor& t : mask_state) plan.mask_state_bytes += t.tensor.size_bytes();
  plan.arena_bytes = planning.arena_bytes();
  plan.data = place_data(options_.data.data_placement, memory_.device,
                         {.others = plan.slab_bytes + plan.arena_bytes,
                          .whole_set = images_.size_bytes() + (labels_ ? labels_.size_bytes() : 0),
                          .ring = MinibatchStream::device_bytes(minibatch_order(), image, classes() > 0)},
                         memory_of(memory_.device));
  const Work total = plan.layers.total().work;
  plan.flops = total.flops;
  plan.executed_flops = total.executed_flops;
  plan.balance_flops = balance.flops;
  plan.balance_executed_flops = balance.executed_flops;
  return plan;
}

size_t Trainer::slab_bytes() const {
  const size_t own = slab_g_.bytes + slab_d_.bytes + sparse_.bytes();
  return options_.ranks ? own + exchange_g_->memory_bytes() + exchange_d_->memory_bytes() : own;
}

void Trainer::take_images(const std::shared_ptr<const ImageSet>& shared) {
  const ImageSet& set = *shared;
  const Shape shape{set.height, set.width, set.channels};
  if (shape != image_shape()) {
    fail(ErrorKind::data, "model " + options_.model.name + " expects images " + image_shape().to_string() + " but " +
                              set.name + " has " + shape.to_string() + "; choose another model or data set");
  }
  if (classes() > 0) check_labels(options_, set);
  const Device device = memory_.device;
  if (plan_.data.streamed) {
    feed_ = std::make_unique<MinibatchStream>(shared, minibatch_order(), classes() > 0, device, queue_.get(),
                                              options_.before_batch);
    images_ = feed_->images();
    labels_ = feed_->labels();
    return;
  }
  own_images_ = OwnedTensor({set.count, set.height, set.width, set.channels}, DType::u8, device);
  copy_from_host(own_images_.tensor(), set.pixels.data());
  images_ = own_images_.tensor();
  if (classes() == 0) return;
  own_labels_ = OwnedTensor({set.count}, DType::i32, device);
  copy_from_host(own_labels_.tensor(), set.labels.data());
  labels_ = own_labels_.tensor();
}

void Trainer::initialise_state() {
  StepState start;
  start.seed = static_cast<uint64_t>(options_.train.seed);
  initialise(*model_.generator, options_.model.init, start.seed);
  initialise(*model_.discriminator, options_.model.init, start.seed);
  start.clocks[static_cast<int>(Network::generator)].learning_rate = options_.train.learning_rate_g;
  start.clocks[static_cast<int>(Network::discriminator)].learning_rate = options_.train.learning_rate_d;
  copy_from_host(step_state_.tensor(), &start);
  if (feed_) feed_->restart(start);
  count_work();  // shows the layers which convolutions they will run
  sparse_.draw_masks();
  follow_masks();
  if (sparse_.has_masks()) count_work();
  slab_g_.copy_value_to_ema(ctx_);
}

Labelled Trainer::latents(RandomStream stream, RandomStream label_stream, int64_t count) {
  Tensor z = ctx_.arena->alloc({count, latent_size()}, activation_dtype(ctx_.precision));
  tape_.launch({.op = "random_normal", .bytes = static_cast<double>(z.size_bytes())}, ctx_.kernels->random_normal,
               stream, z);
  if (classes() == 0) return {z};
  Tensor labels = ctx_.arena->alloc({count}, DType::i32);
  tape_.launch({.op = "random_labels", .bytes = static_cast<double>(labels.size_bytes())}, ctx_.kernels->random_labels,
               label_stream, classes(), labels);
  return {z, labels};
}

Labelled Trainer::latents_g() {
  return latents(RandomStream::latent_g, RandomStream::label_g, options_.train.batch_size_g);
}

Labelled Trainer::new_minibatch() {
  return {ctx_.arena->alloc(real_shape(), activation_dtype(ctx_.precision)),
          classes() > 0 ? ctx_.arena->alloc({options_.train.batch_size_d}, DType::i32) : Tensor{}};
}

void Trainer::run_d_step() {
  Labelled real = sparse_.measures_balance() ? sparse_.real() : new_minibatch();
  const GatherOptions gather{.batches_per_epoch = minibatch_order().batches_per_epoch,
                             .flip = options_.data.flip,
                             .ring = feed_ ? MinibatchStream::kSlots : 0};
  tape_.launch({.op = "gather_images", .bytes = 1.25 * static_cast<double>(real.values.size_bytes())},
               ctx_.kernels->gather_images, gather, images_, labels_, real.values, real.labels);
  d_step(step_, real, latents(RandomStream::latent_d, RandomStream::label_d, options_.train.batch_size_d));
  losses_.add_d_step(ctx_);
}

void Trainer::run_g_step() {
  g_step(step_, latents_g());
  losses_.end_iteration(ctx_, options_.train.n_critic, options_.ranks);
}

void Trainer::take_steps() {
  const bool fed = feed_ && !ctx_.planning;
  slab_g_.make_forms(tape_, *model_.generator);  // masks and checkpoints may have changed weights since the last step
  for (int64_t i = 0; i < options_.train.n_critic; ++i) {
    if (fed) feed_->before_step();
    d_graph_.launch();
    if (fed) feed_->after_step();
  }
  g_graph_.launch();
}

void Trainer::iterate() {
  const int64_t t = ++iterations_;
  if (sparse_.prepare(t)) invalidate();
  take_steps();
  add_work(per_iteration_);
  exchanged_ = exchange_bytes();
  if (sparse_.balance_due(t)) {
    balance_graph_.launch();
    add_work(per_balance_);
  }
  if (sparse_.update_masks(t)) {
    check_ranks_agree();
    sparse_.prepare(t + 1);
    invalidate();
  }
}

void Trainer::follow_masks() {
  if (!options_.ranks) return;
  exchange_g_->follow_masks(sparse_.reads_dense_gradients(Network::generator));
  exchange_d_->follow_masks(sparse_.reads_dense_gradients(Network::discriminator));
}

ExchangedBytes Trainer::exchange_bytes() const {
  if (!options_.ranks) return {};
  const auto of_iteration = [&](size_t d, size_t g) { return static_cast<size_t>(options_.train.n_critic) * d + g; };
  return {of_iteration(exchange_d_->bytes(), exchange_g_->bytes()),
          of_iteration(exchange_d_->all_bytes(), exchange_g_->all_bytes())};
}

void Trainer::invalidate() {
  for (StepGraph* graph : {&d_graph_, &g_graph_, &balance_graph_}) graph->invalidate();
  follow_masks();
  count_work();
}

void Trainer::add_work(const WorkDone& work) {
  double* done = work_done_.tensor().data<double>();
  done[0] += work.flops;
  done[1] += work.executed_flops;
}

// Profiles the whole batch: work counts for the run, regardless of the number of processes.
template <class F>
Profile Trainer::profile_of(const F& f) {
  PlanningScope planning(ctx_);
  step_.share = {};
  f();
  step_.share = share();
  tape_.reset();
  return planning.profile();
}

void Trainer::count_work() {
  const auto total = [](const Profile& profile) {
    const Work work = profile.total().work;
    return WorkDone{work.flops, work.executed_flops};
  };
  per_iteration_ = total(profile_of([&] { take_steps(); }));
  if (sparse_.measures_balance()) per_balance_ = total(profile_of([&] { balance_graph_.launch(); }));
}

Profile Trainer::work_by_layer() {
  return profile_of([&] { take_steps(); });
}

}  // namespace poise
