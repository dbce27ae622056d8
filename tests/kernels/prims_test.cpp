// The facades of vendor libraries: scan, sort, reduce, select, and block-sparse products.
#include "kernels/gpu/prims.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/gpu/emulated/runtime.h"
#include "kernels/gpu/sparse.h"

namespace poise {
namespace {

struct DeviceUnderTest {
  explicit DeviceUnderTest(Device d) : device(d) {}
  Device device;
  std::unique_ptr<gpu::Stream> stream = gpu::runtime(device).make_stream();
  Context ctx{.device = device, .stream = stream.get()};
  const gpu::Prims& prims = gpu::prims(device);

  template <class T>
  OwnedTensor upload(const Shape& shape, const std::vector<T>& values) const {
    OwnedTensor owned(shape, dtype_of<T>(), device);
    copy_from_host(owned.tensor(), values.data());
    return owned;
  }
  template <class T>
  OwnedTensor upload(const std::vector<T>& values) const {
    return upload(Shape{static_cast<int64_t>(values.size())}, values);
  }
  OwnedTensor workspace(size_t bytes) const { return {Shape{static_cast<int64_t>(bytes)}, DType::u8, device}; }
};

template <class T>
std::vector<T> download(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  copy_to_host(values.data(), tensor);
  return values;
}

uint32_t bits(uint64_t i) { return philox4x32(3, i, static_cast<uint32_t>(RandomStream::test), 0).x[0]; }

// Runs on the emulated device, and on a CUDA device if there is one.
class Prims : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = gpu::why_unavailable(GetParam()); !why.empty()) GTEST_SKIP() << why;
    d = std::make_unique<DeviceUnderTest>(GetParam());
  }
  std::unique_ptr<DeviceUnderTest> d;
};
INSTANTIATE_TEST_SUITE_P(Devices, Prims, testing::Values(Device::emulated, Device::cuda),
                         [](const auto& test) { return std::string(name_of(test.param)); });

constexpr int64_t kSizes[] = {1, 31, 1000, 70001};

TEST_P(Prims, ExclusiveScan) {
  for (const int64_t n : kSizes) {
    std::vector<int32_t> values(n), expected(n);
    for (int64_t i = 0; i < n; ++i) values[i] = static_cast<int32_t>(bits(i) % 100);
    std::exclusive_scan(values.begin(), values.end(), expected.begin(), 0);
    OwnedTensor x = d->upload(values), workspace = d->workspace(d->prims.exclusive_scan_workspace(n));
    OwnedTensor y({n}, DType::i32, d->device);
    d->prims.exclusive_scan(d->ctx, x.tensor(), workspace.tensor(), y.tensor());
    EXPECT_EQ(download<int32_t>(y.tensor()), expected);
    d->prims.exclusive_scan(d->ctx, x.tensor(), workspace.tensor(), x.tensor());
    EXPECT_EQ(download<int32_t>(x.tensor()), expected) << "in place";
  }
}

TEST_P(Prims, SortPairsKeepsTheOrderOfEqualKeys) {
  for (const int64_t n : kSizes) {
    for (const gpu::Order order : {gpu::Order::ascending, gpu::Order::descending}) {
      std::vector<float> keys(n);
      std::vector<int32_t> values(n);
      for (int64_t i = 0; i < n; ++i) {
        keys[i] = (static_cast<float>(bits(i) % 17) - 8) / 4;  // many equal ones, both signs
        if (keys[i] == 0 && bits(i) % 2 == 0) keys[i] = -0.0f;
      }
      std::iota(values.begin(), values.end(), 0);
      OwnedTensor k = d->upload(keys), v = d->upload(values), sorted_k({n}, DType::f32, d->device),
                  sorted_v({n}, DType::i32, d->device), workspace = d->workspace(d->prims.sort_pairs_workspace(n));
      d->prims.sort_pairs(d->ctx, order, k.tensor(), v.tensor(), workspace.tensor(), sorted_k.tensor(),
                          sorted_v.tensor());
      std::vector<int32_t> expected = values;
      std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) {
        return order == gpu::Order::ascending ? keys[a] < keys[b] : keys[a] > keys[b];
      });
      EXPECT_EQ(download<int32_t>(sorted_v.tensor()), expected);
      const auto sorted = download<float>(sorted_k.tensor());
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(sorted[i], keys[expected[i]]);
      EXPECT_EQ(download<float>(k.tensor()), keys);
    }
  }
}

TEST_P(Prims, ReduceSum) {
  for (const int64_t n : kSizes) {
    std::vector<int32_t> integers(n);
    std::vector<float> floats(n);
    double sum = 0, size = 0;
    for (int64_t i = 0; i < n; ++i) {
      integers[i] = static_cast<int32_t>(bits(i) % 1000) - 300;
      floats[i] = static_cast<float>(integers[i]) / 7;
      sum += floats[i];
      size += std::abs(floats[i]);
    }
    OwnedTensor x = d->upload(integers), y = d->upload(floats),
                workspace = d->workspace(d->prims.reduce_sum_workspace(n));
    OwnedTensor of_x({1}, DType::i32, d->device), of_y({1}, DType::f32, d->device), again({1}, DType::f32, d->device);
    d->prims.reduce_sum(d->ctx, x.tensor(), workspace.tensor(), of_x.tensor());
    d->prims.reduce_sum(d->ctx, y.tensor(), workspace.tensor(), of_y.tensor());
    d->prims.reduce_sum(d->ctx, y.tensor(), workspace.tensor(), again.tensor());
    EXPECT_EQ(download<int32_t>(of_x.tensor())[0], std::accumulate(integers.begin(), integers.end(), 0));
    EXPECT_LE(std::abs(download<float>(of_y.tensor())[0] - sum), 1e-5 * size);
    EXPECT_EQ(download<float>(of_y.tensor()), download<float>(again.tensor()));
  }
}

TEST_P(Prims, SelectFlagged) {
  for (const int64_t n : kSizes) {
    std::vector<int32_t> values(n), expected(n, -1);
    std::vector<uint8_t> flags(n);
    size_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      values[i] = static_cast<int32_t>(bits(i) >> 1);
      flags[i] = static_cast<uint8_t>(bits(i) % 3);  // anything but 0 selects
      if (flags[i] != 0) expected[count++] = values[i];
    }
    OwnedTensor x = d->upload(values), f = d->upload(flags), y = d->upload(std::vector<int32_t>(n, -1)),
                found({1}, DType::i32, d->device), workspace = d->workspace(d->prims.select_flagged_workspace(n));
    d->prims.select_flagged(d->ctx, x.tensor(), f.tensor(), workspace.tensor(), y.tensor(), found.tensor());
    EXPECT_EQ(download<int32_t>(found.tensor())[0], static_cast<int32_t>(count));
    EXPECT_EQ(download<int32_t>(y.tensor()), expected) << "the rest is left as it was";
  }
}

// A block-sparse matrix with an empty row of blocks, and the same matrix in dense form.
struct BlockMatrix {
  int64_t rows, cols, block;
  std::vector<int32_t> offsets{0}, columns;
  std::vector<float> values, dense;

  BlockMatrix(int64_t block_rows, int64_t block_cols, int64_t b)
      : rows(block_rows * b), cols(block_cols * b), block(b), dense(static_cast<size_t>(rows * cols)) {
    for (int64_t r = 0; r < block_rows; ++r) {
      for (int64_t c = 0; c < block_cols; ++c) {
        if (r == 1 || bits(r * block_cols + c) % 3 == 0) continue;
        columns.push_back(static_cast<int32_t>(c));
        for (int64_t i = 0; i < b * b; ++i) {
          const float x = static_cast<float>(bits(values.size()) % 16) / 8 - 1;  // exact in bf16
          values.push_back(x);
          dense[(r * b + i / b) * cols + c * b + i % b] = x;
        }
      }
      offsets.push_back(static_cast<int32_t>(columns.size()));
    }
  }
  gpu::BlockSparse on_device(OwnedTensor& row_offsets, OwnedTensor& col_of_block, OwnedTensor& of_values) const {
    return {.rows = rows,
            .cols = cols,
            .block = block,
            .row_offsets = row_offsets.tensor(),
            .columns = col_of_block.tensor(),
            .values = of_values.tensor()};
  }
};

std::vector<float> grid(int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(bits(1000 + i) % 16) / 8 - 1;
  return values;
}

// Small multiples of 1/8: every product and sum is exact in f32, so the order of summation does not matter.
TEST_P(Prims, BlockSparseProductsEqualDenseOnes) {
  const gpu::SparseProducts& sparse = gpu::sparse_products(d->device);
  for (const int64_t block : {4, 16}) {
    const BlockMatrix m(5, 3, block);
    const int64_t n = 24, blocks = static_cast<int64_t>(m.columns.size());
    OwnedTensor offsets = d->upload(m.offsets), columns = d->upload(m.columns),
                values = d->upload({blocks, block, block}, m.values);
    gpu::BlockSparse a = m.on_device(offsets, columns, values);

    const std::vector<float> b = grid(m.cols * n);
    OwnedTensor right = d->upload({n, m.cols}, b), c({n, m.rows}, DType::f32, d->device);
    OwnedTensor workspace = d->workspace(sparse.spmm_workspace(d->ctx, a, right.tensor(), c.tensor()));
    sparse.spmm(d->ctx, a, right.tensor(), workspace.tensor(), c.tensor());
    std::vector<float> product(m.rows * n);
    for (int64_t i = 0; i < m.rows; ++i)
      for (int64_t k = 0; k < m.cols; ++k)
        for (int64_t j = 0; j < n; ++j) product[j * m.rows + i] += m.dense[i * m.cols + k] * b[j * m.cols + k];
    EXPECT_EQ(download<float>(c.tensor()), product);

    const std::vector<float> x = grid(m.rows * n), y = grid(m.cols * n);
    OwnedTensor left = d->upload({n, m.rows}, x), other = d->upload({n, m.cols}, y);
    OwnedTensor more = d->workspace(sparse.sddmm_workspace(d->ctx, left.tensor(), other.tensor(), a));
    sparse.sddmm(d->ctx, left.tensor(), other.tensor(), /*add=*/false, more.tensor(), a);
    std::vector<float> sampled;
    for (int64_t r = 0; r < m.rows / block; ++r)
      for (int32_t i = m.offsets[r]; i < m.offsets[r + 1]; ++i)
        for (int64_t e = 0; e < block * block; ++e) {
          float sum = 0;
          for (int64_t j = 0; j < n; ++j)
            sum += x[j * m.rows + r * block + e / block] * y[j * m.cols + m.columns[i] * block + e % block];
          sampled.push_back(sum);
        }
    EXPECT_EQ(download<float>(values.tensor()), sampled);
    sparse.sddmm(d->ctx, left.tensor(), other.tensor(), /*add=*/true, more.tensor(), a);
    for (float& value : sampled) value *= 2;
    EXPECT_EQ(download<float>(values.tensor()), sampled);
  }
}

TEST_P(Prims, BlockSparseProductInBf16) {
  const gpu::SparseProducts& sparse = gpu::sparse_products(d->device);
  const BlockMatrix m(5, 3, 16);
  const int64_t n = 16, blocks = static_cast<int64_t>(m.columns.size());
  const auto stored = [](const std::vector<float>& values) {
    std::vector<bf16> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
    return rounded;
  };
  OwnedTensor offsets = d->upload(m.offsets), columns = d->upload(m.columns),
              values = d->upload({blocks, 16, 16}, stored(m.values));
  const gpu::BlockSparse a = m.on_device(offsets, columns, values);
  const std::vector<float> b = grid(m.cols * n);
  OwnedTensor right = d->upload({n, m.cols}, stored(b)), c({n, m.rows}, DType::bf16, d->device);
  OwnedTensor workspace = d->workspace(sparse.spmm_workspace(d->ctx, a, right.tensor(), c.tensor()));
  sparse.spmm(d->ctx, a, right.tensor(), workspace.tensor(), c.tensor());
  const auto got = download<bf16>(c.tensor());
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < m.cols; ++k) sum += m.dense[i * m.cols + k] * b[j * m.cols + k];
      EXPECT_EQ(to_float(got[j * m.rows + i]), to_float(to_bf16(sum)));
    }
  }
}

}  // namespace
}  // namespace poise
