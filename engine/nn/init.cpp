#include "engine/nn/init.h"

#include <cmath>

#include "kernels/train/random.h"

namespace poise {
namespace {

struct NamedScheme {
  const char* name;
  InitScheme scheme;
};
constexpr NamedScheme kSchemes[] = {{"pytorch", InitScheme::pytorch},
                                    {"xavier", InitScheme::xavier},
                                    {"kaiming", InitScheme::kaiming},
                                    {"orthogonal", InitScheme::orthogonal},
                                    {"normal002", InitScheme::normal002}};

// FNV-1a. A parameter's random numbers are counted from its path, so they do not depend on what was built before it.
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

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

// Rows (or, if there are more rows than columns, columns) of an [rows, cols] Gaussian matrix, made orthonormal by
// modified Gram-Schmidt, twice: once more than textbook, because once loses digits for nearly dependent vectors.
std::vector<double> orthonormal(std::vector<double> gaussian, int64_t rows, int64_t cols) {
  const bool by_rows = rows <= cols;
  const int64_t count = by_rows ? rows : cols, length = by_rows ? cols : rows;
  std::vector<double> vectors(static_cast<size_t>(count * length));  // [count, length], each contiguous
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t k = 0; k < length; ++k)
      vectors[i * length + k] = by_rows ? gaussian[i * cols + k] : gaussian[k * cols + i];
  }
  for (int64_t i = 0; i < count; ++i) {
    double* a = &vectors[i * length];
    for (int sweep = 0; sweep < 2; ++sweep) {
      for (int64_t j = 0; j < i; ++j) {
        const double* b = &vectors[j * length];
        double dot = 0;
        for (int64_t k = 0; k < length; ++k) dot += a[k] * b[k];
        for (int64_t k = 0; k < length; ++k) a[k] -= dot * b[k];
      }
    }
    double norm = 0;
    for (int64_t k = 0; k < length; ++k) norm += a[k] * a[k];
    for (int64_t k = 0; k < length; ++k) a[k] /= std::sqrt(norm);
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t k = 0; k < length; ++k)
      (by_rows ? gaussian[i * cols + k] : gaussian[k * cols + i]) = vectors[i * length + k];
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
    case ParameterRole::weight:
      return initial_weight(p, scheme, draw);
    case ParameterRole::bias:
      if (scheme != InitScheme::pytorch && scheme != InitScheme::normal002) return std::vector<double>(count, 0.0);
      return draw.uniform(p.shape.elements(), 1 / std::sqrt(static_cast<double>(p.fan_in)));
    case ParameterRole::bn_gamma:
      return std::vector<double>(count, 1.0);
    case ParameterRole::bn_beta:
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

std::optional<InitScheme> init_scheme_of(const std::string& name) {
  for (const NamedScheme& s : kSchemes) {
    if (name == s.name) return s.scheme;
  }
  return std::nullopt;
}

std::vector<std::string> init_scheme_names() {
  std::vector<std::string> names;
  for (const NamedScheme& s : kSchemes) names.emplace_back(s.name);
  return names;
}

void initialise(Module& root, InitScheme scheme, uint64_t seed) {
  const std::string prefix = root.path() + ".";
  root.for_each_parameter([&](Parameter& p) {
    require(p.value.dtype == DType::f32 || p.value.dtype == DType::f64, "parameters are f32 or f64");
    write(p.value, initial_value(p, scheme, Draw{seed, hash_of(prefix + p.path)}));
  });
  root.for_each_buffer([&](StateBuffer& b) {
    write(b.value, initial_buffer(b, Draw{seed, hash_of(prefix + b.path)}));
  });
}

}  // namespace poise
