// GAN losses: a few hundred logits, so one block, in f32. The sums have a fixed order (kernels/gpu/reduce.cuh). Bytes
// and FLOPs are negligible; the cost is that of a launch.
#include "kernels/dense/loss/loss.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 256;
using Sums = float[kThreads / kWarp];

__device__ inline float softplus(float x) { return fmaxf(x, 0) + log1pf(expf(-fabsf(x))); }
__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }  // exp may overflow: 1 / inf is the right limit

// One term of a mean in the header's table, and its derivative.
struct Term {
  float value, slope;
};

__device__ inline Term real_term(GanLoss loss, float r) {
  if (loss == GanLoss::hinge) return r >= 1 ? Term{0, 0} : Term{1 - r, -1};  // in this order NaN stays NaN
  if (loss == GanLoss::bce) return {softplus(-r), -sigmoid(-r)};
  return {-r, -1};
}

__device__ inline Term fake_term(GanLoss loss, float f) {
  if (loss == GanLoss::hinge) return f <= -1 ? Term{0, 0} : Term{1 + f, 1};
  if (loss == GanLoss::bce) return {softplus(f), sigmoid(f)};
  return {f, 1};
}

__device__ inline Term generator_term(GanLoss loss, float f) {
  return loss == GanLoss::bce ? Term{softplus(-f), -sigmoid(-f)} : Term{-f, -1};
}

__global__ __launch_bounds__(kThreads) void gan_loss_d_forward_kernel(GanLoss loss, int n_real, int n,
                                                                      const float* logits, float* means, float* value) {
  GPU_SHARED(shared, Sums);
  float real = 0, fake = 0, real_loss = 0, fake_loss = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
    const float logit = logits[i];
    if (i < n_real) {
      real += logit;
      real_loss += real_term(loss, logit).value;
    } else {
      fake += logit;
      fake_loss += fake_term(loss, logit).value;
    }
  }
  real = block_sum(real, shared);
  fake = block_sum(fake, shared);
  real_loss = block_sum(real_loss, shared);
  fake_loss = block_sum(fake_loss, shared);
  if (threadIdx.x != 0) return;
  const auto reals = static_cast<float>(n_real), fakes = static_cast<float>(n - n_real);
  means[0] = real / reals;
  means[1] = fake / fakes;
  value[0] = real_loss / reals + fake_loss / fakes;
}

__global__ void gan_loss_d_backward_kernel(GanLoss loss, int n_real, int n, const float* logits, const float* dloss,
                                           float* dlogits) {
  const float upstream = dloss[0];
  for_each_element(n, [&](int64_t i) {
    const bool real = i < n_real;
    const float slope = real ? real_term(loss, logits[i]).slope : fake_term(loss, logits[i]).slope;
    dlogits[i] = upstream / static_cast<float>(real ? n_real : n - n_real) * slope;
  });
}

__global__ __launch_bounds__(kThreads) void gan_loss_g_forward_kernel(GanLoss loss, int n, const float* logits,
                                                                      float* value) {
  GPU_SHARED(shared, Sums);
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) sum += generator_term(loss, logits[i]).value;
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) value[0] = sum / static_cast<float>(n);
}

__global__ void gan_loss_g_backward_kernel(GanLoss loss, int n, const float* logits, const float* dloss,
                                           float* dlogits) {
  const float per_logit = dloss[0] / static_cast<float>(n);
  for_each_element(n, [&](int64_t i) { dlogits[i] = per_logit * generator_term(loss, logits[i]).slope; });
}

int count_of(const Tensor& logits) { return static_cast<int>(logits.elements()); }

}  // namespace

void gan_loss_d_forward(Context& ctx, GanLoss loss, int64_t n_real, const Tensor& logits, Tensor& means,
                        Tensor& value) {
  launch(ctx, {.grid = 1, .block = kThreads}, gan_loss_d_forward_kernel, loss, n_real, count_of(logits),
         logits.data<float>(), means.data<float>(), value.data<float>());
}

void gan_loss_d_backward(Context& ctx, GanLoss loss, int64_t n_real, const Tensor& logits, const Tensor& dloss,
                         Tensor& dlogits) {
  launch(ctx, elementwise(logits.elements()), gan_loss_d_backward_kernel, loss, n_real, count_of(logits),
         logits.data<float>(), dloss.data<float>(), dlogits.data<float>());
}

void gan_loss_g_forward(Context& ctx, GanLoss loss, const Tensor& logits, Tensor& value) {
  launch(ctx, {.grid = 1, .block = kThreads}, gan_loss_g_forward_kernel, loss, count_of(logits), logits.data<float>(),
         value.data<float>());
}

void gan_loss_g_backward(Context& ctx, GanLoss loss, const Tensor& logits, const Tensor& dloss, Tensor& dlogits) {
  launch(ctx, elementwise(logits.elements()), gan_loss_g_backward_kernel, loss, count_of(logits), logits.data<float>(),
         dloss.data<float>(), dlogits.data<float>());
}

}  // namespace poise::POISE_GPU
