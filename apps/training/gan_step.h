// One discriminator step and one generator step, free of data and random numbers: what the Trainer runs and what the
// golden test compares with PyTorch. A step throws what its ops and kernels do: Error(runtime) with the layer's path for
// shapes that do not fit, an arena that is full or a device that fails. Batches are multiples of `accumulate` times the ranks.
#pragma once
#include "apps/training/train_options.h"
#include "engine/optim/parameter_slab.h"
#include "engine/sparse/gradient_exchange.h"
#include "models/registry.h"

namespace poise {

// Latents [N,latent] or images [N,H,W,C] and, for conditional networks, the class of each, i32 [N].
struct Labelled {
  Tensor values;
  Tensor labels = {};
};

// What of each part of a batch is this process's: number `rank` of `ranks` equal shares.
struct BatchShare {
  int64_t rank = 0, ranks = 1;
};

struct GanStep {
  GanModel* model = nullptr;
  // Keeps a moving average. If it keeps forms of its weights, too, whoever takes steps makes them (make_forms).
  ParameterSlab* slab_g = nullptr;
  ParameterSlab* slab_d = nullptr;
  Tape* tape = nullptr;  // reset before each step
  // Loss, Adam, the moving average, augmentation of all that D sees, and `accumulate`: each step takes its batch in so
  // many equal parts, one after the other. Their gradients add up, their losses and logits are averaged, and one update
  // follows. Spectral norm iterates and running statistics follow in the first part alone, as in a step in one part;
  // batch norm normalises each part by itself.
  TrainOptions train;
  Tensor mask_g, mask_d;     // u8 [parameters / run], empty where there is no mask
  bool dead_moments = true;  // does anyone read the moments of dead weights?
  // If several processes take the step together. Each is given the whole batch of latents and images and computes on its
  // share of every part; gradients are averaged before the update. Results are those of the share.
  BatchShare share;
  GradientExchange *exchange_g = nullptr, *exchange_d = nullptr;
  // Results, memory of the caller, of the slabs' dtype.
  Tensor loss_d, loss_g;  // [1]
  Tensor means_d;         // [2]: mean logit of real, of fake images
  Tensor mean_g;          // [1]: mean logit of the G step's images; empty: not wanted
};

// D learns on `real` images and on those that G makes of the latents `z`, as one batch: so spectral norm makes one
// power iteration per D step. G runs in train mode without gradient.
void d_step(GanStep& step, const Labelled& real, const Labelled& z);

// G learns through a frozen D (whose spectral norm still iterates); then the moving average follows.
void g_step(GanStep& step, const Labelled& z);

// After a G step with the same z: D's mean logits [1] of what G makes of it now and of `real`, a minibatch that D has
// just learned on. Two more forward passes of D and one of G in train mode: spectral norm iterates, batch norm's
// running statistics follow, nothing else changes. Images are augmented as D is used to see them: the fakes with the
// same random numbers as in the G step, so that a_post - a_pre is the work of that step alone.
void balance_probe(GanStep& step, const Labelled& real, const Labelled& z, Tensor& a_post, Tensor& r);

}  // namespace poise
