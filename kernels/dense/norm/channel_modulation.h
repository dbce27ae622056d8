// Channel modulation (FiLM): a scale and a shift for each image and channel, which conditional batch norm (de Vries et
// al. 2017; Miyato and Koyama 2018) applies to normalised values. Optionally followed by a ReLU, as in every block:
//
//   h = (1 + gain[n,c]) x[n,p,c] + bias[n,c];       y = relu ? max(h, 0) : h
//   dh = relu ? dy * (h > 0) : dy;   dx = (1 + gain) dh;   dgain[n,c] = sum_p dh x;   dbias[n,c] = sum_p dh
//
// x, y [N,H,W,C]; gain, bias [N,C]. All have one dtype; with bf16, sums are f32 or wider.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using ChannelModulationForward = void(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                      Tensor& y);
// dx may be empty if it is not needed.
using ChannelModulationBackward = void(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                       const Tensor& dy, Tensor& dx, Tensor& dgain, Tensor& dbias);

}  // namespace poise
