// A second implementation of each op, written from its definition in f64 with no regard for speed. A kernel and its
// gradient can agree on the wrong function; these implementations share no code with the kernels.
#pragma once
#include "tests/support/op_cases.h"

namespace poise {

OpDefinition define_each(std::function<double(double)> f);                                // y_i = f(x_i)
OpDefinition define_each_pair(std::function<double(double, double)> f);                   // y_i = f(a_i, b_i)
OpDefinition define_concat_batch();                                                       // a, then b
OpDefinition define_concat_channels(const std::vector<int64_t>& channels);                // of each input
OpDefinition define_linear(int64_t n, int64_t in, int64_t out);                           // inputs x, w and maybe b
OpDefinition define_conv2d(const Shape& x, int64_t c_out, const Conv2dOptions& options);  // inputs x, w and maybe b
OpDefinition define_batch_norm(const Shape& x, Mode mode, const BatchNormOptions& options);
OpDefinition define_spectral_norm(const Shape& weight, Mode mode);
OpDefinition define_upsample_nearest_2x(const Shape& x);
OpDefinition define_avg_pool_2x2(const Shape& x);
OpDefinition define_max_pool(const Shape& x, const PoolWindow& window);
OpDefinition define_avg_pool(const Shape& x, const PoolWindow& window);
OpDefinition define_sum_space(const Shape& x, double scale);
OpDefinition define_diff_augment(const Shape& x, const DiffAugmentOptions& options);                // at seed 0, step 0
OpDefinition define_conv_transpose2d(const Shape& x, int64_t c_out, const Conv2dOptions& options);  // inputs x, w
OpDefinition define_slice_channels(int64_t channels, int64_t first, int64_t count);
OpDefinition define_embedding(const std::vector<int32_t>& labels, int64_t columns);
OpDefinition define_channel_modulation(const Shape& x, bool relu);  // inputs x, gain, bias
OpDefinition define_row_dot(int64_t columns);
OpDefinition define_batched_matmul(int64_t n, int64_t rows, int64_t depth, int64_t columns, bool transpose_b);
OpDefinition define_softmax(int64_t columns);
OpDefinition define_gated_add();  // inputs x, o, gate
OpDefinition define_gan_loss_d(GanLoss loss, int64_t n_real);
OpDefinition define_gan_loss_g(GanLoss loss);

}  // namespace poise
