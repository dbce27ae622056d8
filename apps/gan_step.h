// One discriminator step and one generator step, free of data and random numbers: what the Trainer runs and what the
// golden test compares with PyTorch.
#pragma once
#include "engine/optim/parameter_slab.h"
#include "models/registry.h"

namespace poise {

struct GanStep {
  GanModel* model = nullptr;
  ParameterSlab* slab_g = nullptr;  // keeps a moving average
  ParameterSlab* slab_d = nullptr;
  Tape* tape = nullptr;  // reset before each step
  GanLoss loss = GanLoss::hinge;
  AdamOptions adam;
  double ema_decay = 0.999;
  // Results, memory of the caller, of the slabs' dtype.
  Tensor loss_d, loss_g;  // [1]
  Tensor means_d;         // [2]: mean logit of real, of fake images
};

// D learns on `real` [B,H,W,C] and on as many images of G as `z` [B',latent] has rows, as one batch: so spectral norm
// makes one power iteration per D step. G runs in train mode without gradient.
void d_step(GanStep& step, const Tensor& real, const Tensor& z);

// G learns through a frozen D (whose spectral norm still iterates); then the moving average follows.
void g_step(GanStep& step, const Tensor& z);

}  // namespace poise
