// Every OpCase on the GPU kernels, against the CPU in f64, on every device of gpu_targets.h.
#include <algorithm>
#include <map>

#include "tests/support/gpu_targets.h"
#include "tests/support/op_comparison.h"
#include "tests/support/precision_limits.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

constexpr int64_t kModelBatch = 2;

// A real GPU runs every case; the host runs those that take a fraction of a second, and fewer under the checker.
bool runs_here(const Target& target, const OpCase& c) {
  if (target.device == Device::cuda || !c.model_sized) return true;
  if (target.kernels == &emulated::kernels()) return c.forward_flops <= 1e7;
  int64_t elements = 0;
  for (const OpTensor& x : c.inputs) elements += x.shape.elements();
  return c.forward_flops <= 1e6 && elements <= 200'000;
}

// Whether the precision makes a difference to the case: tf32 affects only matrix products, bf16 only activations.
bool concerns(Precision precision, const OpCase& c) {
  if (precision == Precision::tf32) return c.op == "conv2d" || c.op == "conv_transpose2d" || c.op == "linear";
  if (precision == Precision::fp32) return true;
  return concerns_bf16(c);
}

RunOptions on(const Target& target, Precision precision) {
  return {
      .dtype = activation_dtype(precision), .kernels = target.kernels, .device = target.device, .precision = precision};
}

// The worst errors, printed once at the end.
class WorstErrors : public testing::Environment {
 public:
  static void note(const std::string& what, double error, const std::string& op_case) {
    auto& worst = worst_[what];
    if (!(error <= worst.first)) worst = {error, op_case};
  }
  void TearDown() override {
    for (const auto& [what, worst] : worst_) {
      std::printf("worst error, %s: %.2g (%s)\n", what.c_str(), worst.first, worst.second.c_str());
    }
  }

 private:
  static inline std::map<std::string, std::pair<double, std::string>> worst_;
};
const testing::Environment* const kWorstErrors = testing::AddGlobalTestEnvironment(new WorstErrors);

class GpuOpTest : public testing::TestWithParam<std::tuple<Target, OpCase>> {
 protected:
  const Target& target() const { return std::get<0>(GetParam()); }
  const OpCase& op_case() const { return std::get<1>(GetParam()); }

  void SetUp() override {
    if (!available(target().device)) GTEST_SKIP() << "this machine has no CUDA device";
  }

  void compare(const std::vector<double>& got, const std::vector<double>& expected, Precision precision,
               const std::string& what) {
    const double error = relative_error(got, expected), limit = limit_of(precision);
    EXPECT_FALSE(!(error <= limit)) << what << " is off by " << error << ", limit " << limit;
    WorstErrors::note(std::string(target().name) + " " + name_of(precision), error, op_case().name + ", " + what);
  }
};

// Value, gradients and states agree, nothing is written out of bounds, and other addresses give the same bytes.
TEST_P(GpuOpTest, MatchesTheCpu) {
  for (const Precision precision : kAllPrecisions) {
    if (!concerns(precision, op_case())) continue;
    SCOPED_TRACE(name_of(precision));
    const OpResult expected =
        OpFixture(op_case(), {.dtype = DType::f64, .kernels = &cpu_reference_kernels(), .precision = precision}).run();
    RunOptions options = on(target(), precision);
    OpFixture fixture(op_case(), options);
    const OpResult got = fixture.run();
    EXPECT_EQ(got.damage, "");
    EXPECT_EQ(fixture.arena_peak(), fixture.plan.arena_bytes);
    compare(got.output, expected.output, precision, "output");
    for (size_t i = 0; i < expected.gradients.size(); ++i) {
      EXPECT_NE(got.gradients[i].empty(), op_case().inputs[i].trainable) << "gradient of input " << i;
      compare(got.gradients[i], expected.gradients[i], precision, "gradient of input " + std::to_string(i));
    }
    for (size_t i = 0; i < expected.states.size(); ++i) {
      compare(got.states[i], expected.states[i], precision, "state " + std::to_string(i));
    }
    expect_same_bytes(got, fixture.run(), "second run");
    options.parameters = options.guards = true;
    const OpResult guarded = OpFixture(op_case(), options).run();
    EXPECT_EQ(guarded.damage, "");
    expect_same_bytes(got, guarded, "inputs as parameters, in a fragmented arena");
  }
}

// A run that has diverged must not look healthy.
TEST_P(GpuOpTest, ANaNReachesTheOutput) {
  if (op_case().model_sized || !op_case().definition || !op_case().reads_every_element) return;
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    if (!concerns(precision, op_case())) continue;
    for (size_t input = 0; input < op_case().inputs.size(); ++input) {
      if (!op_case().inputs[input].trainable) continue;
      OpFixture fixture(op_case(), on(target(), precision));
      fixture.inputs[input].back() = std::nan("");
      EXPECT_TRUE(std::isnan(largest(fixture.evaluate(op_case().build)))) << "input " << input;
    }
  }
}

// A kernel must not depend on the execution order: random orders of blocks and threads give the same bytes.
TEST_P(GpuOpTest, TheOrderOfThreadsDoesNotMatter) {
  if (op_case().model_sized) return;
  for (const Precision precision : kAllPrecisions) {
    if (!concerns(precision, op_case())) continue;
    OpFixture fixture(op_case(), on(target(), precision));
    const OpResult expected = fixture.run();
    for (const uint64_t seed : {1, 2, 3}) {
      const RandomOrder order(seed);
      expect_same_bytes(expected, fixture.run(), name_of(precision) + std::string(", seed ") + std::to_string(seed));
    }
  }
}

using Param = std::tuple<Target, OpCase>;

std::string name_of(const testing::TestParamInfo<Param>& info) {
  return std::get<0>(info.param).name + std::string("_") + std::get<1>(info.param).name;
}

std::vector<Param> params() {
  std::vector<Param> result;
  for (const Target& target : gpu_targets()) {
    for (const OpCase& c : op_cases(kModelBatch)) {
      if (runs_here(target, c)) result.emplace_back(target, c);
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuOpTest, testing::ValuesIn(params()), name_of);

}  // namespace
}  // namespace poise
