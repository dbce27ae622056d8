// How 32 lanes hold a matrix, against tables copied from the PTX ISA's figures ("Matrix Fragments for mma.m16n8k16 with
// floating point type", "... for mma.m16n8k8", "ldmatrix"). A table gives the element of lane 0 for every register; the
// functions below advance it to other lanes. The emulator computes the inverse, from coordinates to lanes.
#include <gtest/gtest.h>

#include <bit>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "tests/emulator/fragments.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/random_order.h"

namespace poise {
namespace {

struct Element {
  int row, col;
};

// In the figures, lane 4 is in the row below lane 0, and lane 1 is `lane_step` columns to its right. Given the element
// of lane 0 in a register (or half of one), returns the element of another lane.
Element by_rows(Element first, int lane, int lane_step) {
  return {first.row + lane / 4, first.col + lane % 4 * lane_step};
}
// Fragments of B run down the columns.
Element by_columns(Element first, int lane, int lane_step) {
  return {first.row + lane % 4 * lane_step, first.col + lane / 4};
}

// m16n8k16, bf16. A: registers a0a1, a2a3, a4a5, a6a7.
constexpr Element kA16[4][2] = {{{0, 0}, {0, 1}}, {{8, 0}, {8, 1}}, {{0, 8}, {0, 9}}, {{8, 8}, {8, 9}}};
// B: b0b1, b2b3.
constexpr Element kB16[2][2] = {{{0, 0}, {1, 0}}, {{8, 0}, {9, 0}}};
// m16n8k8, tf32. A: a0 to a3; B: b0, b1.
constexpr Element kA8[4] = {{0, 0}, {8, 0}, {0, 4}, {8, 4}};
constexpr Element kB8[2] = {{0, 0}, {4, 0}};
// C and D of both.
constexpr Element kD[4] = {{0, 0}, {0, 1}, {8, 0}, {8, 1}};

float small(std::mt19937& random) { return static_cast<float>(static_cast<int>(random() % 17) - 8); }  // exact in bf16

template <int K>
struct Product {
  float a[16][K], b[K][8], d[16][8];

  explicit Product(std::mt19937& random) {
    for (auto& row : a)
      for (float& x : row) x = small(random);
    for (auto& row : b)
      for (float& x : row) x = small(random);
    for (auto& row : d)
      for (float& x : row) x = small(random);
  }
  double expected(int row, int col) const {
    double sum = d[row][col];
    for (int k = 0; k < K; ++k) sum += double{a[row][k]} * b[k][col];
    return sum;
  }
};

// The test kernels of a target.
struct Body {
  const char* name;
  Device device;
  decltype(&emulated::load_fragments) load;
  decltype(&emulated::multiply_fragments_bf16) multiply_bf16;
  decltype(&emulated::multiply_fragments_tf32) multiply_tf32;
};
#define POISE_BODY(target, device) \
  { #target, device, target::load_fragments, target::multiply_fragments_bf16, target::multiply_fragments_tf32 }
const Body kBodies[] = {POISE_BODY(checked, Device::emulated), POISE_BODY(emulated, Device::emulated),
#ifdef POISE_HAVE_CUDA
                        POISE_BODY(cuda, Device::cuda)
#endif
};
#undef POISE_BODY

// Elements in device memory.
template <class T>
class DeviceElements {
 public:
  DeviceElements(const std::vector<T>& values, Device device)
      : memory_(Shape{static_cast<int64_t>(values.size() * sizeof(T))}, DType::u8, device), count_(values.size()) {
    copy_from_host(memory_.tensor(), values.data());
  }
  T* data() const { return static_cast<T*>(memory_.tensor().bytes); }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    copy_to_host(values.data(), memory_.tensor());
    return values;
  }

 private:
  OwnedTensor memory_;
  size_t count_;
};

class Fragments : public testing::TestWithParam<std::tuple<Body, int>> {
 protected:
  void SetUp() override {
    if (!available(body.device)) GTEST_SKIP() << gpu::why_unavailable(body.device);
    if (seed > 0) order.emplace(seed);
  }
  const Body body = std::get<0>(GetParam());
  const uint64_t seed = static_cast<uint64_t>(std::get<1>(GetParam()));
  Context ctx{.device = body.device};
  std::optional<RandomOrder> order;
  std::mt19937 random{static_cast<unsigned>(seed)};
};

// D, which has the same layout in both products: 32 lanes of four registers.
template <int K>
std::vector<float> accumulators(const Product<K>& p) {
  std::vector<float> d(128);
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) {
      const Element out = by_rows(kD[r], lane, 2);
      d[static_cast<size_t>(lane * 4 + r)] = p.d[out.row][out.col];
    }
  }
  return d;
}
template <int K>
void expect_product(const Product<K>& p, const std::vector<float>& d) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) {
      const Element out = by_rows(kD[r], lane, 2);
      EXPECT_EQ(d[static_cast<size_t>(lane * 4 + r)], p.expected(out.row, out.col)) << lane << " " << r;
    }
  }
}

TEST_P(Fragments, MultiplyBf16) {
  const Product<16> p(random);
  std::vector<uint32_t> a(128), b(64);
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) {
      const Element low = by_rows(kA16[r][0], lane, 2), high = by_rows(kA16[r][1], lane, 2);
      a[static_cast<size_t>(lane * 4 + r)] =
          to_bf16(p.a[low.row][low.col]).bits | static_cast<uint32_t>(to_bf16(p.a[high.row][high.col]).bits) << 16;
    }
    for (int r = 0; r < 2; ++r) {
      const Element low = by_columns(kB16[r][0], lane, 2), high = by_columns(kB16[r][1], lane, 2);
      b[static_cast<size_t>(lane * 2 + r)] =
          to_bf16(p.b[low.row][low.col]).bits | static_cast<uint32_t>(to_bf16(p.b[high.row][high.col]).bits) << 16;
    }
  }
  const DeviceElements<uint32_t> left(a, body.device), right(b, body.device);
  const DeviceElements<float> d(accumulators(p), body.device);
  body.multiply_bf16(ctx, left.data(), right.data(), d.data());
  expect_product(p, d.values());
}

TEST_P(Fragments, MultiplyTf32) {
  const Product<8> p(random);
  std::vector<uint32_t> a(128), b(64);
  // Sets low bits that a tensor core ignores.
  const auto with_noise = [&](float x) { return std::bit_cast<uint32_t>(x) | (random() & 0x1fff); };
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) {
      const Element in = by_rows(kA8[r], lane, 1);
      a[static_cast<size_t>(lane * 4 + r)] = with_noise(p.a[in.row][in.col]);
    }
    for (int r = 0; r < 2; ++r) {
      const Element in = by_columns(kB8[r], lane, 1);
      b[static_cast<size_t>(lane * 2 + r)] = with_noise(p.b[in.row][in.col]);
    }
  }
  const DeviceElements<uint32_t> left(a, body.device), right(b, body.device);
  const DeviceElements<float> d(accumulators(p), body.device);
  body.multiply_tf32(ctx, left.data(), right.data(), d.data());
  expect_product(p, d.values());
}

// Register i of ldmatrix holds matrix i, whose rows are addressed by lanes 8i to 8i+7: lane 0 gets the first two of
// row 0, lane 1 the next two, lane 4 the first two of row 1. With .trans: lane 0 the first two of column 0 ...
TEST_P(Fragments, Load) {
  std::vector<uint16_t> x(32 * 8);
  for (uint16_t& element : x) element = static_cast<uint16_t>(random());
  const DeviceElements<uint16_t> rows(x, body.device);
  for (const TestLoad kind : {TestLoad::x2, TestLoad::x2_trans, TestLoad::x4, TestLoad::x4_trans}) {
    const bool transposed = kind == TestLoad::x2_trans || kind == TestLoad::x4_trans;
    const int matrices = kind == TestLoad::x2 || kind == TestLoad::x2_trans ? 2 : 4;
    const DeviceElements<uint32_t> registers(std::vector<uint32_t>(32 * 4), body.device);
    body.load(ctx, kind, rows.data(), registers.data());
    const std::vector<uint32_t> r = registers.values();
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < matrices; ++i) {
        const Element low = by_rows({0, 0}, lane, 2), high = by_rows({0, 1}, lane, 2);
        const auto element = [&](Element e) {
          return uint32_t{
              x[static_cast<size_t>(transposed ? (i * 8 + e.col) * 8 + e.row : (i * 8 + e.row) * 8 + e.col)]};
        };
        EXPECT_EQ(r[static_cast<size_t>(lane * 4 + i)], element(low) | element(high) << 16) << lane << " " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, Fragments, testing::Combine(testing::ValuesIn(kBodies), testing::Range(0, 4)),
                         [](const auto& param_info) {
                           return std::string(std::get<0>(param_info.param).name) + "_" +
                                  std::to_string(std::get<1>(param_info.param));
                         });

}  // namespace
}  // namespace poise
