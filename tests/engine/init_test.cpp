// Initial values: the distribution of every scheme, and what they depend on.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/nn/init.h"
#include "engine/nn/layers.h"
#include "engine/optim/parameter_slab.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

constexpr int64_t kIn = 120, kOut = 90, kChannelsIn = 24, kChannelsOut = 40;
constexpr double kLinearFanIn = kIn, kLinearFanOut = kOut, kConvFanIn = 9 * kChannelsIn, kConvFanOut = 9 * kChannelsOut;

struct Net : Module {
  explicit Net(const std::string& name)
      : Module(name),
        linear(*this, "linear", kIn, kOut),
        conv(*this, "conv", kChannelsIn, kChannelsOut, same_padding(3), {.spectral_norm = true}),
        bn(*this, "bn", kChannelsOut) {}
  Linear linear;
  Conv2d conv;
  BatchNorm2d bn;
};

// The same layers, declared in another order and with an additional one among them.
struct ReorderedNet : Module {
  explicit ReorderedNet(const std::string& name)
      : Module(name),
        bn(*this, "bn", kChannelsOut),
        stranger(*this, "stranger", 5, 7),
        conv(*this, "conv", kChannelsIn, kChannelsOut, same_padding(3), {.spectral_norm = true}),
        linear(*this, "linear", kIn, kOut) {}
  BatchNorm2d bn;
  Linear stranger;
  Conv2d conv;
  Linear linear;
};

using Values = std::map<std::string, std::vector<double>>;  // by path

template <class Network = Net>
Values initial(InitScheme scheme, uint64_t seed = 1, DType dtype = DType::f64, const std::string& name = "G") {
  Network net(name);
  const ParameterSlab slab(net, dtype, Device::cpu, /*with_ema=*/false);
  initialise(net, scheme, seed);
  Values values;
  auto take = [&](const std::string& path, const Tensor& t) {
    std::vector<double>& v = values[path];
    for (int64_t i = 0; i < t.elements(); ++i) {
      v.push_back(dtype == DType::f64 ? t.data<double>()[i] : static_cast<double>(t.data<float>()[i]));
    }
  };
  net.for_each_parameter([&](Parameter& p) { take(p.path, p.value); });
  net.for_each_buffer([&](StateBuffer& b) { take(b.path, b.value); });
  return values;
}

double mean_power(const std::vector<double>& values, int power) {
  double sum = 0;
  for (const double x : values) sum += std::pow(x, power);
  return sum / static_cast<double>(values.size());
}

// Checks mean, variance, and (for uniform values) bounds, to four standard errors.
void expect_uniform(const std::vector<double>& values, double bound) {
  const double n = static_cast<double>(values.size());
  double largest = 0;
  for (const double x : values) largest = std::max(largest, std::abs(x));
  EXPECT_LT(largest, bound);
  EXPECT_GT(largest, bound * (1 - 20 / n));  // and the bound is nearly reached
  EXPECT_NEAR(mean_power(values, 1), 0, 4 * bound / std::sqrt(3 * n));
  EXPECT_NEAR(mean_power(values, 2), bound * bound / 3, 4 * bound * bound * std::sqrt(4.0 / 45 / n));
}

void expect_normal(const std::vector<double>& values, double deviation) {
  const double n = static_cast<double>(values.size()), variance = deviation * deviation;
  EXPECT_NEAR(mean_power(values, 1), 0, 4 * deviation / std::sqrt(n));
  EXPECT_NEAR(mean_power(values, 2), variance, 4 * variance * std::sqrt(2 / n));
  EXPECT_NEAR(mean_power(values, 4), 3 * variance * variance, 4 * variance * variance * std::sqrt(96 / n));
}

void expect_constant(const std::vector<double>& values, double constant) {
  for (const double x : values) ASSERT_EQ(x, constant);
}

TEST(Init, PytorchIsUniformOverTheFanIn) {
  const Values v = initial(InitScheme::pytorch);
  expect_uniform(v.at("linear.weight"), 1 / std::sqrt(kLinearFanIn));
  expect_uniform(v.at("linear.bias"), 1 / std::sqrt(kLinearFanIn));
  expect_uniform(v.at("conv.weight"), 1 / std::sqrt(kConvFanIn));
  expect_uniform(v.at("conv.bias"), 1 / std::sqrt(kConvFanIn));
}

TEST(Init, XavierIsUniformOverBothFans) {
  const Values v = initial(InitScheme::xavier);
  expect_uniform(v.at("linear.weight"), std::sqrt(6 / (kLinearFanIn + kLinearFanOut)));
  expect_uniform(v.at("conv.weight"), std::sqrt(6 / (kConvFanIn + kConvFanOut)));
  expect_constant(v.at("linear.bias"), 0);
  expect_constant(v.at("conv.bias"), 0);
}

TEST(Init, KaimingIsNormalOverTheFanIn) {
  const Values v = initial(InitScheme::kaiming);
  expect_normal(v.at("linear.weight"), std::sqrt(2 / kLinearFanIn));
  expect_normal(v.at("conv.weight"), std::sqrt(2 / kConvFanIn));
  expect_constant(v.at("linear.bias"), 0);
}

TEST(Init, Normal002HasPytorchBiases) {
  const Values v = initial(InitScheme::normal002);
  expect_normal(v.at("linear.weight"), 0.02);
  expect_normal(v.at("conv.weight"), 0.02);
  expect_uniform(v.at("linear.bias"), 1 / std::sqrt(kLinearFanIn));
}

TEST(Init, BatchNormAndBuffersStartAtTheirRoles) {
  for (const std::string& name : names_of<InitScheme>()) {
    const Values v = initial(*named<InitScheme>(name));
    expect_constant(v.at("bn.gamma"), 1);
    expect_constant(v.at("bn.beta"), 0);
    expect_constant(v.at("bn.running_mean"), 0);
    expect_constant(v.at("bn.running_var"), 1);
    for (const char* vector : {"conv.u", "conv.v"}) {
      EXPECT_NEAR(mean_power(v.at(vector), 2) * static_cast<double>(v.at(vector).size()), 1, 1e-14) << vector;
    }
    EXPECT_EQ(v.at("conv.u").size(), static_cast<size_t>(kChannelsOut));
    EXPECT_EQ(v.at("conv.v").size(), static_cast<size_t>(9 * kChannelsIn));
  }
  EXPECT_FALSE(named<InitScheme>("xaver"));
}

// max |M M^T - I| of a [rows, cols] matrix, or of its transpose if it is tall.
double distance_from_orthonormal(const std::vector<double>& m, int64_t rows, int64_t cols) {
  const bool wide = rows <= cols;
  const int64_t count = wide ? rows : cols, length = wide ? cols : rows;
  auto at = [&](int64_t i, int64_t k) { return m[static_cast<size_t>(wide ? i * cols + k : k * cols + i)]; };
  double worst = 0;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (int64_t k = 0; k < length; ++k) dot += at(i, k) * at(j, k);
      worst = std::max(worst, std::abs(dot - (i == j ? 1 : 0)));
    }
  }
  return worst;
}

struct TallNet : Module {
  explicit TallNet(const std::string& name)
      : Module(name), linear(*this, "linear", 30, 70), square(*this, "square", 9, 9) {}
  Linear linear, square;
};

TEST(Init, OrthogonalIs) {
  for (const auto& [dtype, limit] : {std::pair{DType::f64, 1e-12}, std::pair{DType::f32, 1e-5}}) {
    const Values v = initial(InitScheme::orthogonal, 1, dtype);
    EXPECT_LT(distance_from_orthonormal(v.at("linear.weight"), kOut, kIn), limit);
    EXPECT_LT(distance_from_orthonormal(v.at("conv.weight"), kChannelsOut, 9 * kChannelsIn), limit);
    expect_constant(v.at("linear.bias"), 0);
    const Values tall = initial<TallNet>(InitScheme::orthogonal, 1, dtype);
    EXPECT_LT(distance_from_orthonormal(tall.at("linear.weight"), 70, 30), limit);
    EXPECT_LT(distance_from_orthonormal(tall.at("square.weight"), 9, 9), limit);
  }
}

TEST(Init, DependsOnSeedAndPathAlone) {
  for (const std::string& name : names_of<InitScheme>()) {
    const InitScheme scheme = *named<InitScheme>(name);
    const Values a = initial(scheme);
    EXPECT_EQ(a, initial(scheme)) << name;
    const Values reordered = initial<ReorderedNet>(scheme);
    for (const auto& [path, values] : a) EXPECT_EQ(values, reordered.at(path)) << name << " " << path;
    EXPECT_NE(a.at("linear.weight"), initial(scheme, 2).at("linear.weight")) << name;
    EXPECT_NE(a.at("linear.weight"), initial(scheme, 1, DType::f64, "D").at("linear.weight")) << name;
    EXPECT_NE(a.at("conv.u"), std::vector<double>(a.at("conv.v").begin(), a.at("conv.v").begin() + kChannelsOut));
  }
}

TEST(Init, F32IsTheRoundedF64Draw) {
  for (const std::string& name : names_of<InitScheme>()) {
    const Values f64 = initial(*named<InitScheme>(name)), f32 = initial(*named<InitScheme>(name), 1, DType::f32);
    for (const auto& [path, values] : f64) {
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(static_cast<double>(static_cast<float>(values[i])), f32.at(path)[i]) << name << " " << path;
      }
    }
  }
}

}  // namespace
}  // namespace poise
