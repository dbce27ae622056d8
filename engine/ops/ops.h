// The differentiable operations. Each checks shapes, allocates its output, calls one kernel and records its backward.
// Activations may be bf16: then parameters stay f32, sums over space come out in f32, and losses expect f32.
// Every function throws Error(runtime) that names the layer, what it expected, what it got and what to change.
#pragma once
#include <initializer_list>
#include <span>

#include "engine/tape/tape.h"

namespace poise {

// --- element-wise ----------------------------------------------------------------------------------------------------
Var leaky_relu(Var x, float slope);  // slope in [0, 1)
inline Var relu(Var x) { return leaky_relu(x, 0.0f); }
Var tanh(Var x);
Var add(Var a, Var b);  // same shape

// --- shape -----------------------------------------------------------------------------------------------------------
Var reshape(Var x, const Shape& shape);  // a view
Var detach(Var x);                       // a view through which no gradient flows
Var concat_batch(Var a, Var b);          // [N_a,...], [N_b,...] -> [N_a + N_b,...]
// [...,C_1], [...,C_2], ... -> [...,C_1 + C_2 + ...]; at most Node::kMaxInputs parts.
Var concat_channels(std::initializer_list<Var> parts);

Var slice_channels(Var x, int64_t first, int64_t count);  // [...,C] -> channels first .. first+count-1

// --- layers ----------------------------------------------------------------------------------------------------------
// For a layer under a mask, `execution` says which passes skip dead weights; null: none.
// x [N,in], weight [out,in], bias [out] or absent (Var{}) -> [N,out]
Var linear(Var x, Var weight, Var bias, LayerExecution* execution = nullptr);

struct Conv2dOptions {
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  int64_t upsample = 1;  // 2: convolve x enlarged 2x (nearest neighbour) without forming the enlarged tensor
  int64_t pool = 1;      // 2: the means of 2x2 outputs; 1x1 and 3x3 only, for which it is less work than the outputs
  bool relu = false;     // rectify the result; not with pool

  // Applied to x [N,H,W,C_in].
  Conv2dGeometry geometry(const Shape& x, int64_t c_out) const {
    return {.n = x[0],
            .h = x[1],
            .w = x[2],
            .c_in = x[3],
            .c_out = c_out,
            .kh = kh,
            .kw = kw,
            .stride_h = stride_h,
            .stride_w = stride_w,
            .pad_h = pad_h,
            .pad_w = pad_w,
            .upsample = upsample,
            .pool = pool,
            .relu = relu};
  }
};
// The next reader of a result, where its work can be done while the result is computed: a relu() by dense kernels on
// GPUs, the statistics of a batch normalisation by sparse kernels on the CPU.
enum class Next : uint8_t { any, relu, batch_norm };

// x [N,H,W,C_in], weight [C_out,kh,kw,C_in], bias [C_out] or absent -> [N,H',W',C_out]. A residual of the output's
// shape is added (not with ReLU); the result reuses its memory if nothing else reads it (Tape::take_if_unread).
Var conv2d(Var x, Var weight, Var bias, const Conv2dOptions& options, LayerExecution* execution = nullptr,
           Var residual = {}, Next next = Next::any);

// x [N,H,W,C_in], weight [C_in,kh,kw,C_out] -> [N,H',W',C_out], H' = (H-1) stride_h - 2 pad_h + kh. No upsample, no
// bias, no block-sparse execution.
Var conv_transpose2d(Var x, Var weight, const Conv2dOptions& options);

// x [...,C], gamma, beta [C], or both absent for 1 and 0; running statistics [C] are read or updated as tape.mode says.
// options.relu adds a ReLU. Without gradients the result reuses the memory of a spent() x.
constexpr const char* kBatchNormWithoutAffine = "batch_norm_without_affine";  // its name on the tape
Var batch_norm(Var x, Var gamma, Var beta, Tensor running_mean, Tensor running_var, const BatchNormOptions& options);

// weight / sigma; u [out] and v [rest] advance by one power iteration in Mode::train.
Var spectral_norm(Var weight, Tensor u, Tensor v, double eps);
// The same for many weights in one kernel call.
struct SpectralNormOperand {
  Var weight;
  Tensor u, v;
  double eps = 1e-12;
  const std::string* layer = nullptr;    // path, for errors and profiles
  const Parameter* parameter = nullptr;  // null: make no derived form of the result
  Var y;                                 // result
};
void spectral_norm(Tape& tape, std::span<SpectralNormOperand> operands);

// --- classes ---------------------------------------------------------------------------------------------------------
// table [classes,C] (f32 where activations are bf16), labels i32 [N] -> [N,C] of type `dtype`
Var embedding(Var table, const Tensor& labels, DType dtype);
// y = (1 + gain[n,c]) x + bias[n,c], followed by a ReLU if `relu`.   x [N,H,W,C], gain and bias [N,C] of x's dtype
Var channel_modulation(Var x, Var gain, Var bias, bool relu);
Var row_dot(Var a, Var b);  // [N,C], [N,C] -> inner products [N,1]; f32

// --- attention (kernels/dense/attention/attention.h) -----------------------------------------------------------------
Var batched_matmul(Var a, Var b, bool transpose_b = false);  // [N,m,k], [N,k,n] or [N,n,k] -> [N,m,n]
Var softmax(Var x);                                          // over the last dimension
Var gated_add(Var x, Var o, Var gate);                       // x + gate o;  gate [1], a parameter

// --- space -----------------------------------------------------------------------------------------------------------
Var upsample_nearest_2x(Var x);  // [N,H,W,C] -> [N,2H,2W,C]
Var avg_pool_2x2(Var x);         // [N,2H,2W,C] -> [N,H,W,C]; an odd last row or column is dropped
// Windows may overlap; pixels outside the image do not count, not even in the mean. x [N,H,W,C] -> [N,H',W',C].
Var max_pool(Var x, const PoolWindow& window);
Var avg_pool(Var x, const PoolWindow& window);
Var sum_space(Var x);   // [N,H,W,C] -> [N,C]
Var mean_space(Var x);  // [N,H,W,C] -> [N,C]

// Images [N,H,W,C] changed at random, the same shape (kernels/train/diff_augment.h).
Var diff_augment(Var x, const DiffAugmentOptions& options);

// --- losses (kernels/dense/loss/loss.h) ------------------------------------------------------------------------------
// logits [N,1], of which the first n_real belong to real images -> loss [1]. `means` [2], in the caller's memory,
// receives the mean logits of real and of fake images. The loss is written to `memory` [1] if that is not empty.
Var gan_loss_d(Var logits, int64_t n_real, GanLoss loss, Tensor means, const Tensor& memory = {});
Var gan_loss_g(Var logits, GanLoss loss, const Tensor& memory = {});

}  // namespace poise
