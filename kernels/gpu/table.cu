#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {

const KernelTable& kernels() {
  static const KernelTable table = [] {
    KernelTable t;
    add_activation_kernels(t);
    add_loss_ring_kernels(t);
    add_adam_kernels(t);
    add_arithmetic_kernels(t);
    add_attention_kernels(t);
    add_batch_norm_kernels(t);
    add_balance_kernels(t);
    add_block_index_kernels(t);
    add_cell_scores_kernels(t);
    add_mask_kernels(t);
    add_select_kernels(t);
    add_block_conv2d_kernels(t);
    add_channels_kernels(t);
    add_cusparse_conv2d_kernels(t);
    add_conv2d_kernels(t);
    add_convert_kernels(t);
    add_diff_augment_kernels(t);
    add_embedding_kernels(t);
    add_gather_images_kernels(t);
    add_linear_kernels(t);
    add_loss_kernels(t);
    add_pooling_kernels(t);
    add_random_kernels(t);
    add_resample_kernels(t);
    add_resize_bilinear_kernels(t);
    add_row_dot_kernels(t);
    add_sample_affine_kernels(t);
    add_spectral_norm_kernels(t);
    add_weights_conv2d_kernels(t);
    add_window_pooling_kernels(t);
    return t;
  }();
  return table;
}

}  // namespace poise::POISE_GPU
