// GAN losses on the CPU: a few hundred logits, so one thread, in double.
#include "kernels/dense/loss/loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/dispatch.h"

namespace poise::cpu {
namespace {

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }  // exp may overflow: 1 / inf is the right limit

// One term of a mean in the header's table, and its derivative.
struct Term {
  double value, slope;
};

Term real_term(GanLoss loss, double r) {
  switch (loss) {
    case GanLoss::hinge:
      return r >= 1 ? Term{0, 0} : Term{1 - r, -1};  // in this order NaN stays NaN
    case GanLoss::bce:
      return {softplus(-r), -sigmoid(-r)};
    case GanLoss::wasserstein:
      return {-r, -1};
  }
  return {};
}

Term fake_term(GanLoss loss, double f) {
  switch (loss) {
    case GanLoss::hinge:
      return f <= -1 ? Term{0, 0} : Term{1 + f, 1};
    case GanLoss::bce:
      return {softplus(f), sigmoid(f)};
    case GanLoss::wasserstein:
      return {f, 1};
  }
  return {};
}

Term generator_term(GanLoss loss, double f) {
  return loss == GanLoss::bce ? Term{softplus(-f), -sigmoid(-f)} : Term{-f, -1};
}

// 1 / count, or 0 if that part of the batch is empty.
double weight_of(int64_t count) { return count > 0 ? 1.0 / static_cast<double>(count) : 0.0; }

}  // namespace

void gan_loss_d_forward(Context&, GanLoss loss, int64_t n_real, const Tensor& logits, Tensor& means, Tensor& value) {
  dispatch_float(logits.dtype, [&]<class T>() {
    const T* logit = logits.data<T>();
    const int64_t n = logits.elements();
    double real = 0, fake = 0, real_loss = 0, fake_loss = 0;
    for (int64_t i = 0; i < n_real; ++i) {
      const double r = static_cast<double>(logit[i]);
      real += r;
      real_loss += real_term(loss, r).value;
    }
    for (int64_t i = n_real; i < n; ++i) {
      const double f = static_cast<double>(logit[i]);
      fake += f;
      fake_loss += fake_term(loss, f).value;
    }
    const double per_real = weight_of(n_real), per_fake = weight_of(n - n_real);
    means.data<T>()[0] = static_cast<T>(real * per_real);
    means.data<T>()[1] = static_cast<T>(fake * per_fake);
    value.data<T>()[0] = static_cast<T>(real_loss * per_real + fake_loss * per_fake);
  });
}

void gan_loss_d_backward(Context&, GanLoss loss, int64_t n_real, const Tensor& logits, const Tensor& dloss,
                         Tensor& dlogits) {
  dispatch_float(logits.dtype, [&]<class T>() {
    const T* logit = logits.data<T>();
    T* grad = dlogits.data<T>();
    const int64_t n = logits.elements();
    const double upstream = static_cast<double>(dloss.data<T>()[0]);
    const double per_real = upstream * weight_of(n_real), per_fake = upstream * weight_of(n - n_real);
    for (int64_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(logit[i]);
      grad[i] = static_cast<T>(i < n_real ? per_real * real_term(loss, x).slope : per_fake * fake_term(loss, x).slope);
    }
  });
}

void gan_loss_g_forward(Context&, GanLoss loss, const Tensor& logits, Tensor& value) {
  dispatch_float(logits.dtype, [&]<class T>() {
    const T* logit = logits.data<T>();
    double sum = 0;
    for (int64_t i = 0; i < logits.elements(); ++i) sum += generator_term(loss, static_cast<double>(logit[i])).value;
    value.data<T>()[0] = static_cast<T>(sum * weight_of(logits.elements()));
  });
}

void gan_loss_g_backward(Context&, GanLoss loss, const Tensor& logits, const Tensor& dloss, Tensor& dlogits) {
  dispatch_float(logits.dtype, [&]<class T>() {
    const T* logit = logits.data<T>();
    T* grad = dlogits.data<T>();
    const double per_logit = static_cast<double>(dloss.data<T>()[0]) * weight_of(logits.elements());
    for (int64_t i = 0; i < logits.elements(); ++i) {
      grad[i] = static_cast<T>(per_logit * generator_term(loss, static_cast<double>(logit[i])).slope);
    }
  });
}

}  // namespace poise::cpu
