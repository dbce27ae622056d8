// The entries of conv2d.cu, for linear.cu: a linear layer is a 1x1 convolution of images of one pixel.
#pragma once
#include "kernels/dense/conv2d/conv2d.h"
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

Conv2dPlanner conv2d_plan;
Conv2dForward conv2d_forward;
Conv2dBackwardInput conv2d_backward_input;
Conv2dBackwardWeight conv2d_backward_weight;

}  // namespace poise::POISE_GPU
