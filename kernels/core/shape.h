// Extents of a contiguous tensor of at most four dimensions, slowest first. Activations are [N,H,W,C], convolution
// weights [C_out,kh,kw,C_in], linear weights [out,in].
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/core/error.h"

namespace poise {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    require(dims.size() <= kMaxRank, "a shape has at most four dimensions");
    for (int64_t d : dims) dims_[rank_++] = d;
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  int64_t back() const { return dims_[rank_ - 1]; }
  int64_t elements() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= dims_[i];
    return product;
  }
  // Everything but the last dimension: the number of rows when the tensor is read as a matrix.
  int64_t rows() const { return rank_ == 0 ? 1 : elements() / (back() == 0 ? 1 : back()); }

  bool operator==(const Shape& other) const { return rank_ == other.rank_ && dims_ == other.dims_; }

  std::string to_string() const {  // "[16,32,32,3]"
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? "," : "") + std::to_string(dims_[i]);
    return text + "]";
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace poise
