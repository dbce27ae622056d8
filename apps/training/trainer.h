// The training iteration of a GAN: n_critic discriminator steps, one generator step, the moving average of G.
// method.md calls this "one iteration"; every count and schedule of Poise is in these units.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/training/device_choice.h"
#include "apps/training/gan_step.h"
#include "apps/training/losses.h"
#include "apps/training/minibatch_stream.h"
#include "apps/training/sampling.h"
#include "apps/training/sparse_training.h"
#include "data/image_set.h"
#include "engine/optim/parameter_slab.h"
#include "engine/tape/step_graph.h"
#include "models/registry.h"

namespace poise {

// What one iteration saw (means over its D steps for the D entries).
struct IterationReport {
  int64_t iteration = 0;
  double loss_d = 0, loss_g = 0, mean_real = 0, mean_fake = 0;
  bool finite() const;
};

// What an iteration will cost, found by running it against kernels that do nothing.
struct TrainingPlan {
  DeviceChoice device;
  int64_t parameters_g = 0, parameters_d = 0;
  size_t slab_bytes = 0, arena_bytes = 0;
  DataChoice data;                                       // where images and labels lie
  size_t mask_state_bytes = 0;                           // of a checkpoint: masks and what their controllers remember
  double flops = 0, executed_flops = 0;                  // one iteration: n_critic D steps and one G step
  Profile layers;                                        // the same, by layer, op and pass
  std::vector<ExecutionDecision> execution;              // predicted for the first masks
  double balance_flops = 0, balance_executed_flops = 0;  // one measurement of the balance ratio

  size_t bytes() const { return slab_bytes + arena_bytes + data.bytes; }
};

// Work of a run so far, in FLOP: as dense layers would cost, and as the chosen kernels performed it.
struct WorkDone {
  double flops = 0, executed_flops = 0;
};

// Of gradients that each rank contributes to one iteration's sums; `dense`: as it would be if all of them travelled.
struct ExchangedBytes {
  size_t bytes = 0, dense = 0;
};

class Trainer {
 public:
  // What training with these options on so many images will take. Touches no device. Error(usage) for batches that do
  // not fit the data or the micro-batches; Error(environment) for a device that is not there, or if data_placement asks
  // for more than it has.
  static TrainingPlan plan(const TrainerOptions& options, int64_t image_count);

  // Builds and initialises both networks and allocates what `plan`, made for these options and images, says. The images
  // are copied to the device and not needed any more, or streamed to it (plan.data) and kept alive. Error(data) if they
  // do not fit the model in size or classes; Error(runtime) if memory does not suffice.
  Trainer(const TrainerOptions& options, const TrainingPlan& plan, std::shared_ptr<const ImageSet> images);
  Trainer(const TrainerOptions& options, std::shared_ptr<const ImageSet> images)
      : Trainer(options, plan(options, images->count), images) {}
  Trainer(const TrainerOptions& options, ImageSet images)
      : Trainer(options, std::make_shared<const ImageSet>(std::move(images))) {}
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // n_critic D steps and one G step; then the balance ratio and the masks, where they are due. Returns once the
  // iteration is under way; on a GPU it may not have begun. Unless masks change, allocates nothing, copies nothing to
  // the host and waits for nothing. What a kernel or the device reports is thrown, here or in a later call: Error(runtime).
  void iterate();
  void synchronize() const;                          // waits until everything asked for is done
  int64_t iteration() const { return iterations_; }  // asked for so far
  // The last iterations since the start or the last set_step_state(), oldest first: at most `most`, and never more than
  // kReportsKept. Waits for them.
  static constexpr int64_t kReportsKept = Losses::kRows;
  std::vector<IterationReport> reports(int64_t most) const;
  IterationReport report() const { return reports(1).at(0); }
  SparseReport sparse_report() const { return sparse_.report(); }
  bool has_masks() const { return sparse_.has_masks(); }
  std::vector<MaskEvent> take_mask_events() { return sparse_.take_events(); }                      // since the
  std::vector<ExecutionEvent> take_execution_events() { return sparse_.take_execution_events(); }  // last call
  WorkDone work_done() const;
  ExchangedBytes exchanged() const { return exchanged_; }  // in the last iteration; none by a process alone
  // Error(ranks) naming the first tensor that is not on all ranks what it is on the first, of those that must be. Waits
  // for the device; all ranks call it. iterate() does when masks have changed.
  void check_ranks_agree();
  // All ranks continue from the state of the first.
  void take_state_of_first_rank();
  MinibatchStream::Waits data_waits() const;  // none unless data are streamed
  Profile work_by_layer();                    // of one iteration, as masks and choices are now; no times

  // Everything that the future depends on, in a fixed order. Writing bytes into these tensors and calling
  // set_step_state() restores a run exactly.
  std::vector<NamedTensor> state();
  StepState step_state() const;
  void set_step_state(const StepState& state);

  // Images of latents [N, latent] (host, row-major) and their classes [N] (none unless classes() > 0) as uint8
  // [N,H,W,C], in batches of at most `batch`. Leaves all state of training as it was. Mode::evaluate_batch or
  // evaluate_running. Error(usage) for labels that do not fit.
  std::vector<uint8_t> sample(const std::vector<float>& latents, const std::vector<int32_t>& labels, Weights weights,
                              Mode mode, int64_t batch, Quantisation quantisation = Quantisation::round);

  std::vector<NamedWeights> weights_for_sampling(Weights weights);  // of G (apps/training/sampling.h)

  Profile* profile() const { return ctx_.profile; }               // null unless set
  void set_profile(Profile* profile) { ctx_.profile = profile; }  // times every launch from now on
  const TrainingPlan& training_plan() const { return plan_; }
  size_t slab_bytes() const;  // parameters, moments, masks and lists; the plan's are of the densest lists
  const TrainerOptions& options() const { return options_; }
  const DeviceChoice& device() const { return plan_.device; }
  int64_t latent_size() const { return model_.generator->latent_size; }
  int64_t classes() const { return model_.generator->classes; }               // 0: the model is not conditional
  const Shape& image_shape() const { return model_.generator->image_shape; }  // [H,W,C]

 private:
  // All but the images, and nothing is initialised.
  Trainer(const TrainerOptions& options, const TrainingPlan& plan, int64_t image_count, Memory memory);

  Context context();
  GanStep gan_step();
  BatchShare share() const;
  std::unique_ptr<GradientExchange> exchange_of(Network network, ParameterSlab& slab) const;  // null alone
  Shape real_shape() const;
  MinibatchOrder minibatch_order() const;
  TrainingPlan planned();  // where memory_ is planned
  void take_images(const std::shared_ptr<const ImageSet>& images);
  void initialise_state();

  void take_steps();
  void run_d_step();
  void run_g_step();
  Labelled latents(RandomStream stream, RandomStream label_stream, int64_t count);
  Labelled latents_g();  // of the G step begun last: drawn again, they are the same
  Labelled new_minibatch();
  void follow_masks();
  ExchangedBytes exchange_bytes() const;
  void invalidate();  // masks, or what a step computes, are not what they were
  void count_work();  // of an iteration, as masks and choices are now
  template <class F>
  Profile profile_of(const F& f);  // what f costs, without doing it
  void add_work(const WorkDone& work);

  const TrainerOptions options_;
  const TrainingPlan plan_;
  const Memory memory_;
  const int64_t image_count_;
  const KernelTable kernels_;
  const std::unique_ptr<gpu::Stream> queue_;
  OwnedTensor step_state_;
  int64_t iterations_ = 0;       // what the step state will say once everything asked for is done
  int64_t first_iteration_ = 0;  // reports begin after it
  Arena arena_;
  Context ctx_;
  Tape tape_{ctx_};
  GanModel model_;
  ParameterSlab slab_g_, slab_d_;
  Losses losses_;
  SparseTraining sparse_;
  std::unique_ptr<GradientExchange> exchange_g_, exchange_d_;  // null by a process alone
  ExchangedBytes exchanged_;
  GanStep step_;
  std::unique_ptr<MinibatchStream> feed_;  // of streamed data
  OwnedTensor own_images_, own_labels_;    // of data on the device
  Tensor images_;                          // u8 [N,H,W,C]: the whole set, or the ring of the feed
  Tensor labels_;                          // i32 [N] of a conditional model
  OwnedTensor work_done_;                  // WorkDone, on the host
  WorkDone per_iteration_, per_balance_;   // as masks and choices are now
  StepGraph d_graph_, g_graph_, balance_graph_;
};

}  // namespace poise
