// The training iteration of a GAN: n_critic discriminator steps, one generator step, the moving average of G.
// method.md calls this "one iteration"; every count and schedule of Poise is in these units.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/training/device_choice.h"
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

class Trainer {
 public:
  // Builds and initialises both networks, plans the step, allocates everything. `images` are copied to the device and
  // not needed any more, or streamed to it (training_plan().data) and kept alive.
  Trainer(const TrainerOptions& options, std::shared_ptr<const ImageSet> images);
  Trainer(const TrainerOptions& options, ImageSet images)
      : Trainer(options, std::make_shared<const ImageSet>(std::move(images))) {}
  ~Trainer();

  // Error(environment) if data_placement asks for more than the device has.
  static TrainingPlan plan(const TrainerOptions& options, int64_t image_count);

  // Returns once the iteration is under way; on a GPU it may not have begun. Allocates nothing, copies nothing to the
  // host and waits for nothing.
  void iterate();
  void synchronize() const;   // waits until everything asked for is done
  int64_t iteration() const;  // asked for so far
  // The last iterations since the start or the last set_step_state(), oldest first: at most `most`, and never more than
  // kReportsKept. Waits for them.
  static constexpr int64_t kReportsKept = Losses::kRows;
  std::vector<IterationReport> reports(int64_t most) const;
  IterationReport report() const { return reports(1).at(0); }
  SparseReport sparse_report() const;
  std::vector<MaskEvent> take_mask_events();            // since the last call
  std::vector<ExecutionEvent> take_execution_events();  // since the last call
  WorkDone work_done() const;
  MinibatchStream::Waits data_waits() const;  // none unless data are streamed
  Profile work_by_layer();                    // of one iteration, as masks and choices are now; no times

  // Everything that the future depends on, in a fixed order. Writing bytes into these tensors and calling
  // set_step_state() restores a run exactly.
  std::vector<NamedTensor> state();
  StepState step_state() const;
  void set_step_state(const StepState& state);

  // Images of latents [N, latent] (host, row-major) and their classes [N] (none unless classes() > 0) as uint8
  // [N,H,W,C], in batches of at most `batch`. Leaves all state of training as it was. Mode::evaluate_batch or
  // evaluate_running.
  std::vector<uint8_t> sample(const std::vector<float>& latents, const std::vector<int32_t>& labels, Weights weights,
                              Mode mode, int64_t batch, Quantisation quantisation = Quantisation::round);

  Profile* profile() const;            // null unless set
  void set_profile(Profile* profile);  // times every launch from now on
  const TrainingPlan& training_plan() const;
  const TrainerOptions& options() const;
  const DeviceChoice& device() const;
  int64_t latent_size() const;
  int64_t classes() const;    // 0: the model is not conditional
  Shape image_shape() const;  // [H,W,C]

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace poise
