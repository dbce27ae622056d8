// The GPU kernels, by family: each .cu file fills its entries of the table. See kernels/gpu/table.cu.
#pragma once
#include "kernels/gpu/gpu.h"
#include "kernels/table.h"

namespace poise::POISE_GPU {

void add_activation_kernels(KernelTable& table);
void add_loss_ring_kernels(KernelTable& table);
void add_adam_kernels(KernelTable& table);
void add_arithmetic_kernels(KernelTable& table);
void add_attention_kernels(KernelTable& table);
void add_batch_norm_kernels(KernelTable& table);
void add_balance_kernels(KernelTable& table);
void add_block_index_kernels(KernelTable& table);
void add_cell_scores_kernels(KernelTable& table);
void add_mask_kernels(KernelTable& table);
void add_select_kernels(KernelTable& table);
void add_block_conv2d_kernels(KernelTable& table);
void add_channels_kernels(KernelTable& table);
void add_cusparse_conv2d_kernels(KernelTable& table);
void add_conv2d_kernels(KernelTable& table);
void add_convert_kernels(KernelTable& table);
void add_diff_augment_kernels(KernelTable& table);
void add_embedding_kernels(KernelTable& table);
void add_gather_images_kernels(KernelTable& table);
void add_linear_kernels(KernelTable& table);
void add_loss_kernels(KernelTable& table);
void add_pooling_kernels(KernelTable& table);
void add_random_kernels(KernelTable& table);
void add_resample_kernels(KernelTable& table);
void add_resize_bilinear_kernels(KernelTable& table);
void add_row_dot_kernels(KernelTable& table);
void add_sample_affine_kernels(KernelTable& table);
void add_spectral_norm_kernels(KernelTable& table);
void add_weights_conv2d_kernels(KernelTable& table);
void add_window_pooling_kernels(KernelTable& table);

}  // namespace poise::POISE_GPU
