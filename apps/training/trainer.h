// The training loop of a GAN. An iteration, as method.md defines it, consists of n_critic discriminator steps, one
// generator step and an update of G's moving average. Every count and schedule in Poise is in iterations.
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

// The losses and mean logits of one iteration; loss_d and the mean logits are means over its D steps.
struct IterationReport {
  int64_t iteration = 0;
  double loss_d = 0, loss_g = 0, mean_real = 0, mean_fake = 0;
  bool finite() const;
};

// What an iteration will cost, determined by running it with kernels that do nothing.
struct TrainingPlan {
  DeviceChoice device;
  int64_t parameters_g = 0, parameters_d = 0;
  size_t slab_bytes = 0, arena_bytes = 0;
  DataChoice data;                                       // where images and labels are stored
  size_t mask_state_bytes = 0;                           // in a checkpoint: masks and the state of their controllers
  double flops = 0, executed_flops = 0;                  // one iteration: n_critic D steps and one G step
  Profile layers;                                        // the same, by layer, op and pass
  std::vector<ExecutionDecision> execution;              // predicted for the first masks
  double balance_flops = 0, balance_executed_flops = 0;  // one measurement of the balance ratio

  size_t bytes() const { return slab_bytes + arena_bytes + data.bytes; }
};

// The work of a run so far, in FLOP: the cost of dense layers, and what the chosen kernels executed.
struct WorkDone {
  double flops = 0, executed_flops = 0;
};

// The bytes of gradients that each rank contributes to the sums of one iteration; `dense`: if all gradients travelled.
struct ExchangedBytes {
  size_t bytes = 0, dense = 0;
};

class Trainer {
 public:
  // What training with these options on `image_count` images will cost. Runs nothing on the device. Error(usage) for
  // batch sizes that do not fit the data or the micro-batches; Error(environment) for a device that is not available,
  // or if data_placement requests more memory than it has.
  static TrainingPlan plan(const TrainerOptions& options, int64_t image_count);

  // Builds and initialises both networks and allocates memory according to `plan`, which was made for these options and
  // images. Depending on plan.data, the images are copied to the device, or kept alive and streamed to it. Error(data)
  // if they do not fit the model in size or classes; Error(runtime) if there is not enough memory.
  Trainer(const TrainerOptions& options, const TrainingPlan& plan, std::shared_ptr<const ImageSet> images);
  Trainer(const TrainerOptions& options, std::shared_ptr<const ImageSet> images)
      : Trainer(options, plan(options, images->count), images) {}
  Trainer(const TrainerOptions& options, ImageSet images)
      : Trainer(options, std::make_shared<const ImageSet>(std::move(images))) {}
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Runs n_critic D steps and one G step; then measures the balance ratio and updates the masks, if due. Returns once
  // the iteration is launched; on a GPU it may not have begun. Unless masks change, allocates nothing, copies nothing
  // to the host and waits for nothing. Error(runtime) from kernels or the device is thrown here or in a later call.
  void iterate();
  void synchronize() const;                          // waits until everything launched is done
  int64_t iteration() const { return iterations_; }  // launched so far
  // Reports of the last iterations since the start or the last set_step_state(), oldest first: at most `most`, and
  // never more than kReportsKept. Waits for them.
  static constexpr int64_t kReportsKept = Losses::kRows;
  std::vector<IterationReport> reports(int64_t most) const;
  IterationReport report() const { return reports(1).at(0); }
  SparseReport sparse_report() const { return sparse_.report(); }
  bool has_masks() const { return sparse_.has_masks(); }
  std::vector<MaskEvent> take_mask_events() { return sparse_.take_events(); }                      // since the
  std::vector<ExecutionEvent> take_execution_events() { return sparse_.take_execution_events(); }  // last call
  WorkDone work_done() const;
  ExchangedBytes exchanged() const { return exchanged_; }  // in the last iteration; none in a single process
  // Error(ranks) if a tensor that must be equal on all ranks is not; names the first such tensor. Waits for the device.
  // All ranks must call it. iterate() calls it when masks have changed.
  void check_ranks_agree();
  // Makes all ranks continue from the state of the first.
  void take_state_of_first_rank();
  MinibatchStream::Waits data_waits() const;  // none unless data are streamed
  Profile work_by_layer();                    // of one iteration, with the current masks and choices; without times

  // The complete state of the run apart from step_state(), in a fixed order. Writing these tensors and then calling
  // set_step_state() restores a run exactly.
  std::vector<NamedTensor> state();
  StepState step_state() const;
  void set_step_state(const StepState& state);

  // Returns images of latents [N, latent] (host, row-major) and their classes [N] (empty unless classes() > 0) as uint8
  // [N,H,W,C], in batches of at most `batch`. `mode`: Mode::evaluate_batch or evaluate_running. Does not change the
  // training state. Error(usage) for labels that do not fit.
  std::vector<uint8_t> sample(const std::vector<float>& latents, const std::vector<int32_t>& labels, Weights weights,
                              Mode mode, int64_t batch, Quantisation quantisation = Quantisation::round);

  std::vector<NamedWeights> weights_for_sampling(Weights weights);  // of G (apps/training/sampling.h)

  Profile* profile() const { return ctx_.profile; }               // null unless set
  void set_profile(Profile* profile) { ctx_.profile = profile; }  // times every launch from now on
  const TrainingPlan& training_plan() const { return plan_; }
  size_t slab_bytes() const;  // parameters, moments, masks and lists; in a plan, with lists at full density
  const TrainerOptions& options() const { return options_; }
  const DeviceChoice& device() const { return plan_.device; }
  int64_t latent_size() const { return model_.generator->latent_size; }
  int64_t classes() const { return model_.generator->classes; }               // 0: not conditional
  const Shape& image_shape() const { return model_.generator->image_shape; }  // [H,W,C]

 private:
  // Sets up everything but the images; nothing is initialised.
  Trainer(const TrainerOptions& options, const TrainingPlan& plan, int64_t image_count, Memory memory);

  Context context();
  GanStep gan_step();
  BatchShare share() const;
  std::unique_ptr<GradientExchange> exchange_of(Network network, ParameterSlab& slab) const;  // null without ranks
  Shape real_shape() const;
  MinibatchOrder minibatch_order() const;
  TrainingPlan planned();  // requires planned memory_
  void take_images(const std::shared_ptr<const ImageSet>& images);
  void initialise_state();

  void take_steps();
  void run_d_step();
  void run_g_step();
  Labelled latents(RandomStream stream, RandomStream label_stream, int64_t count);
  Labelled latents_g();  // of the last G step begun; drawing them again gives the same values
  Labelled new_minibatch();
  void follow_masks();
  ExchangedBytes exchange_bytes() const;
  void invalidate();  // call this when masks, or what a step computes, have changed
  void count_work();  // of an iteration, with the current masks and choices
  template <class F>
  Profile profile_of(const F& f);  // what f costs, without running it
  void add_work(const WorkDone& work);

  const TrainerOptions options_;
  const TrainingPlan plan_;
  const Memory memory_;
  const int64_t image_count_;
  const KernelTable kernels_;
  const std::unique_ptr<gpu::Stream> queue_;
  OwnedTensor step_state_;
  int64_t iterations_ = 0;       // launched; the step state agrees once everything launched is done
  int64_t first_iteration_ = 0;  // reports begin after it
  Arena arena_;
  Context ctx_;
  Tape tape_{ctx_};
  GanModel model_;
  ParameterSlab slab_g_, slab_d_;
  Losses losses_;
  SparseTraining sparse_;
  std::unique_ptr<GradientExchange> exchange_g_, exchange_d_;  // null without ranks
  ExchangedBytes exchanged_;
  GanStep step_;
  std::unique_ptr<MinibatchStream> feed_;  // for streamed data
  OwnedTensor own_images_, own_labels_;    // for data on the device
  Tensor images_;                          // u8 [N,H,W,C]: the whole set, or the ring of the feed
  Tensor labels_;                          // i32 [N] for a conditional model
  OwnedTensor work_done_;                  // WorkDone, on the host
  WorkDone per_iteration_, per_balance_;   // with the current masks and choices
  StepGraph d_graph_, g_graph_, balance_graph_;
};

}  // namespace poise
