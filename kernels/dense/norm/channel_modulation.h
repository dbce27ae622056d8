// Channel modulation (FiLM), a scale and a shift for each image and channel: what conditional batch norm (de Vries et al. 2017; Miyato and Koyama
// 2018) does to normalised values. With the ReLU that follows it in every block, if asked for:
//
//   h = (1 + gain[n,c]) x[n,p,c] + bias[n,c];       y = relu ? max(h, 0) : h
//   dh = relu ? dy * (h > 0) : dy;   dx = (1 + gain) dh;   dgain[n,c] = sum_p dh x;   dbias[n,c] = sum_p dh
//
// x, y [N,H,W,C]; gain, bias [N,C]. All of one dtype (of bf16, sums are f32).
#pragma once
#include "kernels/core/context.h"

namespace poise {

using ChannelModulationForward = void(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                      Tensor& y);
// dx may be empty: not wanted.
using ChannelModulationBackward = void(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                       const Tensor& dy, Tensor& dx, Tensor& dgain, Tensor& dbias);

}  // namespace poise
