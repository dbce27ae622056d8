// One oneDNN convolution primitive that runs on one thread. conv2d_onednn.cpp cuts a layer into several of these,
// always in the same way, and spreads them over our own threads: left to itself oneDNN splits reductions by the number
// of threads, and the bits of a gradient would depend on it.
#pragma once
#include <dnnl.hpp>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise::cpu {

struct ConvolutionKey {
  Pass pass = Pass::forward;
  DType dtype = DType::f32;  // of x, y and the weights that are read: f32 or bf16. The rest is f32
  int64_t n = 0, h = 0, w = 0, c_in = 0, out_h = 0, out_w = 0, c_out = 0, kh = 0, kw = 0, stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  bool bias = false;
  bool f32_x = false;       // x is f32 regardless of dtype; not in the forward pass
  bool f32_y = false;       // y is f32 regardless of dtype; only in the forward pass
  bool transposed = false;  // our weight is [C_in,kh,kw,C_out], not [C_out,kh,kw,C_in]
  auto operator<=>(const ConvolutionKey&) const = default;
};

class OnednnConvolution {
 public:
  explicit OnednnConvolution(const ConvolutionKey& key);

  // The cached primitive for this key, built on first use. Safe to call from several threads.
  static const OnednnConvolution& of(const ConvolutionKey& key);
  // Does oneDNN have bf16 convolutions for this processor? (AVX-512 is enough; without avx512_bf16 they are slow.)
  static bool has_bf16();

  size_t weight_bytes() const { return weight_desc_.get_size(); }  // in oneDNN's own layout
  size_t scratch_bytes() const { return scratch_bytes_; }

  void pack_weight(const void* ours, void* packed) const;    // our layout -> oneDNN's
  void unpack_weight(const void* packed, void* ours) const;  // and back

  // x and y are NHWC. forward: y from x; backward_input: x from y; backward_weight: weight and bias from x and y.
  void run(void* x, void* packed_weight, float* bias, void* y, void* scratch) const;

 private:
  ConvolutionKey key_;
  dnnl::memory::desc x_desc_, y_desc_, bias_desc_, weight_desc_, scratch_desc_;
  dnnl::primitive primitive_;
  dnnl::reorder pack_, unpack_;
  dnnl::memory::desc our_desc_;
  size_t scratch_bytes_ = 0;
};

}  // namespace poise::cpu
