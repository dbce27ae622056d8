// Convolution and linear layers of the GPU, on the emulated device: all passes and precisions against the CPU's f64
// loops, the same bits whatever the order of threads, copies and blocks, no race and no write outside of the results.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "kernels/gpu/emulated/options.h"
#include "kernels/gpu/tile.cuh"
#include "kernels/table.h"

namespace poise {
namespace {

constexpr size_t kGuard = 256;
constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;

// Device memory full of NaN, with a zone on either side that nobody may write.
class Guarded {
 public:
  Guarded() = default;
  Guarded(const Shape& shape, DType dtype) {
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
    buffer_ = Buffer(bytes + 2 * kGuard, Device::emulated);
    std::memset(buffer_.bytes(), kCanary, buffer_.size());
    tensor = {.bytes = static_cast<char*>(buffer_.bytes()) + kGuard,
              .shape = shape,
              .dtype = dtype,
              .device = Device::emulated};
    std::memset(tensor.bytes, kPoison, bytes);
  }
  bool intact() const {
    const auto* begin = static_cast<const unsigned char*>(buffer_.bytes());
    const size_t end = kGuard + tensor.size_bytes();
    for (size_t i = 0; i < kGuard; ++i) {
      if (begin[i] != kCanary || begin[end + i] != kCanary) return false;
    }
    return true;
  }
  Tensor tensor;

 private:
  Buffer buffer_;
};

// Values in [-1, 1], rounded to the element type, on both devices.
struct Operand {
  Guarded device;
  OwnedTensor host;  // f64
  Operand(const Shape& shape, DType dtype, uint64_t stream)
      : device(shape, dtype), host(shape, DType::f64, Device::cpu) {
    double* const values = host.tensor().data<double>();
    uniform_on_host(7, RandomStream::test, stream, shape.elements(), values);
    for (int64_t i = 0; i < shape.elements(); ++i) {
      const float x = static_cast<float>(2 * values[i] - 1);
      if (dtype == DType::bf16) {
        device.tensor.data<bf16>()[i] = to_bf16(x);
        values[i] = static_cast<double>(to_float(to_bf16(x)));
      } else {
        device.tensor.data<float>()[i] = x;
        values[i] = static_cast<double>(x);
      }
    }
  }
};

double value(const Tensor& t, int64_t i) {
  return static_cast<double>(t.dtype == DType::bf16 ? to_float(t.data<bf16>()[i]) : t.data<float>()[i]);
}

// max |a - b| / max |b|; NaN if there is any in a.
double relative_error(const Tensor& a, const Tensor& b) {
  double error = 0, largest = 0;
  for (int64_t i = 0; i < b.elements(); ++i) {
    const double difference = std::abs(value(a, i) - b.data<double>()[i]);
    if (!(difference <= error)) error = difference;
    largest = std::max(largest, std::abs(b.data<double>()[i]));
  }
  return largest > 0 ? error / largest : error;
}

double limit_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return 1e-5;
    case Precision::tf32:
      return 2e-3;
    case Precision::bf16:
      return 1e-2;
  }
  return 0;
}

constexpr Precision kPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16};
DType stored(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

// All passes of one convolution.
struct Results {
  Guarded y, dx, dweight, dbias;
  bool operator==(const Results& other) const {
    const auto same = [](const Guarded& a, const Guarded& b) {
      return std::memcmp(a.tensor.bytes, b.tensor.bytes, a.tensor.size_bytes()) == 0;
    };
    return same(y, other.y) && same(dx, other.dx) && same(dweight, other.dweight) && same(dbias, other.dbias);
  }
};

class Convolution {
 public:
  Convolution(const Conv2dGeometry& geometry, Precision precision)
      : g_(geometry),
        precision_(precision),
        x_(g_.x_shape(), stored(precision), 1),
        weight_(g_.weight_shape(), stored(precision), 2),
        bias_({g_.c_out}, DType::f32, 3),
        dy_(g_.y_shape(), stored(precision), 4) {}

  Results run(const KernelTable& kernels, const GemmChoice& choice = {}) const {
    Context ctx{.device = Device::emulated, .precision = precision_, .kernels = &kernels, .gemm = choice};
    const DType dtype = stored(precision_);
    Results r{{g_.y_shape(), dtype}, {g_.x_shape(), dtype}, {g_.weight_shape(), DType::f32}, {{g_.c_out}, DType::f32}};
    const auto workspace = [&](Pass pass) {
      return Guarded({static_cast<int64_t>(kernels.conv2d_plan(ctx, g_, dtype, pass).workspace_bytes)}, DType::u8);
    };
    Guarded forward = workspace(Pass::forward), input = workspace(Pass::backward_input);
    Guarded weight = workspace(Pass::backward_weight);
    const Tensor& w = weight_.device.tensor;
    kernels.conv2d_forward(ctx, g_, x_.device.tensor, w, bias_.device.tensor, forward.tensor, r.y.tensor);
    kernels.conv2d_backward_input(ctx, g_, dy_.device.tensor, w, input.tensor, r.dx.tensor);
    kernels.conv2d_backward_weight(ctx, g_, x_.device.tensor, dy_.device.tensor, weight.tensor, r.dweight.tensor,
                                   r.dbias.tensor);
    EXPECT_TRUE(forward.intact() && input.intact() && weight.intact()) << "wrote outside of a workspace";
    EXPECT_TRUE(r.y.intact() && r.dx.intact() && r.dweight.intact() && r.dbias.intact()) << "wrote outside of a result";
    EXPECT_TRUE(x_.device.intact() && weight_.device.intact() && dy_.device.intact());
    return r;
  }

  void expect_right(const Results& r) const {
    Context ctx;
    OwnedTensor y(g_.y_shape(), DType::f64, Device::cpu), dx(g_.x_shape(), DType::f64, Device::cpu);
    OwnedTensor dweight(g_.weight_shape(), DType::f64, Device::cpu), dbias({g_.c_out}, DType::f64, Device::cpu);
    Tensor none;
    const Tensor& w = weight_.host.tensor();
    cpu::conv2d_forward(ctx, g_, x_.host.tensor(), w, bias_.host.tensor(), none, y.tensor());
    cpu::conv2d_backward_input(ctx, g_, dy_.host.tensor(), w, none, dx.tensor());
    cpu::conv2d_backward_weight(ctx, g_, x_.host.tensor(), dy_.host.tensor(), none, dweight.tensor(), dbias.tensor());
    const double limit = limit_of(precision_);
    const auto check = [&](const char* what, const Guarded& ours, const OwnedTensor& reference) {
      const double error = relative_error(ours.tensor, reference.tensor());
      if (!(error <= limit)) ADD_FAILURE() << what << ": error " << error << ", limit " << limit;
    };
    check("y", r.y, y);
    check("dx", r.dx, dx);
    check("dweight", r.dweight, dweight);
    check("dbias", r.dbias, dbias);
  }

 private:
  const Conv2dGeometry g_;
  const Precision precision_;
  const Operand x_, weight_, bias_, dy_;
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
    {"several_blocks", {.n = 1, .h = 12, .w = 13, .c_in = 136, .c_out = 152}},
    // More tiles along k than two rounds of the ring and one: forward and input gradient, and weight gradient.
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
    // Three classes of positions out of four have no tap at all.
    {"stride_without_taps", {.n = 2, .h = 7, .w = 6, .c_in = 16, .c_out = 8, .stride_h = 2, .stride_w = 2}},
    {"enlarged_3x3",
     {.n = 2, .h = 5, .w = 3, .c_in = 40, .c_out = 24, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .upsample = 2}},
    {"enlarged_3x3_odd_channels",
     {.n = 1, .h = 3, .w = 4, .c_in = 5, .c_out = 3, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .upsample = 2}},
    {"enlarged_1x1", {.n = 2, .h = 4, .w = 5, .c_in = 24, .c_out = 16, .upsample = 2}},
    {"one_pixel", {.n = 1, .h = 1, .w = 1, .c_in = 8, .c_out = 8, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}},
};

class GpuConvTest : public testing::TestWithParam<Case> {
 protected:
  void TearDown() override { emulator::set_options({}); }
};

TEST_P(GpuConvTest, AgreesWithTheCpu) {
  for (const Precision precision : kPrecisions) {
    const Convolution convolution(GetParam().g, precision);
    for (const GemmChoice choice : {GemmChoice{}, GemmChoice{.block = 64, .splits = 1},
                                    GemmChoice{.block = 128, .splits = 1}, GemmChoice{.block = 128, .splits = 3}}) {
      SCOPED_TRACE(std::string(name_of(precision)) + ", block " + std::to_string(choice.block) + ", splits " +
                   std::to_string(choice.splits));
      convolution.expect_right(convolution.run(emulated::kernels(), choice));
    }
  }
}

TEST_P(GpuConvTest, GivesTheSameBitsInAnyOrder) {
  for (const Precision precision : kPrecisions) {
    SCOPED_TRACE(name_of(precision));
    const Convolution convolution(GetParam().g, precision);
    const Results first = convolution.run(emulated::kernels());
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      emulator::set_options(emulator::randomised(seed));
      EXPECT_TRUE(convolution.run(emulated::kernels()) == first) << "seed " << seed;
    }
    emulator::set_options({});
  }
}

// Under the checker: no race, no read of what nobody wrote, no access outside of an allocation. It throws.
TEST_P(GpuConvTest, PassesTheChecker) {
  for (const Precision precision : kPrecisions) {
    const Convolution convolution(GetParam().g, precision);
    for (const GemmChoice choice : {GemmChoice{.block = 64, .splits = 1}, GemmChoice{.block = 128, .splits = 2}}) {
      SCOPED_TRACE(std::string(name_of(precision)) + ", block " + std::to_string(choice.block));
      const Results results = convolution.run(checked::kernels(), choice);
      convolution.expect_right(results);
      emulator::set_options(emulator::randomised(static_cast<uint64_t>(choice.block)));
      EXPECT_TRUE(convolution.run(checked::kernels(), choice) == results);
      emulator::set_options({});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuConvTest, testing::ValuesIn(kCases),
                         [](const auto& case_info) { return case_info.param.name; });

// Eight lanes move 128 bytes of shared memory at a time, if their 16-byte chunks lie in different groups of four banks.
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

TEST(GpuConvPlan, CountsWhatIsExecuted) {
  const Context ctx{.device = Device::emulated, .kernels = &emulated::kernels()};
  const auto share = [&](const Conv2dGeometry& g, Pass pass) {
    return emulated::kernels().conv2d_plan(ctx, g, DType::bf16, pass).executed_macs / g.macs();
  };
  const Conv2dGeometry same{.n = 2, .h = 8, .w = 6, .c_in = 3, .c_out = 20, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
  Conv2dGeometry enlarged = same, strided = same;
  enlarged.upsample = 2;
  strided.stride_h = strided.stride_w = 2;
  const Conv2dGeometry enlarged_1x1{.n = 2, .h = 8, .w = 6, .c_in = 3, .c_out = 20, .upsample = 2};
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    EXPECT_DOUBLE_EQ(share(same, pass), 1);
    EXPECT_DOUBLE_EQ(share(enlarged, pass), 16.0 / 36);
    EXPECT_DOUBLE_EQ(share(enlarged_1x1, pass), 1);
    EXPECT_DOUBLE_EQ(share(strided, pass), 1);
  }
}

// y, dx, dweight and dbias of a linear layer by our tiles and by the library's stand-in, against the CPU.
TEST(GpuLinear, AgreesWithTheCpuByEitherMethod) {
  for (const LinearGeometry g :
       {LinearGeometry{5, 100, 7}, LinearGeometry{64, 128, 200}, LinearGeometry{130, 24, 1}, LinearGeometry{1, 1, 1}}) {
    for (const Precision precision : kPrecisions) {
      const DType dtype = stored(precision);
      const Operand x({g.n, g.in}, dtype, 1), weight({g.out, g.in}, dtype, 2), bias({g.out}, DType::f32, 3);
      const Operand dy({g.n, g.out}, dtype, 4);
      OwnedTensor y({g.n, g.out}, DType::f64, Device::cpu), dx({g.n, g.in}, DType::f64, Device::cpu);
      OwnedTensor dweight({g.out, g.in}, DType::f64, Device::cpu), dbias({g.out}, DType::f64, Device::cpu);
      Context cpu_context;
      Tensor none;
      cpu::linear_forward(cpu_context, x.host.tensor(), weight.host.tensor(), bias.host.tensor(), none, y.tensor());
      cpu::linear_backward_input(cpu_context, dy.host.tensor(), weight.host.tensor(), none, dx.tensor());
      cpu::linear_backward_weight(cpu_context, x.host.tensor(), dy.host.tensor(), none, dweight.tensor(),
                                  dbias.tensor());
      for (const LinearMethod method : {LinearMethod::tiles, LinearMethod::blas}) {
        SCOPED_TRACE(std::string(name_of(precision)) + (method == LinearMethod::tiles ? ", tiles, " : ", blas, ") +
                     std::to_string(g.n) + "x" + std::to_string(g.in) + "x" + std::to_string(g.out));
        const KernelTable& kernels = emulated::kernels();
        Context ctx{
            .device = Device::emulated, .precision = precision, .kernels = &kernels, .gemm = {.linear = method}};
        Guarded our_y({g.n, g.out}, dtype), our_dx({g.n, g.in}, dtype);
        Guarded our_dweight({g.out, g.in}, DType::f32), our_dbias({g.out}, DType::f32);
        const auto workspace = [&](Pass pass) {
          return Guarded({static_cast<int64_t>(kernels.linear_plan(ctx, g, dtype, pass))}, DType::u8);
        };
        Guarded forward = workspace(Pass::forward), input = workspace(Pass::backward_input);
        Guarded for_weight = workspace(Pass::backward_weight);
        kernels.linear_forward(ctx, x.device.tensor, weight.device.tensor, bias.device.tensor, forward.tensor,
                               our_y.tensor);
        kernels.linear_backward_input(ctx, dy.device.tensor, weight.device.tensor, input.tensor, our_dx.tensor);
        kernels.linear_backward_weight(ctx, x.device.tensor, dy.device.tensor, for_weight.tensor, our_dweight.tensor,
                                       our_dbias.tensor);
        const double limit = limit_of(precision);
        EXPECT_FALSE(!(relative_error(our_y.tensor, y.tensor()) <= limit));
        EXPECT_FALSE(!(relative_error(our_dx.tensor, dx.tensor()) <= limit));
        EXPECT_FALSE(!(relative_error(our_dweight.tensor, dweight.tensor()) <= limit));
        EXPECT_FALSE(!(relative_error(our_dbias.tensor, dbias.tensor()) <= limit));
        for (const Guarded* g_out : {&our_y, &our_dx, &our_dweight, &our_dbias, &forward, &input, &for_weight}) {
          EXPECT_TRUE(g_out->intact());
        }
      }
    }
  }
}

// The same bits as the CPU's conversion: ties, overflow to infinity, NaN, tails.
TEST(GpuConvert, RoundsAsTheCpuDoes) {
  const std::vector<float> awkward = {0.0f,      -0.0f,    1.00390625f, 1.01171875f, -1.00390625f,
                                      3.4e38f,   INFINITY, NAN,         -INFINITY,   1e-40f,
                                      0.333333f, 65537.0f, -1e-30f,     2.5f,        1.0039062501f};
  for (const int64_t n : {int64_t{1}, int64_t{7}, int64_t{15}, int64_t{1029}}) {
    std::vector<float> values;
    for (int64_t i = 0; i < n; ++i) values.push_back(awkward[static_cast<size_t>(i) % awkward.size()]);
    Context ctx{.device = Device::emulated};
    Guarded from({n}, DType::f32), rounded({n}, DType::bf16), expected({n}, DType::bf16), back({n}, DType::f32);
    std::memcpy(from.tensor.bytes, values.data(), from.tensor.size_bytes());
    checked::kernels().convert(ctx, from.tensor, rounded.tensor);
    checked::kernels().convert(ctx, rounded.tensor, back.tensor);
    cpu::convert(ctx, from.tensor, expected.tensor);
    EXPECT_EQ(std::memcmp(rounded.tensor.bytes, expected.tensor.bytes, rounded.tensor.size_bytes()), 0) << n;
    cpu::convert(ctx, expected.tensor, from.tensor);
    EXPECT_EQ(std::memcmp(back.tensor.bytes, from.tensor.bytes, back.tensor.size_bytes()), 0) << n;
    EXPECT_TRUE(rounded.intact() && back.intact());
  }
}

}  // namespace
}  // namespace poise
