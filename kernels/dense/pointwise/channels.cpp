#include "kernels/dense/pointwise/channels.h"

#include <cstring>

#include "kernels/core/parallel.h"

namespace poise::cpu {
namespace {

// Copies row by row, regardless of the element type.
void copy_rows(int64_t rows, size_t row_bytes, const char* from, size_t from_stride, char* to, size_t to_stride) {
  const int64_t grain = std::max<int64_t>(1, int64_t{1 << 16} / static_cast<int64_t>(row_bytes));
  parallel_chunks(rows, grain, [=](int64_t begin, int64_t end) {
    for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      std::memcpy(to + row * to_stride, from + row * from_stride, row_bytes);
    }
  });
}

size_t row_bytes(const Tensor& t) { return static_cast<size_t>(t.shape.back()) * size_of(t.dtype); }

}  // namespace

void insert_channels(Context&, const Tensor& x, int64_t first, Tensor& wide) {
  copy_rows(x.shape.rows(), row_bytes(x), static_cast<const char*>(x.bytes), row_bytes(x),
            static_cast<char*>(wide.bytes) + static_cast<size_t>(first) * size_of(wide.dtype), row_bytes(wide));
}

void extract_channels(Context&, const Tensor& wide, int64_t first, Tensor& x) {
  copy_rows(x.shape.rows(), row_bytes(x),
            static_cast<const char*>(wide.bytes) + static_cast<size_t>(first) * size_of(wide.dtype), row_bytes(wide),
            static_cast<char*>(x.bytes), row_bytes(x));
}

}  // namespace poise::cpu
