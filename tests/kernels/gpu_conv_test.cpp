// Convolution and linear layers on the GPU, on the emulated device and on CUDA: all passes and precisions against the
// CPU's f64 loops, the same bits in any order of threads, copies and blocks, no races, no writes outside the results.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "kernels/dense/conv2d/conv2d_gemm.h"
#include "kernels/gpu/tile.cuh"
#include "kernels/table.h"
#include "tests/support/device_operands.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

// Values in [-1, 1].
Operand uniform(const Shape& shape, DType dtype, uint64_t stream, Device where) {
  std::vector<double> drawn(static_cast<size_t>(shape.elements()));
  uniform_on_host(7, RandomStream::test, stream, shape.elements(), drawn.data());
  for (double& x : drawn) x = static_cast<float>(2 * x - 1);
  return {shape, dtype, drawn, where};
}

LayerOperands uniform_operands(const Shape& x, const Shape& weight, const Shape& bias, const Shape& y, DType dtype,
                               Device where) {
  return {uniform(x, dtype, 1, where), uniform(weight, dtype, 2, where), uniform(bias, DType::f32, 3, where),
          uniform(y, dtype, 4, where)};
}

class Convolution {
 public:
  Convolution(const Conv2dGeometry& geometry, Precision precision, Device where)
      : g_(geometry),
        precision_(precision),
        dtype_(activation_dtype(precision)),
        where_(where),
        operands_(uniform_operands(g_.x_shape(), g_.weight_shape(), {g_.c_out}, g_.y_shape(), dtype_, where)) {}

  LayerResults run(const KernelTable& kernels, const GemmChoice& choice = {}) const {
    return run_with(kernels, choice, operands_.weight.device.tensor());
  }

  void expect_right(const LayerResults& r) const { expect_near(r, conv2d_reference(g_, operands_), precision_); }

  // Runs the passes with a derived weight.
  LayerResults run_derived(const KernelTable& kernels) const {
    Context ctx{.device = where_, .precision = precision_, .kernels = &kernels};
    const Tensor& weight = operands_.weight.device.tensor();
    GuardedTensor wide(weight.shape, DType::f32, where_);
    GuardedTensor derived(kernels.conv2d_weight_shape(ctx, g_, dtype_), dtype_, where_);
    dtype_ == DType::f32 ? kernels.copy(ctx, weight, wide.tensor()) : kernels.convert(ctx, weight, wide.tensor());
    const DerivedWeight job{.geometry = g_, .weight = wide.tensor(), .derived = derived.tensor()};
    kernels.derive_weights(ctx, {&job, 1});
    EXPECT_TRUE(derived.intact());
    return run_with(kernels, {}, derived.tensor());
  }

  // y becomes dy + y, with its ReLU in a second output; dx becomes x + dx where x > 0, else x.
  void expect_finishes(const KernelTable& kernels, const GemmChoice& choice) const {
    Context ctx{.device = where_, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const Tensor &x = operands_.x.device.tensor(), &dy = operands_.dy.device.tensor();
    const Tensor& w = operands_.weight.device.tensor();
    Conv2dGeometry g = g_;
    g.adds = true;
    GuardedTensor beside(g.y_shape(), dtype_, where_);
    const LayerResults plain = run(kernels, choice);
    const LayerResults finished = operands_.run(
        [&](Pass pass) { return kernels.conv2d_plan(ctx, g, dtype_, pass).workspace_bytes; },
        [&](Tensor& forward, Tensor& for_input, Tensor&, LayerResults& r) {
          kernels.copy(ctx, dy, r.y.tensor());
          kernels.copy(ctx, x, r.dx.tensor());
          kernels.conv2d_forward(ctx, g, x, w, operands_.bias.device.tensor(), beside.tensor(), forward, r.y.tensor());
          kernels.conv2d_backward_input(ctx, g, dy, w, x, for_input, r.dx.tensor());
        });
    EXPECT_TRUE(beside.intact());
    const auto expect = [&](const char* what, const GuardedTensor& got, const GuardedTensor& sums, const Operand& there,
                            double (*finish)(double, double)) {
      const std::vector<double> a = to_host(got.tensor()), b = to_host(sums.tensor()),
                                c = to_host(there.device.tensor());
      for (size_t i = 0; i < a.size(); ++i) {
        const double expected = finish(b[i], c[i]);  // from a sum that was already rounded
        const double limit = dtype_ == DType::f32 ? 0 : 0.01 * (std::abs(b[i]) + std::abs(expected));
        ASSERT_NEAR(a[i], dtype_ == DType::f32 ? static_cast<float>(expected) : expected, limit) << what << ' ' << i;
      }
    };
    expect("y", finished.y, plain.y, operands_.dy, [](double sum, double there) { return sum + there; });
    expect("relu", beside, plain.y, operands_.dy, [](double sum, double there) { return std::max(sum + there, 0.0); });
    expect("dx", finished.dx, plain.dx, operands_.x,
           [](double sum, double there) { return there > 0 ? sum + there : there; });
  }

 private:
  LayerResults run_with(const KernelTable& kernels, const GemmChoice& choice, const Tensor& w) const {
    Context ctx{.device = where_, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const Tensor &x = operands_.x.device.tensor(), &dy = operands_.dy.device.tensor();
    const Tensor& bias = operands_.bias.device.tensor();
    return operands_.run([&](Pass pass) { return kernels.conv2d_plan(ctx, g_, dtype_, pass).workspace_bytes; },
                         [&](Tensor& forward, Tensor& for_input, Tensor& for_weight, LayerResults& r) {
                           kernels.conv2d_forward(ctx, g_, x, w, bias, {}, forward, r.y.tensor());
                           kernels.conv2d_backward_input(ctx, g_, dy, w, {}, for_input, r.dx.tensor());
                           kernels.conv2d_backward_weight(ctx, g_, x, dy, for_weight, r.dweight.tensor(),
                                                          r.dbias.tensor());
                         });
  }

  const Conv2dGeometry g_;
  const Precision precision_;
  const DType dtype_;
  const Device where_;
  const LayerOperands operands_;
};

struct Case {
  const char* name;
  Conv2dGeometry g;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"ragged", {.n = 2, .h = 9, .w = 7, .c_in = 24, .c_out = 40, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
    {"odd_channels", {.n = 2, .h = 5, .w = 6, .c_in = 13, .c_out = 11, .kh = 3, .kw = 2, .pad_h = 1}},
    {"from_images", {.n = 2, .h = 8, .w = 8, .c_in = 3, .c_out = 72, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
    {"to_images", {.n = 2, .h = 8, .w = 8, .c_in = 72, .c_out = 3, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
    {"few_channels", {.n = 2, .h = 6, .w = 5, .c_in = 3, .c_out = 2, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
    {"few_channels_1x1", {.n = 2, .h = 6, .w = 5, .c_in = 3, .c_out = 40}},
    // Several tiles along k.
    {"few_channels_5x5", {.n = 1, .h = 6, .w = 7, .c_in = 3, .c_out = 24, .kh = 5, .kw = 5, .pad_h = 2, .pad_w = 2}},
    {"few_channels_stride_2",
     {.n = 1, .h = 7, .w = 6, .c_in = 2, .c_out = 3, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1}},
    {"several_blocks", {.n = 1, .h = 12, .w = 13, .c_in = 136, .c_out = 152}},
    // More tiles along k than two rounds of the ring and one: many_channels for y and dx, many_pixels for dweight.
    {"many_channels", {.n = 1, .h = 7, .w = 8, .c_in = 80, .c_out = 72, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
    {"many_pixels", {.n = 3, .h = 16, .w = 15, .c_in = 16, .c_out = 24}},
    {"stride_2",
     {.n = 2,
      .h = 9,
      .w = 8,
      .c_in = 16,
      .c_out = 24,
      .kh = 3,
      .kw = 3,
      .stride_h = 2,
      .stride_w = 2,
      .pad_h = 1,
      .pad_w = 1}},
    {"stride_2_by_3",
     {.n = 1, .h = 11, .w = 13, .c_in = 8, .c_out = 16, .kh = 4, .kw = 5, .stride_h = 2, .stride_w = 3, .pad_w = 2}},
    // Three of the four classes of positions have no tap at all.
    {"stride_without_taps", {.n = 2, .h = 7, .w = 6, .c_in = 16, .c_out = 8, .stride_h = 2, .stride_w = 2}},
    {"enlarged_3x3",
     {.n = 2, .h = 5, .w = 3, .c_in = 40, .c_out = 24, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .upsample = 2}},
    {"enlarged_3x3_odd_channels",
     {.n = 1, .h = 3, .w = 4, .c_in = 5, .c_out = 3, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .upsample = 2}},
    {"enlarged_1x1", {.n = 2, .h = 4, .w = 5, .c_in = 24, .c_out = 16, .upsample = 2}},
    {"pooled_3x3",
     {.n = 2, .h = 6, .w = 9, .c_in = 40, .c_out = 24, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .pool = 2}},
    {"pooled_3x3_odd_channels",
     {.n = 1, .h = 5, .w = 4, .c_in = 5, .c_out = 3, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .pool = 2}},
    {"one_pixel", {.n = 1, .h = 1, .w = 1, .c_in = 8, .c_out = 8, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
};

class GpuConvTest : public testing::TestWithParam<std::tuple<Device, Case>> {
 protected:
  void SetUp() override {
    if (!available(device())) GTEST_SKIP() << gpu::why_unavailable(device());
  }
  Device device() const { return std::get<0>(GetParam()); }
  const KernelTable& kernels() const { return kernels_on(device(), emulated::kernels()); }
  Convolution convolution(Precision precision) const { return {std::get<1>(GetParam()).g, precision, device()}; }
};

TEST_P(GpuConvTest, AgreesWithTheCpu) {
  for (const Precision precision : kAllPrecisions) {
    const Convolution c = convolution(precision);
    for (const GemmChoice choice : {GemmChoice{}, GemmChoice{.block = 64, .splits = 1},
                                    GemmChoice{.block = 128, .splits = 1}, GemmChoice{.block = 128, .splits = 3}}) {
      SCOPED_TRACE(std::string(name_of(precision)) + ", block " + std::to_string(choice.block) + ", splits " +
                   std::to_string(choice.splits));
      c.expect_right(c.run(kernels(), choice));
    }
  }
}

TEST_P(GpuConvTest, FinishesItsResults) {
  for (const Precision precision : kAllPrecisions) {
    const Convolution c = convolution(precision);
    for (const GemmChoice choice : {GemmChoice{}, GemmChoice{.block = 64, .splits = 1}, GemmChoice{.splits = 2}}) {
      SCOPED_TRACE(std::string(name_of(precision)) + ", splits " + std::to_string(choice.splits));
      c.expect_finishes(kernels(), choice);
    }
  }
}

TEST_P(GpuConvTest, ReadsDerivedWeights) {
  for (const Precision precision : kAllPrecisions) {
    SCOPED_TRACE(name_of(precision));
    const Convolution c = convolution(precision);
    EXPECT_TRUE(c.run_derived(kernels()) == c.run(kernels()));
  }
}

TEST_P(GpuConvTest, GivesTheSameBitsInAnyOrder) {
  for (const Precision precision : kAllPrecisions) {
    SCOPED_TRACE(name_of(precision));
    const Convolution c = convolution(precision);
    const LayerResults first = c.run(kernels());
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const RandomOrder order(seed);
      EXPECT_TRUE(c.run(kernels()) == first) << "seed " << seed;
    }
  }
}

// The checker throws at a race, a read of uninitialised memory, or an access outside an allocation.
class CheckedConvTest : public testing::TestWithParam<Case> {};
TEST_P(CheckedConvTest, FindsNothing) {
  for (const Precision precision : kAllPrecisions) {
    const Convolution convolution(GetParam().g, precision, Device::emulated);
    for (const GemmChoice choice : {GemmChoice{.block = 64, .splits = 1}, GemmChoice{.block = 128, .splits = 2}}) {
      SCOPED_TRACE(std::string(name_of(precision)) + ", block " + std::to_string(choice.block));
      const LayerResults results = convolution.run(checked::kernels(), choice);
      convolution.expect_right(results);
      const RandomOrder order(static_cast<uint64_t>(choice.block));
      EXPECT_TRUE(convolution.run(checked::kernels(), choice) == results);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuConvTest,
                         testing::Combine(testing::ValuesIn(gpu_devices()), testing::ValuesIn(kCases)),
                         [](const auto& p) {
                           return std::string(name_of(std::get<0>(p.param))) + "_" + std::get<1>(p.param).name;
                         });
INSTANTIATE_TEST_SUITE_P(Cases, CheckedConvTest, testing::ValuesIn(kCases), [](const auto& p) { return p.param.name; });

// Eight lanes access 128 bytes of shared memory at once if their 16-byte chunks are in different groups of four banks.
template <class Chunk>
void expect_no_conflict(const char* what, const Chunk& byte_of_lane) {
  for (int first_lane = 0; first_lane < 32; first_lane += 8) {
    std::set<int> banks;
    for (int lane = first_lane; lane < first_lane + 8; ++lane) banks.insert(byte_of_lane(lane) / 16 % 8);
    EXPECT_EQ(banks.size(), 8u) << what << ", lanes from " << first_lane;
  }
}

template <class T, emulated::Major major, int extent>
void expect_no_conflicts() {
  using Layout = emulated::TileLayout<T, major, extent>;
  const auto byte = [](int row, int chunk) { return Layout::at(row, chunk) * static_cast<int>(sizeof(T)); };
  std::set<int> all;
  for (int row = 0; row < Layout::kRows; ++row) {
    for (int chunk = 0; chunk < Layout::kChunks; ++chunk) all.insert(byte(row, chunk));
  }
  EXPECT_EQ(all.size(), static_cast<size_t>(Layout::kRows * Layout::kChunks)) << "two chunks share a place";
  for (int row = 0; row < Layout::kRows; row += 8) {
    for (int chunk = 0; chunk < Layout::kChunks; chunk += 8) {
      expect_no_conflict("copy into a row", [&](int lane) { return byte(row + lane / 8, chunk + lane % 8); });
    }
  }
  if (major == emulated::Major::mn && sizeof(T) == 4) {
    for (int row = 0; row < Layout::kRows; row += 4) {
      for (int chunk = 0; chunk < Layout::kChunks; chunk += 8) {
        expect_no_conflict("gather", [&](int lane) { return byte(row + lane % 4, chunk + lane / 4); });
      }
    }
  } else {
    for (int row = 0; row + 8 <= Layout::kRows; row += 8) {
      for (int chunk = 0; chunk < Layout::kChunks; ++chunk) {
        expect_no_conflict("ldmatrix", [&](int lane) { return byte(row + lane % 8, chunk); });
      }
    }
  }
}

TEST(GpuTile, HasNoBankConflicts) {
  using emulated::Major;
  expect_no_conflicts<bf16, Major::k, 128>();
  expect_no_conflicts<bf16, Major::mn, 128>();
  expect_no_conflicts<bf16, Major::mn, 64>();
  expect_no_conflicts<float, Major::k, 64>();
  expect_no_conflicts<float, Major::mn, 128>();
  expect_no_conflicts<float, Major::mn, 64>();
}

TEST(GpuDivisor, DividesLikeTheProcessor) {
  for (const uint32_t d : {1u, 2u, 3u, 5u, 7u, 15u, 16u, 17u, 63u, 1000u, 1023u, 65537u, 1u << 30, 2147483647u}) {
    const emulated::Divisor divisor(d);
    for (const int64_t around : {int64_t{0}, int64_t{d}, int64_t{d} * 2, int64_t{d} * 1000, int64_t{d} * 12345,
                                 int64_t{1} << 30, (int64_t{1} << 31) - 3}) {
      for (int64_t n = std::max<int64_t>(0, around - 2); n <= around + 2 && n < int64_t{1} << 31; ++n) {
        EXPECT_EQ(divisor.divide(static_cast<int>(n)), n / d) << n << " / " << d;
      }
    }
  }
}

TEST(GpuConvPlan, CountsWhatIsExecuted) {
  const Context ctx{.device = Device::emulated, .kernels = &emulated::kernels()};
  const auto share = [&](const Conv2dGeometry& g, Pass pass) {
    return emulated::kernels().conv2d_plan(ctx, g, DType::bf16, pass).executed_macs / g.macs();
  };
  const Conv2dGeometry same{.n = 2, .h = 8, .w = 6, .c_in = 3, .c_out = 20, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
  Conv2dGeometry enlarged = same, pooled = same, strided = same;
  enlarged.upsample = pooled.pool = 2;
  strided.stride_h = strided.stride_w = 2;
  const Conv2dGeometry enlarged_1x1{.n = 2, .h = 8, .w = 6, .c_in = 3, .c_out = 20, .upsample = 2};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    EXPECT_DOUBLE_EQ(share(same, pass), 1);
    EXPECT_DOUBLE_EQ(share(enlarged, pass), 16.0 / 36);
    EXPECT_DOUBLE_EQ(share(pooled, pass), 16.0 / 36);
    EXPECT_DOUBLE_EQ(share(enlarged_1x1, pass), 1);
    EXPECT_DOUBLE_EQ(share(strided, pass), 1);
  }
}

LayerReference linear_reference(const LinearGeometry& g, const LayerOperands& operands) {
  const auto undefined = [](const Shape& shape) { return OwnedTensor(shape, DType::f64, Device::cpu); };
  LayerReference r{undefined({g.n, g.out}), undefined({g.n, g.in}), undefined({g.out, g.in}), undefined({g.out})};
  const Tensor &x = operands.x.host.tensor(), &w = operands.weight.host.tensor(), &dy = operands.dy.host.tensor();
  Context ctx;
  Tensor none;
  cpu::linear_forward(ctx, x, w, operands.bias.host.tensor(), none, r.y.tensor());
  cpu::linear_backward_input(ctx, dy, w, none, r.dx.tensor());
  cpu::linear_backward_weight(ctx, x, dy, none, r.dweight.tensor(), r.dbias.tensor());
  return r;
}

class OnDevice : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (!available(GetParam())) GTEST_SKIP() << gpu::why_unavailable(GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, OnDevice, testing::ValuesIn(gpu_devices()),
                         [](const auto& p) { return std::string(name_of(p.param)); });

// y, dx, dweight and dbias of a linear layer by our tiles and by cuBLAS (or its counterpart), against the CPU.
TEST_P(OnDevice, LinearLayersAgreeWithTheCpuByEitherMethod) {
  const KernelTable& kernels = kernels_on(GetParam(), emulated::kernels());
  for (const LinearGeometry g :
       {LinearGeometry{5, 100, 7}, LinearGeometry{64, 128, 200}, LinearGeometry{130, 24, 1}, LinearGeometry{1, 1, 1}}) {
    for (const Precision precision : kAllPrecisions) {
      const DType dtype = activation_dtype(precision);
      const LayerOperands operands =
          uniform_operands({g.n, g.in}, {g.out, g.in}, {g.out}, {g.n, g.out}, dtype, GetParam());
      const LayerReference reference = linear_reference(g, operands);
      const Tensor &x = operands.x.device.tensor(), &w = operands.weight.device.tensor();
      const Tensor &dy = operands.dy.device.tensor(), &bias = operands.bias.device.tensor();
      for (const LinearMethod method : {LinearMethod::tiles, LinearMethod::blas}) {
        SCOPED_TRACE(std::string(name_of(precision)) + (method == LinearMethod::tiles ? ", tiles, " : ", blas, ") +
                     std::to_string(g.n) + "x" + std::to_string(g.in) + "x" + std::to_string(g.out));
        Context ctx{.device = GetParam(), .precision = precision, .kernels = &kernels, .gemm = {.linear = method}};
        const LayerResults results =
            operands.run([&](Pass pass) { return kernels.linear_plan(ctx, g, dtype, pass); },
                         [&](Tensor& forward, Tensor& for_input, Tensor& for_weight, LayerResults& r) {
                           kernels.linear_forward(ctx, x, w, bias, forward, r.y.tensor());
                           kernels.linear_backward_input(ctx, dy, w, for_input, r.dx.tensor());
                           kernels.linear_backward_weight(ctx, x, dy, for_weight, r.dweight.tensor(), r.dbias.tensor());
                         });
        expect_near(results, reference, precision);
      }
    }
  }
}

// The same bits as the CPU's conversion: ties, overflow to infinity, tails. NaN stays NaN, with any payload.
TEST_P(OnDevice, ConversionRoundsAsTheCpuDoes) {
  const std::vector<double> awkward = {0.0f,      -0.0f,    1.00390625f, 1.01171875f, -1.00390625f,
                                       3.4e38f,   INFINITY, NAN,         -INFINITY,   1e-40f,
                                       0.333333f, 65537.0f, -1e-30f,     2.5f,        1.0039062501f};
  const KernelTable& kernels = kernels_on(GetParam(), checked::kernels());
  for (const int64_t n : {int64_t{1}, int64_t{7}, int64_t{15}, int64_t{1029}}) {
    std::vector<double> values;
    for (int64_t i = 0; i < n; ++i) values.push_back(awkward[static_cast<size_t>(i) % awkward.size()]);
    Context ctx{.device = GetParam()}, on_cpu;
    GuardedTensor from({n}, DType::f32, GetParam()), rounded({n}, DType::bf16, GetParam());
    GuardedTensor back({n}, DType::f32, GetParam());
    OwnedTensor host({n}, DType::f32, Device::cpu), expected({n}, DType::bf16, Device::cpu);
    from_host(from.tensor(), values);
    from_host(host.tensor(), values);
    kernels.convert(ctx, from.tensor(), rounded.tensor());
    kernels.convert(ctx, rounded.tensor(), back.tensor());
    cpu::convert(on_cpu, host.tensor(), expected.tensor());
    const std::vector<double> wanted = to_host(expected.tensor());
    for (const GuardedTensor* result : {&rounded, &back}) {
      const std::vector<double> got = to_host(result->tensor());
      for (size_t i = 0; i < wanted.size(); ++i) {
        const bool same = std::isnan(wanted[i]) ? std::isnan(got[i]) : same_bytes({got[i]}, {wanted[i]});
        EXPECT_TRUE(same) << values[i] << " became " << got[i] << " instead of " << wanted[i];
      }
      EXPECT_TRUE(result->intact());
    }
  }
}

}  // namespace
}  // namespace poise
