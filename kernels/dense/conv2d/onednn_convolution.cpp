#include "kernels/dense/conv2d/onednn_convolution.h"

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "kernels/core/onednn_threads.h"

namespace poise::cpu {
namespace {

using dnnl::memory;

dnnl::engine& engine() {
  static dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

dnnl::stream& stream() {
  use_one_onednn_thread();
  thread_local dnnl::stream s(engine());
  return s;
}

}  // namespace

OnednnConvolution::OnednnConvolution(const ConvolutionKey& k) : key_(k) {
  use_one_onednn_thread();
  using Tag = memory::format_tag;
  constexpr auto f32 = memory::data_type::f32;
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  const bool backward_weight = k.pass == Pass::backward_weight;
  const auto type = k.dtype == DType::bf16 ? memory::data_type::bf16 : f32;
  const memory::dims weight_dims{k.c_out, k.c_in, k.kh, k.kw};
  x_desc_ = {{k.n, k.c_in, k.h, k.w}, k.f32_x ? f32 : type, Tag::nhwc};
  y_desc_ = {{k.n, k.c_out, k.out_h, k.out_w}, k.f32_y ? f32 : type, Tag::nhwc};
  bias_desc_ = k.bias ? memory::desc({k.c_out}, f32, Tag::x) : memory::desc();
  const memory::desc any_weight(weight_dims, type, Tag::any), any_gradient(weight_dims, f32, Tag::any);
  our_desc_ = {weight_dims, backward_weight ? f32 : type, k.transposed ? Tag::ihwo : Tag::ohwi};
  const memory::dims strides{k.stride_h, k.stride_w}, padding{k.pad_h, k.pad_w};
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // each thread brings its own

  const dnnl::convolution_forward::desc forward_desc(
      dnnl::prop_kind::forward_training, direct, memory::desc({k.n, k.c_in, k.h, k.w}, type, Tag::nhwc), any_weight,
      backward_weight ? memory::desc() : bias_desc_, y_desc_, strides, padding, padding);
  const dnnl::convolution_forward::primitive_desc forward(forward_desc, attributes, engine());
  if (k.pass == Pass::forward) {
    weight_desc_ = forward.weights_desc();
    scratch_desc_ = forward.scratchpad_desc();
    primitive_ = dnnl::convolution_forward(forward);
  } else if (k.pass == Pass::backward_input) {
    const dnnl::convolution_backward_data::desc desc(direct, x_desc_, any_weight, y_desc_, strides, padding, padding);
    const dnnl::convolution_backward_data::primitive_desc pd(desc, attributes, engine(), forward);
    weight_desc_ = pd.weights_desc();
    scratch_desc_ = pd.scratchpad_desc();
    primitive_ = dnnl::convolution_backward_data(pd);
  } else {
    const dnnl::convolution_backward_weights::desc desc(direct, x_desc_, any_gradient, bias_desc_, y_desc_, strides,
                                                        padding, padding);
    const dnnl::convolution_backward_weights::primitive_desc pd(desc, attributes, engine(), forward);
    weight_desc_ = pd.diff_weights_desc();
    scratch_desc_ = pd.scratchpad_desc();
    primitive_ = dnnl::convolution_backward_weights(pd);
  }
  scratch_bytes_ = scratch_desc_.get_size();
  pack_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), our_desc_, engine(), weight_desc_));
  unpack_ = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), weight_desc_, engine(), our_desc_));
}

const OnednnConvolution& OnednnConvolution::of(const ConvolutionKey& key) {
  static std::mutex mutex;
  static std::map<ConvolutionKey, std::unique_ptr<OnednnConvolution>> cache;
  const std::lock_guard lock(mutex);
  std::unique_ptr<OnednnConvolution>& entry = cache[key];
  if (!entry) {
    try {
      entry = std::make_unique<OnednnConvolution>(key);
    } catch (const dnnl::error& error) {
      fail(ErrorKind::runtime, std::string("conv2d: oneDNN could not create this convolution (") + error.what() + ")");
    }
  }
  return *entry;
}

bool OnednnConvolution::has_bf16() {
  static const bool has = [] {
    try {
      const OnednnConvolution convolution({.dtype = DType::bf16,
                                           .n = 1,
                                           .h = 1,
                                           .w = 1,
                                           .c_in = 16,
                                           .out_h = 1,
                                           .out_w = 1,
                                           .c_out = 16,
                                           .kh = 1,
                                           .kw = 1});
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return has;
}

void OnednnConvolution::pack_weight(const void* ours, void* packed) const {
  memory from(our_desc_, engine(), const_cast<void*>(ours)), to(weight_desc_, engine(), packed);
  pack_.execute(stream(), from, to);
}

void OnednnConvolution::unpack_weight(const void* packed, void* ours) const {
  memory from(weight_desc_, engine(), const_cast<void*>(packed)), to(our_desc_, engine(), ours);
  unpack_.execute(stream(), from, to);
}

void OnednnConvolution::run(void* x, void* packed_weight, float* bias, void* y, void* scratch) const {
  const memory mx(x_desc_, engine(), x), my(y_desc_, engine(), y), mw(weight_desc_, engine(), packed_weight);
  const bool forward = key_.pass == Pass::forward, backward_input = key_.pass == Pass::backward_input;
  std::unordered_map<int, memory> arguments{{backward_input ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, mx},
                                            {forward || backward_input ? DNNL_ARG_WEIGHTS : DNNL_ARG_DIFF_WEIGHTS, mw},
                                            {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, my},
                                            {DNNL_ARG_SCRATCHPAD, memory(scratch_desc_, engine(), scratch)}};
  if (key_.bias) arguments[forward ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS] = memory(bias_desc_, engine(), bias);
  primitive_.execute(stream(), arguments);
}

}  // namespace poise::cpu
