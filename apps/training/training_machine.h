// Everything that an iteration of training touches, and the iteration itself: on a device, or in a plan, against
// kernels that do nothing. The Trainer stands in front of it.
#pragma once
#include <functional>
#include <memory>

#include "apps/training/gan_step.h"
#include "apps/training/losses.h"
#include "apps/training/trainer.h"

namespace poise {

struct TrainingMachine {
  const TrainerOptions options;
  const DeviceChoice chosen;
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
  Losses losses{memory};
  int64_t image_count = 0;                                   // of the data set
  std::unique_ptr<MinibatchStream> feed;                     // of streamed data
  Tensor images;                                             // u8 [N,H,W,C]: the whole set, or the ring of the feed
  Tensor labels;                                             // i32 [N] of a conditional model
  OwnedTensor work_done{Shape{2}, DType::f64, Device::cpu};  // WorkDone, on the host
  WorkDone per_iteration, per_balance;                       // as masks and choices are now
  GanStep step;
  std::unique_ptr<SparseTraining> sparse;
  StepGraph d_graph, g_graph, balance_graph;

  TrainingMachine(const TrainerOptions& options, const DeviceChoice& chosen, Arena step_arena, bool planning);

  bool conditional() const { return model.generator->classes > 0; }
  Shape real_shape() const;
  MinibatchOrder minibatch_order() const;

  // n_critic D steps and one G step; then the balance ratio and the masks, where they are due.
  void iterate();
  void take_steps();
  // Masks, or what a step computes, are not what they were.
  void invalidate();
  void count_work();  // of an iteration, as masks and choices are now
  // f, against kernels that do nothing: what it costs.
  Profile plan_of(const std::function<void()>& f);

 private:
  void run_d_step();
  void run_g_step();
  Labelled latents(RandomStream stream, RandomStream label_stream, int64_t count);
  Labelled latents_g();  // of the G step begun last: drawn again, they are the same
  Labelled new_minibatch();
  void add_work(const WorkDone& work);
};

}  // namespace poise
