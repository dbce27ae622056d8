// Every kernel of a device, by name. One entry per kernel; a null entry is a bug that a test finds, so no op exists on
// one device only and nothing falls back in silence.
#pragma once
#include "kernels/dense/attention/attention.h"
#include "kernels/dense/conditional/embedding.h"
#include "kernels/dense/conditional/row_dot.h"
#include "kernels/dense/conv2d/conv2d.h"
#include "kernels/dense/linear/linear.h"
#include "kernels/dense/loss/loss.h"
#include "kernels/dense/norm/batch_norm.h"
#include "kernels/dense/norm/sample_affine.h"
#include "kernels/dense/norm/spectral_norm.h"
#include "kernels/dense/pointwise/activation.h"
#include "kernels/dense/pointwise/arithmetic.h"
#include "kernels/dense/pointwise/channels.h"
#include "kernels/dense/pointwise/convert.h"
#include "kernels/dense/space/pooling.h"
#include "kernels/dense/space/resample.h"
#include "kernels/dense/space/resize_bilinear.h"
#include "kernels/dense/space/window_pooling.h"
#include "kernels/sparse/block/block_conv2d.h"
#include "kernels/sparse/cusparse/cusparse_conv2d.h"
#include "kernels/sparse/masks/balance.h"
#include "kernels/sparse/masks/cell_scores.h"
#include "kernels/sparse/masks/mask.h"
#include "kernels/sparse/masks/select.h"
#include "kernels/sparse/weights/weights_conv2d.h"
#include "kernels/train/adam.h"
#include "kernels/train/diff_augment.h"
#include "kernels/train/gather_images.h"
#include "kernels/train/loss_ring.h"
#include "kernels/train/random.h"

namespace poise {

struct KernelTable {
  LeakyReluForward* leaky_relu_forward = nullptr;
  LeakyReluBackward* leaky_relu_backward = nullptr;
  TanhForward* tanh_forward = nullptr;
  TanhBackward* tanh_backward = nullptr;
  Add* add = nullptr;
  Copy* copy = nullptr;
  Fill* fill = nullptr;
  Convert* convert = nullptr;
  LinearPlanner* linear_plan = nullptr;
  LinearForward* linear_forward = nullptr;
  LinearBackwardInput* linear_backward_input = nullptr;
  LinearBackwardWeight* linear_backward_weight = nullptr;
  Conv2dPlanner* conv2d_plan = nullptr;
  Conv2dForward* conv2d_forward = nullptr;
  Conv2dBackwardInput* conv2d_backward_input = nullptr;
  Conv2dBackwardWeight* conv2d_backward_weight = nullptr;
  BatchNormForwardTrain* batch_norm_forward_train = nullptr;
  BatchNormForwardEval* batch_norm_forward_eval = nullptr;
  BatchNormBackward* batch_norm_backward = nullptr;
  SpectralNormForward* spectral_norm_forward = nullptr;
  SpectralNormBackward* spectral_norm_backward = nullptr;
  UpsampleNearest2xForward* upsample_nearest_2x_forward = nullptr;
  UpsampleNearest2xBackward* upsample_nearest_2x_backward = nullptr;
  AvgPool2x2Forward* avg_pool_2x2_forward = nullptr;
  AvgPool2x2Backward* avg_pool_2x2_backward = nullptr;
  SumSpaceForward* sum_space_forward = nullptr;
  SumSpaceBackward* sum_space_backward = nullptr;
  MaxPoolForward* max_pool_forward = nullptr;
  MaxPoolBackward* max_pool_backward = nullptr;
  AvgPoolForward* avg_pool_forward = nullptr;
  AvgPoolBackward* avg_pool_backward = nullptr;
  InsertChannels* insert_channels = nullptr;
  ExtractChannels* extract_channels = nullptr;
  ResizeBilinear* resize_bilinear = nullptr;
  EmbeddingForward* embedding_forward = nullptr;
  EmbeddingBackward* embedding_backward = nullptr;
  SampleAffineForward* sample_affine_forward = nullptr;
  SampleAffineBackward* sample_affine_backward = nullptr;
  BatchedMatmul* batched_matmul = nullptr;
  SoftmaxForward* softmax_forward = nullptr;
  SoftmaxBackward* softmax_backward = nullptr;
  GatedAddForward* gated_add_forward = nullptr;
  GatedAddBackward* gated_add_backward = nullptr;
  RowDot* row_dot = nullptr;
  ScaleRows* scale_rows = nullptr;
  GanLossDForward* gan_loss_d_forward = nullptr;
  GanLossDBackward* gan_loss_d_backward = nullptr;
  GanLossGForward* gan_loss_g_forward = nullptr;
  GanLossGBackward* gan_loss_g_backward = nullptr;
  BeginStep* begin_step = nullptr;
  Adam* adam = nullptr;
  DiffAugmentForward* diff_augment_forward = nullptr;
  DiffAugmentBackward* diff_augment_backward = nullptr;
  RandomNormal* random_normal = nullptr;
  RandomLabels* random_labels = nullptr;
  GatherImages* gather_images = nullptr;
  CellScores* cell_scores = nullptr;
  RandomScores* random_scores = nullptr;
  SelectCells* select_cells = nullptr;
  CountAlive* count_alive = nullptr;
  ChangeMask* change_mask = nullptr;
  MeanLogit* mean_logit = nullptr;
  PushBalance* push_balance = nullptr;
  SummariseBalance* summarise_balance = nullptr;
  BuildBlockIndex* build_block_index = nullptr;
  BlockConv2dPlanner* block_conv2d_plan = nullptr;
  BlockConv2dForward* block_conv2d_forward = nullptr;
  BlockConv2dBackwardInput* block_conv2d_backward_input = nullptr;
  BlockConv2dBackwardWeight* block_conv2d_backward_weight = nullptr;
  BlockConv2dPlanner* cusparse_conv2d_plan = nullptr;
  BlockConv2dForward* cusparse_conv2d_forward = nullptr;
  BlockConv2dBackwardInput* cusparse_conv2d_backward_input = nullptr;
  BlockConv2dBackwardWeight* cusparse_conv2d_backward_weight = nullptr;
  BuildWeightIndex* build_weight_index = nullptr;
  WeightsConv2dPlanner* weights_conv2d_plan = nullptr;
  WeightsConv2dForward* weights_conv2d_forward = nullptr;
  WeightsConv2dBackwardInput* weights_conv2d_backward_input = nullptr;
  WeightsConv2dBackwardWeight* weights_conv2d_backward_weight = nullptr;
  RecordLosses* record_losses = nullptr;
};

const KernelTable& cpu_reference_kernels();  // plain loops throughout, f32 and f64
const KernelTable& cpu_kernels();            // the same, with f32 convolution and linear layers on oneDNN
// The CUDA kernels: compiled by nvcc; on the host; and on the host under the checker (kernels/gpu/gpu.h).
namespace cuda {
const KernelTable& kernels();
}
namespace emulated {
const KernelTable& kernels();
}
namespace checked {
const KernelTable& kernels();
}
// Those that a device computes with: oneDNN's on the CPU. Error(environment) if this build has none for it.
const KernelTable& kernels_of(Device device);
// The planner of `device_kernels` and, for everything that would touch memory, nothing: see Context::planning.
KernelTable planning_kernels(const KernelTable& device_kernels);

}  // namespace poise
