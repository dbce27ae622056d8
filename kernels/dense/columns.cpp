#include "kernels/dense/columns.h"

#include <cstring>

#include "kernels/core/parallel.h"

namespace poise::cpu {

void copy_columns(Context&, int64_t from, int64_t to, int64_t count, const Tensor& x, Tensor& y) {
  const auto size = static_cast<int64_t>(size_of(x.dtype));
  const int64_t row_x = x.shape[1] * size, row_y = y.shape[1] * size;
  const char* in = static_cast<const char*>(x.bytes) + from * size;
  char* out = static_cast<char*>(y.bytes) + to * size;
  parallel_for(x.shape[0],
               [=](int64_t n) { std::memcpy(out + n * row_y, in + n * row_x, static_cast<size_t>(count * size)); });
}

}  // namespace poise::cpu
