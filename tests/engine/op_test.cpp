// Properties of every op, tested for every case of op_cases.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/core/parallel.h"
#include "tests/support/op_comparison.h"
#include "tests/support/precision_limits.h"

namespace poise {
namespace {

constexpr int64_t kModelBatch = 2;          // small, because f64 loops also run the model-sized cases
constexpr double kGradientLimit = 1e-7;     // f64, against central differences
constexpr double kDefinitionLimit = 1e-12;  // f64, against op_definitions.h
constexpr double kParityLimit = 1e-5;       // f32 against f64. One limit for all ops.
constexpr size_t kCheckedElements = 400, kSampledElements = 200;

std::vector<OpCase> all_cases() {
  std::vector<OpCase> cases = op_cases(kModelBatch);
#ifndef NDEBUG
  // Debug and sanitizer builds are fifty times slower, and look for mistakes that do not depend on the size.
  std::erase_if(cases, [](const OpCase& c) { return c.forward_flops > 1e8; });
#endif
  return cases;
}

template <class Condition>
std::vector<OpCase> small_cases(const Condition& condition) {
  std::vector<OpCase> cases = all_cases();
  std::erase_if(cases, [&](const OpCase& c) { return c.model_sized || !condition(c); });
  return cases;
}
std::vector<OpCase> defined_cases() {
  return small_cases([](const OpCase& c) { return c.definition != nullptr; });
}
std::vector<OpCase> differentiable_cases() {
  return small_cases([](const OpCase& c) { return c.gradient_check; });
}

class OpTest : public testing::TestWithParam<OpCase> {
 protected:
  const OpCase& op_case() const { return GetParam(); }
  void compare(double error, double limit, const std::string& what) {
    EXPECT_FALSE(!(error <= limit)) << what << " is off by " << error << ", limit " << limit;
    worst_ = std::max(worst_, error);
  }
  void TearDown() override {
    if (worst_ >= 0) RecordProperty("worst_error", testing::PrintToString(worst_));  // --gtest_output=xml shows it
  }

 private:
  double worst_ = -1;
};

// The CPU kernels, with each element type that activations have in training.
std::vector<RunOptions> small_runs(const OpCase& c) {
  std::vector<RunOptions> runs;
  for (const KernelTable* table : {&cpu_kernels(), &cpu_reference_kernels()}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      if (dtype == DType::f32 || concerns_bf16(c)) runs.push_back({.dtype = dtype, .kernels = table});
    }
  }
  return runs;
}

class OpDefinitionTest : public OpTest {};
class OpGradientTest : public OpTest {};

// d(sum_j dy_j y_j) / dx by fourth-order central differences. The error of the formula is h^4/30 times a fifth
// derivative and the rounding error is 1e-16/h, so with h = 2^-10 both are four digits below the limit. x + h is exact,
// because h is a power of two and x an f32 number.
double central_difference(OpFixture& fixture, const OpBuild& build, double& x) {
  constexpr double h = 1.0 / 1024;
  const double saved = x;
  auto at = [&](double value) {
    x = value;
    return fixture.evaluate(build);
  };
  const std::vector<double> p1 = at(saved + h), m1 = at(saved - h), p2 = at(saved + 2 * h), m2 = at(saved - 2 * h);
  x = saved;
  double sum = 0;
  for (size_t j = 0; j < p1.size(); ++j) sum += fixture.dy[j] * (8 * (p1[j] - m1[j]) - (p2[j] - m2[j]));
  return sum / (12 * h);
}

TEST_P(OpGradientTest, MatchesCentralDifferences) {
  OpFixture fixture(op_case(), {.dtype = DType::f64, .kernels = &cpu_reference_kernels()});
  const OpResult result = fixture.run();
  const OpBuild& build = op_case().differentiated ? op_case().differentiated : op_case().build;
  for (size_t input = 0; input < fixture.inputs.size(); ++input) {
    if (!op_case().inputs[input].trainable) {
      EXPECT_TRUE(result.gradients[input].empty()) << "input " << input << " is constant but received a gradient";
      continue;
    }
    std::vector<double>& x = fixture.inputs[input];
    ASSERT_EQ(result.gradients[input].size(), x.size()) << "input " << input << " received no gradient";
    std::vector<size_t> checked(x.size());
    for (size_t i = 0; i < x.size(); ++i) checked[i] = i;
    if (x.size() > kCheckedElements) {
      std::shuffle(checked.begin(), checked.end(), std::mt19937(1));
      checked.resize(kSampledElements);
    }
    std::vector<double> analytic, numeric;
    for (const size_t i : checked) {
      analytic.push_back(result.gradients[input][i]);
      numeric.push_back(central_difference(fixture, build, x[i]));
    }
    compare(relative_error(analytic, numeric), kGradientLimit, "gradient of input " + std::to_string(input));
  }
}

TEST_P(OpDefinitionTest, F64MatchesTheDefinition) {
  OpFixture fixture(op_case(), {.dtype = DType::f64, .kernels = &cpu_reference_kernels()});
  HostValues states = fixture.states;
  const std::vector<double> output = op_case().definition(fixture.inputs, states);
  const OpResult result = fixture.run();
  compare(relative_error(result.output, output), kDefinitionLimit, "output");
  for (size_t i = 0; i < states.size(); ++i) {
    compare(relative_error(result.states[i], states[i]), kDefinitionLimit, "state " + std::to_string(i));
  }
}

TEST_P(OpTest, F32MatchesF64) {
  const OpResult expected = OpFixture(op_case(), {.dtype = DType::f64, .kernels = &cpu_reference_kernels()}).run();
  const std::pair<const char*, const KernelTable*> tables[] = {{"cpu: ", &cpu_kernels()},
                                                               {"cpu reference: ", &cpu_reference_kernels()}};
  for (const auto& [name, table] : tables) {
    const OpResult got = OpFixture(op_case(), {.kernels = table}).run();
    const std::string prefix = name;
    compare(relative_error(got.output, expected.output), kParityLimit, prefix + "output");
    for (size_t i = 0; i < expected.gradients.size(); ++i) {
      EXPECT_NE(got.gradients[i].empty(), op_case().inputs[i].trainable) << prefix << "gradient of input " << i;
      compare(relative_error(got.gradients[i], expected.gradients[i]), kParityLimit,
              prefix + "gradient of input " + std::to_string(i));
    }
    for (size_t i = 0; i < expected.states.size(); ++i) {
      compare(relative_error(got.states[i], expected.states[i]), kParityLimit, prefix + "state " + std::to_string(i));
    }
  }
}

// Activations in bf16 and the rest in f32, as on a GPU, with the GPU's limit. The f64 run starts from the same values.
TEST_P(OpTest, Bf16MatchesF64) {
  if (!concerns_bf16(op_case())) return;
  const OpResult expected =
      OpFixture(op_case(), {.dtype = DType::f64, .kernels = &cpu_reference_kernels(), .precision = Precision::bf16})
          .run();
  for (const KernelTable* table : {&cpu_kernels(), &cpu_reference_kernels()}) {
    if (op_case().model_sized && table != &cpu_kernels()) continue;
    RunOptions options{.dtype = DType::bf16, .kernels = table, .precision = Precision::bf16};
    OpFixture fixture(op_case(), options);
    const OpResult got = fixture.run();
    const double limit = limit_of(Precision::bf16);
    const std::string prefix = table == &cpu_kernels() ? "cpu: " : "cpu reference: ";
    EXPECT_EQ(fixture.arena_peak(), fixture.plan.arena_bytes);
    compare(relative_error(got.output, expected.output), limit, prefix + "output");
    for (size_t i = 0; i < expected.gradients.size(); ++i) {
      EXPECT_NE(got.gradients[i].empty(), op_case().inputs[i].trainable) << prefix << "gradient of input " << i;
      compare(relative_error(got.gradients[i], expected.gradients[i]), limit,
              prefix + "gradient of input " + std::to_string(i));
    }
    for (size_t i = 0; i < expected.states.size(); ++i) {
      compare(relative_error(got.states[i], expected.states[i]), limit, prefix + "state " + std::to_string(i));
    }
    options.parameters = options.guards = true;
    const OpResult guarded = OpFixture(op_case(), options).run();
    EXPECT_EQ(guarded.damage, "");
    expect_same_bytes(got, guarded, "inputs as parameters, in a fragmented arena");
  }
}

// A run that has diverged must not look healthy, so comparisons in kernels are written such that a NaN is kept.
TEST_P(OpDefinitionTest, ANaNReachesTheOutput) {
  if (!op_case().reads_every_element) return;
  for (const RunOptions& options : small_runs(op_case())) {
    for (size_t input = 0; input < op_case().inputs.size(); ++input) {
      if (!op_case().inputs[input].trainable) continue;
      for (const bool last : {false, true}) {
        OpFixture fixture(op_case(), options);
        std::vector<double>& x = fixture.inputs[input];
        (last ? x.back() : x.front()) = std::nan("");
        const std::vector<double> output = fixture.evaluate(op_case().build);
        EXPECT_TRUE(std::isnan(largest(output))) << (last ? "last" : "first") << " element of input " << input;
      }
    }
  }
}

// Each run uses different memory.
TEST_P(OpTest, SameBytesEveryRunAndForAnyNumberOfThreads) {
  const int threads = thread_count();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && !concerns_bf16(op_case())) continue;
    OpFixture fixture(op_case(), {.dtype = dtype});
    const OpResult first = fixture.run();
    expect_same_bytes(first, fixture.run(), "second run of one fixture");
    for (const int count : {1, 2, 3}) {
      set_thread_count(count);
      expect_same_bytes(first, OpFixture(op_case(), {.dtype = dtype}).run(), std::to_string(count) + " threads");
    }
    set_thread_count(threads);
  }
}

// Results do not depend on the address or previous contents of memory, and an op only writes to its own memory.
TEST_P(OpTest, StaysInsideItsMemory) {
  for (const KernelTable* table : {&cpu_kernels(), &cpu_reference_kernels()}) {
    if (op_case().model_sized && table != &cpu_kernels()) continue;
    const OpResult plain = OpFixture(op_case(), {.kernels = table}).run();
    const OpResult guarded = OpFixture(op_case(), {.kernels = table, .parameters = true, .guards = true}).run();
    EXPECT_EQ(plain.damage, "");
    EXPECT_EQ(guarded.damage, "");
    EXPECT_FALSE(std::isnan(largest(plain.output)))
        << "the output was not written completely, or depends on old memory";
    for (const auto& gradient : plain.gradients) EXPECT_FALSE(std::isnan(largest(gradient)));
    for (const auto& state : plain.states) EXPECT_FALSE(std::isnan(largest(state)));
    expect_same_bytes(plain, guarded, "inputs as parameters, in a fragmented arena");
  }
}

TEST_P(OpGradientTest, IsTheSameWhenAnotherInputIsFrozen) {
  const OpResult all = OpFixture(op_case()).run();
  for (size_t frozen = 0; frozen < op_case().inputs.size(); ++frozen) {
    if (!op_case().inputs[frozen].trainable) continue;
    for (const bool parameters : {false, true}) {
      const OpResult some = OpFixture(op_case(), {.parameters = parameters, .frozen = static_cast<int>(frozen)}).run();
      OpResult expected = all;
      expected.gradients[frozen].clear();
      expect_same_bytes(expected, some, "input " + std::to_string(frozen) + " frozen");
      EXPECT_EQ(some.damage, "");
    }
  }
}

TEST_P(OpTest, PlanEqualsRun) {
  for (const KernelTable* table : {&cpu_kernels(), &cpu_reference_kernels()}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      if (op_case().model_sized && (dtype == DType::f64 || table != &cpu_kernels())) continue;
      OpFixture fixture(op_case(), {.dtype = dtype, .kernels = table});
      EXPECT_EQ(fixture.plan.forward.flops, op_case().forward_flops);
      EXPECT_EQ(fixture.plan.backward.flops, op_case().backward_flops);
      EXPECT_EQ(fixture.plan.forward.executed_flops > 0, op_case().forward_flops > 0);
      fixture.run();
      EXPECT_EQ(fixture.arena_peak(), fixture.plan.arena_bytes);
      EXPECT_EQ(fixture.profile.total().work.flops, op_case().forward_flops + op_case().backward_flops);
      EXPECT_EQ(fixture.profile.total().work.bytes, fixture.plan.forward.bytes + fixture.plan.backward.bytes);
    }
  }
}

TEST_P(OpTest, RecordsTheOpItIsACaseOf) {
  const std::vector<std::string> ops = plan_of(op_case(), {}).ops;
  EXPECT_NE(std::find(ops.begin(), ops.end(), op_case().op), ops.end());
}

std::string name_of(const testing::TestParamInfo<OpCase>& case_info) { return case_info.param.name; }
INSTANTIATE_TEST_SUITE_P(Cases, OpTest, testing::ValuesIn(all_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Cases, OpDefinitionTest, testing::ValuesIn(defined_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Cases, OpGradientTest, testing::ValuesIn(differentiable_cases()), name_of);

}  // namespace
}  // namespace poise
