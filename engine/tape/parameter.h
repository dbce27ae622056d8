// What a network owns: parameters, which are trained, and buffers, which only follow (running statistics, the vectors
// of spectral normalisation). Their memory is in the network's ParameterSlab.
#pragma once
#include <string>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

struct LayerExecution;  // engine/sparse/layer_execution.h

// How a parameter starts (engine/nn/init.h says what each kind gets under each scheme), and whether a mask may thin it
// out: only `weight`. unmasked_weight: otherwise the same; embedding: a table of classes; gate: a factor that starts at
// 0.
enum class ParameterRole : uint8_t { weight, bias, bn_gamma, bn_beta, unmasked_weight, embedding, gate };

struct Parameter {
  std::string path;  // "block2.conv1.weight", unique inside its network
  Shape shape;
  ParameterRole role = ParameterRole::weight;
  int64_t fan_in = 1;  // of the layer, for initialisers; a bias has its weight's
  int64_t fan_out = 1;
  Tensor value, grad;  // set by ParameterSlab
  bool requires_grad = true;
  Conv2dGeometry convolution;           // of a convolution's weight, but for the size of x; else c_out is 0
  LayerExecution* execution = nullptr;  // of a layer under a mask, once it has been chosen; null: dense
};

// How a buffer starts.
enum class BufferRole : uint8_t { zeros, ones, unit_random };  // unit_random: a random vector of length 1

struct StateBuffer {
  std::string path;
  Shape shape;
  BufferRole role = BufferRole::zeros;
  Tensor value;
};

}  // namespace poise
