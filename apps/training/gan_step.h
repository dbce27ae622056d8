// One discriminator step and one generator step on given images and latents: the Trainer runs them, the golden test
// compares them with PyTorch. A step throws what its ops and kernels throw: Error(runtime) with the layer's path for
// bad shapes, a full arena or a device failure. Batch sizes must be multiples of `accumulate` times the number of
// ranks.
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

// The share of each part of a batch that this process computes: number `rank` of `ranks` equal shares.
struct BatchShare {
  int64_t rank = 0, ranks = 1;
};

struct GanStep {
  GanModel* model = nullptr;
  // Keeps a moving average. If it also keeps forms of its weights, the caller updates them (make_forms) before a step.
  ParameterSlab* slab_g = nullptr;
  ParameterSlab* slab_d = nullptr;
  Tape* tape = nullptr;  // reset before each step
  // Loss, Adam, the moving average, augmentation of all images that D sees, and `accumulate`: each step splits its
  // batch into that many equal parts and processes them one after the other. Gradients add up, losses and logits are
  // averaged, and one update follows. Only the first part advances spectral norm and running statistics, so that both
  // advance once per step, as without accumulation; batch norm normalises each part by itself.
  TrainOptions train;
  Tensor mask_g, mask_d;     // u8 [parameters / run]; empty without a mask
  bool dead_moments = true;  // are the moments of dead weights read later?
  // For several processes that take the step together: each is given the whole batch of latents and images and computes
  // its share of every part; gradients are averaged before the update. The results are those of the share.
  BatchShare share;
  GradientExchange *exchange_g = nullptr, *exchange_d = nullptr;
  // Results, in the caller's memory and of the slabs' dtype.
  Tensor loss_d, loss_g;  // [1]
  Tensor means_d;         // [2]: mean logit of real images, of fake images
  Tensor mean_g;          // [1]: mean logit of the G step's images; empty: not computed
};

// Trains D on `real` images and on images that G generates from the latents `z`, as one batch, so that spectral norm
// makes one power iteration per D step. G runs in train mode without gradients.
void d_step(GanStep& step, const Labelled& real, const Labelled& z);

// Trains G through a frozen D (whose spectral norm still iterates), then updates the moving average.
void g_step(GanStep& step, const Labelled& z);

// Call this after a G step, with the same z. Computes D's mean logits [1]: a_post of the images that G now generates
// from z, and r of `real`, a minibatch that D has just trained on. Runs two more forward passes of D and one of G in
// train mode: spectral norm iterates and running statistics advance, nothing else changes. Images are augmented as in
// training; the fakes with the random numbers of the G step, so that a_post - a_pre is due to that step alone.
void balance_probe(GanStep& step, const Labelled& real, const Labelled& z, Tensor& a_post, Tensor& r);

}  // namespace poise
