#include "engine/nn/init.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/dot.h"
#include "kernels/core/hash.h"
#include "kernels/core/simd.h"
#include "kernels/train/random.h"

namespace poise {
namespace {

// `step` is a hash of a parameter's path, so its random numbers do not depend on what was built before it.
struct Draw {
  uint64_t seed, step;
  std::vector<double> normal(int64_t count) const {
    std::vector<double> values(static_cast<size_t>(count));
    normal_on_host(seed, RandomStream::initialisation, step, count, values.data());
    return values;
  }
  std::vector<double> uniform(int64_t count, double bound) const {
    std::vector<double> values(static_cast<size_t>(count));
    uniform_on_host(seed, RandomStream::initialisation, step, count, values.data());
    for (double& x : values) x = (2 * x - 1) * bound;
    return values;
  }
};

void scale(std::vector<double>& values, double factor) {
  for (double& x : values) x *= factor;
}

// Makes `count` vectors of `length` orthonormal by modified Gram-Schmidt, run twice because a single run loses digits
// for nearly dependent vectors. Works in groups of vectors, against groups of earlier ones that stay in the cache.
void make_orthonormal(int64_t count, int64_t length, double* vectors) {
  constexpr int64_t kGroup = 16;
  const auto remove = [=](const double* b, double* a) {  // removes from a its component along the unit vector b
    const double along = dot(a, b, length);
#pragma GCC ivdep
    for (int64_t k = 0; k < length; ++k) a[k] -= along * b[k];
  };
  for (int sweep = 0; sweep < 2; ++sweep) {
    for (int64_t first = 0; first < count; first += kGroup) {
      const int64_t last = std::min(first + kGroup, count);
      for (int64_t earlier = 0; earlier < first; earlier += kGroup) {
        simd_for(last - first, [=](int64_t i) {
          for (int64_t j = earlier; j < earlier + kGroup; ++j) {
            remove(vectors + j * length, vectors + (first + i) * length);
          }
        });
      }
      for (int64_t i = first; i < last; ++i) {
        double* a = vectors + i * length;
        for (int64_t j = first; j < i; ++j) remove(vectors + j * length, a);
        const double norm = std::sqrt(dot(a, a, length));
        for (int64_t k = 0; k < length; ++k) a[k] /= norm;
      }
    }
  }
}

// A Gaussian [rows, cols] matrix with its rows made orthonormal or, if there are more rows than columns, its columns.
std::vector<double> orthonormal(std::vector<double> gaussian, int64_t rows, int64_t cols) {
  if (rows <= cols) {
    make_orthonormal(rows, cols, gaussian.data());
    return gaussian;
  }
  std::vector<double> transposed(gaussian.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < cols; ++k) transposed[k * rows + i] = gaussian[i * cols + k];
  }
  make_orthonormal(cols, rows, transposed.data());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < cols; ++k) gaussian[i * cols + k] = transposed[k * rows + i];
  }
  return gaussian;
}

std::vector<double> initial_weight(const Parameter& p, InitScheme scheme, const Draw& draw) {
  const int64_t count = p.shape.elements();
  const double fan_in = static_cast<double>(p.fan_in), fan_out = static_cast<double>(p.fan_out);
  std::vector<double> values;
  switch (scheme) {
    case InitScheme::pytorch:
      return draw.uniform(count, 1 / std::sqrt(fan_in));
    case InitScheme::xavier:
      return draw.uniform(count, std::sqrt(6 / (fan_in + fan_out)));
    case InitScheme::kaiming:
      values = draw.normal(count);
      scale(values, std::sqrt(2 / fan_in));
      return values;
    case InitScheme::normal002:
      values = draw.normal(count);
      scale(values, 0.02);
      return values;
    case InitScheme::orthogonal:
      return orthonormal(draw.normal(count), p.shape[0], count / p.shape[0]);
  }
  return values;
}

std::vector<double> initial_value(const Parameter& p, InitScheme scheme, const Draw& draw) {
  const size_t count = static_cast<size_t>(p.shape.elements());
  switch (p.role) {
    case ParameterRole::embedding:
      if (scheme == InitScheme::pytorch) return draw.normal(p.shape.elements());
      return initial_weight(p, scheme, draw);
    case ParameterRole::weight:
    case ParameterRole::unmasked_weight:
      return initial_weight(p, scheme, draw);
    case ParameterRole::bias:
      if (scheme != InitScheme::pytorch && scheme != InitScheme::normal002) return std::vector<double>(count, 0.0);
      return draw.uniform(p.shape.elements(), 1 / std::sqrt(static_cast<double>(p.fan_in)));
    case ParameterRole::bn_gamma:
      return std::vector<double>(count, 1.0);
    case ParameterRole::bn_beta:
    case ParameterRole::gate:
      return std::vector<double>(count, 0.0);
  }
  return {};
}

std::vector<double> initial_buffer(const StateBuffer& b, const Draw& draw) {
  if (b.role != BufferRole::unit_random) {
    return std::vector<double>(static_cast<size_t>(b.shape.elements()), b.role == BufferRole::ones ? 1.0 : 0.0);
  }
  std::vector<double> values = draw.normal(b.shape.elements());
  double norm = 0;
  for (double x : values) norm += x * x;
  scale(values, 1 / std::sqrt(norm));
  return values;
}

void write(const Tensor& to, const std::vector<double>& values) {
  if (to.dtype == DType::f64) return copy_from_host(to, values.data());
  const std::vector<float> rounded(values.begin(), values.end());
  copy_from_host(to, rounded.data());
}

}  // namespace

void initialise(Module& root, InitScheme scheme, uint64_t seed) {
  const std::string prefix = root.path() + ".";
  root.for_each_parameter([&](Parameter& p) {
    require(p.value.dtype == DType::f32 || p.value.dtype == DType::f64, "parameters are f32 or f64");
    write(p.value, initial_value(p, scheme, Draw{seed, fnv1a(prefix + p.path)}));
  });
  root.for_each_buffer([&](StateBuffer& b) { write(b.value, initial_buffer(b, Draw{seed, fnv1a(prefix + b.path)})); });
}

}  // namespace poise
