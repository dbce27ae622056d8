// One oneDNN convolution primitive that runs on one thread. conv2d_onednn.cpp cuts a layer into several of these,
// always in the same way, and spreads them over our own threads: left to itself oneDNN splits reductions by the number
// of threads, and the bits of a gradient would depend on it.
#pragma once
#include <dnnl.hpp>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise::cpu {

struct ConvolutionKey {
  Pass pass = Pass::forward;
  int64_t n = 0, h = 0, w = 0, c_in = 0, out_h = 0, out_w = 0, c_out = 0, kh = 0, kw = 0, stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool bias = false;
  auto operator<=>(const ConvolutionKey&) const = default;
};

class OnednnConvolution {
 public:
  explicit OnednnConvolution(const ConvolutionKey& key);

  // The cached primitive of this key; built at first use. Safe to call from several threads.
  static const OnednnConvolution& of(const ConvolutionKey& key);

  size_t weight_bytes() const { return weight_desc_.get_size(); }  // in oneDNN's own layout
  size_t scratch_bytes() const { return scratch_bytes_; }

  void pack_weight(const float* ohwi, float* packed) const;    // [C_out,kh,kw,C_in] -> oneDNN's layout
  void unpack_weight(const float* packed, float* ohwi) const;  // and back

  // x and y are NHWC. forward: y from x; backward_input: x from y; backward_weight: weight and bias from x and y.
  void run(float* x, float* packed_weight, float* bias, float* y, void* scratch) const;

 private:
  ConvolutionKey key_;
  dnnl::memory::desc x_desc_, y_desc_, bias_desc_, weight_desc_, scratch_desc_;
  dnnl::primitive primitive_;
  dnnl::reorder pack_, unpack_;
  dnnl::memory::desc ohwi_desc_;
  size_t scratch_bytes_ = 0;
};

}  // namespace poise::cpu
