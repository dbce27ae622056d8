#include "kernels/table.h"

#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

struct Nothing {
  template <class... Args>
  using Kernel = void (*)(Args...);
  template <class... Args>
  operator Kernel<Args...>() const {
    return [](Args...) {};
  }
};

KernelTable reference_table() {
  return {
      .leaky_relu_forward = cpu::leaky_relu_forward,
      .leaky_relu_backward = cpu::leaky_relu_backward,
      .tanh_forward = cpu::tanh_forward,
      .tanh_backward = cpu::tanh_backward,
      .add = cpu::add,
      .copy = cpu::copy,
      .fill = cpu::fill,
      .convert = cpu::convert,
      .linear_plan = cpu::linear_plan,
      .linear_forward = cpu::linear_forward,
      .linear_backward_input = cpu::linear_backward_input,
      .linear_backward_weight = cpu::linear_backward_weight,
      .conv2d_plan = cpu::conv2d_plan,
      .conv2d_forward = cpu::conv2d_forward,
      .conv2d_backward_input = cpu::conv2d_backward_input,
      .conv2d_backward_weight = cpu::conv2d_backward_weight,
      .batch_norm_forward_train = cpu::batch_norm_forward_train,
      .batch_norm_forward_eval = cpu::batch_norm_forward_eval,
      .batch_norm_backward = cpu::batch_norm_backward,
      .spectral_norm_forward = cpu::spectral_norm_forward,
      .spectral_norm_backward = cpu::spectral_norm_backward,
      .upsample_nearest_2x_forward = cpu::upsample_nearest_2x_forward,
      .upsample_nearest_2x_backward = cpu::upsample_nearest_2x_backward,
      .avg_pool_2x2_forward = cpu::avg_pool_2x2_forward,
      .avg_pool_2x2_backward = cpu::avg_pool_2x2_backward,
      .sum_space_forward = cpu::sum_space_forward,
      .sum_space_backward = cpu::sum_space_backward,
      .max_pool_forward = cpu::max_pool_forward,
      .max_pool_backward = cpu::max_pool_backward,
      .avg_pool_forward = cpu::avg_pool_forward,
      .avg_pool_backward = cpu::avg_pool_backward,
      .insert_channels = cpu::insert_channels,
      .extract_channels = cpu::extract_channels,
      .resize_bilinear = cpu::resize_bilinear,
      .embedding_forward = cpu::embedding_forward,
      .embedding_backward = cpu::embedding_backward,
      .sample_affine_forward = cpu::sample_affine_forward,
      .sample_affine_backward = cpu::sample_affine_backward,
      .batched_matmul = cpu::batched_matmul,
      .softmax_forward = cpu::softmax_forward,
      .softmax_backward = cpu::softmax_backward,
      .gated_add_forward = cpu::gated_add_forward,
      .gated_add_backward = cpu::gated_add_backward,
      .row_dot = cpu::row_dot,
      .scale_rows = cpu::scale_rows,
      .gan_loss_d_forward = cpu::gan_loss_d_forward,
      .gan_loss_d_backward = cpu::gan_loss_d_backward,
      .gan_loss_g_forward = cpu::gan_loss_g_forward,
      .gan_loss_g_backward = cpu::gan_loss_g_backward,
      .begin_step = cpu::begin_step,
      .adam = cpu::adam,
      .diff_augment_forward = cpu::diff_augment_forward,
      .diff_augment_backward = cpu::diff_augment_backward,
      .random_normal = cpu::random_normal,
      .random_labels = cpu::random_labels,
      .gather_images = cpu::gather_images,
      .cell_scores = cpu::cell_scores,
      .random_scores = cpu::random_scores,
      .select_cells = cpu::select_cells,
      .count_alive = cpu::count_alive,
      .change_mask = cpu::change_mask,
      .mean_logit = cpu::mean_logit,
      .push_balance = cpu::push_balance,
      .summarise_balance = cpu::summarise_balance,
      .build_block_index = cpu::build_block_index,
      .block_conv2d_plan = cpu::block_conv2d_plan,
      .block_conv2d_forward = cpu::block_conv2d_forward,
      .block_conv2d_backward_input = cpu::block_conv2d_backward_input,
      .block_conv2d_backward_weight = cpu::block_conv2d_backward_weight,
      .cusparse_conv2d_plan = cpu::cusparse_conv2d_plan,
      .cusparse_conv2d_forward = cpu::cusparse_conv2d_forward,
      .cusparse_conv2d_backward_input = cpu::cusparse_conv2d_backward_input,
      .cusparse_conv2d_backward_weight = cpu::cusparse_conv2d_backward_weight,
      .build_weight_index = cpu::build_weight_index,
      .weights_conv2d_plan = cpu::weights_conv2d_plan,
      .weights_conv2d_forward = cpu::weights_conv2d_forward,
      .weights_conv2d_backward_input = cpu::weights_conv2d_backward_input,
      .weights_conv2d_backward_weight = cpu::weights_conv2d_backward_weight,
      .record_losses = cpu::record_losses,
  };
}

KernelTable onednn_table() {
  KernelTable table = reference_table();
  table.linear_forward = cpu::linear_forward_onednn;
  table.linear_backward_input = cpu::linear_backward_input_onednn;
  table.linear_backward_weight = cpu::linear_backward_weight_onednn;
  table.conv2d_plan = cpu::conv2d_plan_onednn;
  table.conv2d_forward = cpu::conv2d_forward_onednn;
  table.conv2d_backward_input = cpu::conv2d_backward_input_onednn;
  table.conv2d_backward_weight = cpu::conv2d_backward_weight_onednn;
  table.batched_matmul = cpu::batched_matmul_onednn;
  return table;
}

}  // namespace

const KernelTable& cpu_reference_kernels() {
  static const KernelTable table = reference_table();
  return table;
}

const KernelTable& cpu_kernels() {
  static const KernelTable table = onednn_table();
  return table;
}

const KernelTable& kernels_of(Device device) {
  if (device == Device::cpu) return cpu_kernels();
  if (device == Device::emulated) return emulated::kernels();
#ifdef POISE_HAVE_CUDA
  return cuda::kernels();
#else
  fail(ErrorKind::environment, gpu::why_unavailable(device));
#endif
}

KernelTable planning_kernels(const KernelTable& device_kernels) {
  constexpr Nothing nothing;
  return {
      .leaky_relu_forward = nothing,
      .leaky_relu_backward = nothing,
      .tanh_forward = nothing,
      .tanh_backward = nothing,
      .add = nothing,
      .copy = nothing,
      .fill = nothing,
      .convert = nothing,
      .linear_plan = device_kernels.linear_plan,
      .linear_forward = nothing,
      .linear_backward_input = nothing,
      .linear_backward_weight = nothing,
      .conv2d_plan = device_kernels.conv2d_plan,
      .conv2d_forward = nothing,
      .conv2d_backward_input = nothing,
      .conv2d_backward_weight = nothing,
      .batch_norm_forward_train = nothing,
      .batch_norm_forward_eval = nothing,
      .batch_norm_backward = nothing,
      .spectral_norm_forward = nothing,
      .spectral_norm_backward = nothing,
      .upsample_nearest_2x_forward = nothing,
      .upsample_nearest_2x_backward = nothing,
      .avg_pool_2x2_forward = nothing,
      .avg_pool_2x2_backward = nothing,
      .sum_space_forward = nothing,
      .sum_space_backward = nothing,
      .max_pool_forward = nothing,
      .max_pool_backward = nothing,
      .avg_pool_forward = nothing,
      .avg_pool_backward = nothing,
      .insert_channels = nothing,
      .extract_channels = nothing,
      .resize_bilinear = nothing,
      .embedding_forward = nothing,
      .embedding_backward = nothing,
      .sample_affine_forward = nothing,
      .sample_affine_backward = nothing,
      .batched_matmul = nothing,
      .softmax_forward = nothing,
      .softmax_backward = nothing,
      .gated_add_forward = nothing,
      .gated_add_backward = nothing,
      .row_dot = nothing,
      .scale_rows = nothing,
      .gan_loss_d_forward = nothing,
      .gan_loss_d_backward = nothing,
      .gan_loss_g_forward = nothing,
      .gan_loss_g_backward = nothing,
      .begin_step = nothing,
      .adam = nothing,
      .diff_augment_forward = nothing,
      .diff_augment_backward = nothing,
      .random_normal = nothing,
      .random_labels = nothing,
      .gather_images = nothing,
      .cell_scores = nothing,
      .random_scores = nothing,
      .select_cells = nothing,
      .count_alive = nothing,
      .change_mask = nothing,
      .mean_logit = nothing,
      .push_balance = nothing,
      .summarise_balance = nothing,
      .build_block_index = nothing,
      .block_conv2d_plan = device_kernels.block_conv2d_plan,
      .block_conv2d_forward = nothing,
      .block_conv2d_backward_input = nothing,
      .block_conv2d_backward_weight = nothing,
      .cusparse_conv2d_plan = device_kernels.cusparse_conv2d_plan,
      .cusparse_conv2d_forward = nothing,
      .cusparse_conv2d_backward_input = nothing,
      .cusparse_conv2d_backward_weight = nothing,
      .build_weight_index = nothing,
      .weights_conv2d_plan = device_kernels.weights_conv2d_plan,
      .weights_conv2d_forward = nothing,
      .weights_conv2d_backward_input = nothing,
      .weights_conv2d_backward_weight = nothing,
      .record_losses = nothing,
  };
}

}  // namespace poise
