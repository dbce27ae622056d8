// The residual blocks that the GANs in models/ share (Gulrajani et al. 2017; Miyato et al. 2018), and the
// self-attention that some of them put between blocks (Zhang et al. 2019).
#pragma once
#include "engine/nn/conditional.h"

namespace poise {

// h = conv2(relu(bn2(conv1(up(relu(bn1(x)))))));  y = h + shortcut(up(x)).   x [N,H,W,c_in], y [N,2H,2W,c_out].
// up() is nearest-neighbour upsampling by two, fused into the next convolution. The ReLU is fused into the batch norm.
class GenBlock : public Module {
 public:
  GenBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out);
  Var operator()(Var x);

  BatchNorm2d bn1;
  Conv2d conv1;
  BatchNorm2d bn2;
  Conv2d conv2, shortcut;
};

// The same block with conditional batch norm. `layer` can put spectral norm on its convolutions.
class ConditionalGenBlock : public Module {
 public:
  ConditionalGenBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out,
                      const ConditionalNormOptions& norm, const LayerOptions& layer);
  Var operator()(Var x, const Condition& condition);

  ConditionalBatchNorm2d bn1;
  Conv2d conv1;
  ConditionalBatchNorm2d bn2;
  Conv2d conv2, shortcut;
};

enum class DisBlockKind : uint8_t {
  first,  // no ReLU in front; y = pool(conv2(relu(conv1(x)))) + shortcut(pool(x))
  down,   // y = pool(h) + pool(shortcut(x)): the FLOPs of the 1x1 count at full resolution, as in the papers' code
  plain,  // y = h + x
  wide,   // y = h + shortcut(x): a different number of channels at the same resolution
};

// h = conv2(relu(conv1(relu(x)))).   x [N,H,W,c_in], y [N,H',W',c_out]. pool() is the mean over 2x2; after a
// convolution it is fused into it.
class DisBlock : public Module {
 public:
  DisBlock(Module& parent, const std::string& name, int64_t c_in, int64_t c_out, DisBlockKind kind,
           const LayerOptions& layer);
  Var operator()(Var x, Next next = Next::any);  // next: see conv2d()

  Conv2d conv1, conv2;
  std::unique_ptr<Conv2d> shortcut;  // null for plain

 private:
  DisBlockKind kind_;
};

// y = x + gate * out(a),  a_p = sum_q softmax_q(<theta_p, phi_q>) g_q.  p runs over all pixels, q over those of phi and
// g, which are max-pooled by two. theta, phi: C -> C/8, g: C -> C/2, out: C/2 -> C, all 1x1 without bias. The gate [1]
// starts at 0. x, y [N,H,W,C]; H and W even, C a multiple of 8.
class SelfAttention : public Module {
 public:
  SelfAttention(Module& parent, const std::string& name, int64_t channels, LayerOptions layer);
  Var operator()(Var x);

  Conv2d theta, phi, g, out;
  Parameter gate;
};

}  // namespace poise
