// What a network owns: parameters, which are trained, and buffers, which are only updated along the way (running
// statistics, the vectors of spectral normalisation). Their memory is in the network's ParameterSlab.
#pragma once
#include <string>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

struct LayerExecution;  // engine/sparse/layer_execution.h

// How a parameter is initialised (engine/nn/init.h lists the roles under each scheme), and whether a mask may thin it
// out: only `weight`. unmasked_weight is the same otherwise; embedding is a table of classes; gate is a factor that
// starts at 0.
enum class ParameterRole : uint8_t { weight, bias, bn_gamma, bn_beta, unmasked_weight, embedding, gate };

struct Parameter {
  std::string path;  // "block2.conv1.weight", unique inside its network
  Shape shape;
  ParameterRole role = ParameterRole::weight;
  int64_t fan_in = 1;  // of the layer, for initialisers; a bias has the fans of its weight
  int64_t fan_out = 1;
  Tensor value, grad;  // set by ParameterSlab
  bool requires_grad = true;
  Conv2dGeometry convolution;           // for a convolution's weight, without the size of x; otherwise c_out is 0
  LayerExecution* execution = nullptr;  // set by NetworkExecution for a layer with a mask; null: dense
};

// How a buffer is initialised.
enum class BufferRole : uint8_t { zeros, ones, unit_random };  // unit_random: a random vector of length 1

struct StateBuffer {
  std::string path;
  Shape shape;
  BufferRole role = BufferRole::zeros;
  Tensor value;
};

}  // namespace poise
