#include "apps/training/trainer.h"

#include <algorithm>
#include <cmath>

#include "apps/training/training_machine.h"

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

}  // namespace

bool IterationReport::finite() const {
  return std::isfinite(loss_d) && std::isfinite(loss_g) && std::isfinite(mean_real) && std::isfinite(mean_fake);
}

struct Trainer::Parts {
  TrainingPlan plan;
  TrainingMachine machine;
  OwnedTensor images, labels;

  Parts(const TrainerOptions& o, const std::shared_ptr<const ImageSet>& shared)
      : plan(Trainer::plan(o, shared->count)),
        machine(o, plan.device, Arena(plan.arena_bytes, plan.device.device), false) {
    const ImageSet& set = *shared;
    const Shape& image = machine.model.generator->image_shape;
    if (Shape{set.height, set.width, set.channels} != image) {
      fail(ErrorKind::data, "model " + o.model.name + " expects images " + image.to_string() + " but " + set.name +
                                " has " + Shape{set.height, set.width, set.channels}.to_string() +
                                "; choose another model or data set");
    }
    if (machine.conditional()) check_labels(o, set);
    machine.image_count = set.count;
    if (plan.data.streamed) {
      machine.feed = std::make_unique<MinibatchStream>(shared, machine.minibatch_order(), machine.conditional(),
                                                       machine.chosen.device, machine.queue.get(), o.before_batch);
      machine.images = machine.feed->images();
      machine.labels = machine.feed->labels();
    } else {
      copy_to_device(set);
    }
    StepState start;
    start.seed = static_cast<uint64_t>(o.train.seed);
    initialise(*machine.model.generator, o.model.init, start.seed);
    initialise(*machine.model.discriminator, o.model.init, start.seed);
    start.clocks[static_cast<int>(Network::generator)].learning_rate = o.train.learning_rate_g;
    start.clocks[static_cast<int>(Network::discriminator)].learning_rate = o.train.learning_rate_d;
    copy_from_host(machine.step_state.tensor(), &start);
    if (machine.feed) machine.feed->restart(start);
    machine.count_work();  // layers learn what they will be asked for
    machine.sparse->draw_masks();
    machine.count_work();
    machine.slab_g.copy_value_to_ema(machine.ctx);
  }

  void copy_to_device(const ImageSet& set) {
    const Device device = machine.chosen.device;
    images = OwnedTensor({set.count, set.height, set.width, set.channels}, DType::u8, device);
    copy_from_host(images.tensor(), set.pixels.data());
    machine.images = images.tensor();
    if (!machine.conditional()) return;
    labels = OwnedTensor({set.count}, DType::i32, device);
    copy_from_host(labels.tensor(), set.labels.data());
    machine.labels = labels.tensor();
  }
};

Trainer::Trainer(const TrainerOptions& options, std::shared_ptr<const ImageSet> images)
    : parts_(std::make_unique<Parts>(options, images)) {}
Trainer::~Trainer() = default;

TrainingPlan Trainer::plan(const TrainerOptions& o, int64_t image_count) {
  check_options(o, image_count);
  const DeviceChoice chosen = choose_device(o.train.device, o.train.precision);
  TrainingMachine machine(o, chosen, Arena::for_planning(chosen.device), true);
  const Shape& image = machine.model.generator->image_shape;
  machine.image_count = image_count;
  machine.images = {.bytes = machine.step_state.tensor().bytes,  // never read by a plan
                    .shape = {image_count, image[0], image[1], image[2]},
                    .dtype = DType::u8,
                    .device = chosen.device};
  if (machine.conditional()) {
    machine.labels = {
        .bytes = machine.images.bytes, .shape = {image_count}, .dtype = DType::i32, .device = chosen.device};
  }
  TrainingPlan plan{.device = chosen};
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
  const size_t whole_set = machine.images.size_bytes() + (machine.labels ? machine.labels.size_bytes() : 0);
  plan.data =
      place_data(o.data.data_placement, chosen.device,
                 {.others = plan.slab_bytes + plan.arena_bytes,
                  .whole_set = whole_set,
                  .ring = MinibatchStream::device_bytes(machine.minibatch_order(), image, machine.conditional())},
                 memory_of(chosen.device));
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
  const TrainingMachine& m = parts_->machine;
  const int64_t count = std::min({most, kReportsKept, m.iterations - m.first_iteration});
  int64_t iteration = m.iterations - count;
  std::vector<IterationReport> all;
  for (const LossRow& row : m.losses.rows(iteration + 1, m.iterations)) {
    all.push_back({++iteration, row.loss_d, row.loss_g, row.mean_real, row.mean_fake});
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
  TrainingMachine& m = parts_->machine;
  copy_from_host(m.step_state.tensor(), &state);
  if (m.feed) m.feed->restart(state);
  m.iterations = m.first_iteration = static_cast<int64_t>(state.step) / (options().train.n_critic + 1);
  m.sparse->restored();
  m.invalidate();  // what captured steps know of masks is that of another state
}

SparseReport Trainer::sparse_report() const { return parts_->machine.sparse->report(); }
std::vector<MaskEvent> Trainer::take_mask_events() { return parts_->machine.sparse->take_events(); }

std::vector<ExecutionEvent> Trainer::take_execution_events() { return parts_->machine.sparse->take_execution_events(); }

MinibatchStream::Waits Trainer::data_waits() const {
  const auto& feed = parts_->machine.feed;
  return feed ? feed->waits() : MinibatchStream::Waits{};
}

WorkDone Trainer::work_done() const {
  const double* done = parts_->machine.work_done.tensor().data<double>();
  return {.flops = done[0], .executed_flops = done[1]};
}

Profile Trainer::work_by_layer() {
  return parts_->machine.plan_of([&] { parts_->machine.take_steps(); });
}

std::vector<uint8_t> Trainer::sample(const std::vector<float>& latents, const std::vector<int32_t>& labels,
                                     Weights weights, Mode mode, int64_t batch, Quantisation quantisation) {
  TrainingMachine& m = parts_->machine;
  return sample_images(*m.model.generator, m.slab_g, m.ctx,
                       {.latents = latents,
                        .labels = labels,
                        .weights = weights,
                        .mode = mode,
                        .batch = batch,
                        .quantisation = quantisation});
}

Profile* Trainer::profile() const { return parts_->machine.ctx.profile; }
void Trainer::set_profile(Profile* profile) { parts_->machine.ctx.profile = profile; }
const TrainingPlan& Trainer::training_plan() const { return parts_->plan; }
const TrainerOptions& Trainer::options() const { return parts_->machine.options; }
const DeviceChoice& Trainer::device() const { return parts_->machine.chosen; }
int64_t Trainer::latent_size() const { return parts_->machine.model.generator->latent_size; }
int64_t Trainer::classes() const { return parts_->machine.model.generator->classes; }
Shape Trainer::image_shape() const { return parts_->machine.model.generator->image_shape; }

}  // namespace poise
