// The CPU kernels as a device would run them: each call goes to the context's stream and is computed when the stream
// gets there. With Device::emulated this makes a device that is all runtime and no GPU kernel: what the tests of
// runtime, graphs and Trainer need, at the speed of the CPU.
#pragma once
#include <cstring>
#include <span>
#include <tuple>
#include <vector>

#include "kernels/gpu/emulated/stream.h"
#include "kernels/table.h"

namespace poise::test {

// How an argument waits: by value, the elements of a span too.
template <class T>
struct Waiting {
  using Type = std::decay_t<T>;
};
template <class T>
struct Waiting<std::span<const T>> {
  struct Type {
    std::vector<T> elements;
    Type(std::span<const T> s) : elements(s.begin(), s.end()) {}
    operator std::span<const T>() const { return elements; }
  };
};

template <auto Entry, class... Args>
void defer(KernelTable& table, void (*KernelTable::*)(Context&, Args...)) {
  table.*Entry = [](Context& ctx, Args... args) {
    static_cast<emulator::Stream&>(*ctx.stream)
        .submit([now = ctx, kept = std::tuple<typename Waiting<Args>::Type...>(args...)] {
          Context later = now;
          auto values = kept;
          std::apply([&](auto&... value) { (cpu_kernels().*Entry)(later, value...); }, values);
        });
  };
}

inline KernelTable deferred_kernels() {
  KernelTable table = cpu_kernels();
#define POISE_DEFER(entry) defer<&KernelTable::entry>(table, &KernelTable::entry)
  POISE_DEFER(leaky_relu_forward);
  POISE_DEFER(leaky_relu_backward);
  POISE_DEFER(tanh_forward);
  POISE_DEFER(tanh_backward);
  POISE_DEFER(add);
  POISE_DEFER(copy);
  POISE_DEFER(fill);
  POISE_DEFER(convert);
  POISE_DEFER(linear_forward);
  POISE_DEFER(linear_backward_input);
  POISE_DEFER(linear_backward_weight);
  POISE_DEFER(conv2d_forward);
  POISE_DEFER(conv2d_backward_input);
  POISE_DEFER(conv2d_backward_weight);
  POISE_DEFER(batch_norm_forward_train);
  POISE_DEFER(batch_norm_forward_eval);
  POISE_DEFER(batch_norm_backward);
  POISE_DEFER(spectral_norm_forward);
  POISE_DEFER(spectral_norm_backward);
  POISE_DEFER(upsample_nearest_2x_forward);
  POISE_DEFER(upsample_nearest_2x_backward);
  POISE_DEFER(avg_pool_2x2_forward);
  POISE_DEFER(avg_pool_2x2_backward);
  POISE_DEFER(sum_space_forward);
  POISE_DEFER(sum_space_backward);
  POISE_DEFER(max_pool_forward);
  POISE_DEFER(max_pool_backward);
  POISE_DEFER(avg_pool_forward);
  POISE_DEFER(avg_pool_backward);
  POISE_DEFER(insert_channels);
  POISE_DEFER(extract_channels);
  POISE_DEFER(resize_bilinear);
  POISE_DEFER(embedding_forward);
  POISE_DEFER(embedding_backward);
  POISE_DEFER(sample_affine_forward);
  POISE_DEFER(sample_affine_backward);
  POISE_DEFER(batched_matmul);
  POISE_DEFER(softmax_forward);
  POISE_DEFER(softmax_backward);
  POISE_DEFER(gated_add_forward);
  POISE_DEFER(gated_add_backward);
  POISE_DEFER(row_dot);
  POISE_DEFER(scale_rows);
  POISE_DEFER(gan_loss_d_forward);
  POISE_DEFER(gan_loss_d_backward);
  POISE_DEFER(gan_loss_g_forward);
  POISE_DEFER(gan_loss_g_backward);
  POISE_DEFER(begin_step);
  POISE_DEFER(adam);
  POISE_DEFER(diff_augment_forward);
  POISE_DEFER(diff_augment_backward);
  POISE_DEFER(random_normal);
  POISE_DEFER(random_labels);
  POISE_DEFER(gather_images);
  POISE_DEFER(cell_scores);
  POISE_DEFER(random_scores);
  POISE_DEFER(select_cells);
  POISE_DEFER(count_alive);
  POISE_DEFER(change_mask);
  POISE_DEFER(mean_logit);
  POISE_DEFER(push_balance);
  POISE_DEFER(summarise_balance);
  POISE_DEFER(block_conv2d_forward);
  POISE_DEFER(block_conv2d_backward_input);
  POISE_DEFER(block_conv2d_backward_weight);
  POISE_DEFER(cusparse_conv2d_forward);
  POISE_DEFER(cusparse_conv2d_backward_input);
  POISE_DEFER(cusparse_conv2d_backward_weight);
  POISE_DEFER(record_losses);
#undef POISE_DEFER
  // Waits for the device, as it does everywhere: the host reads the counts.
  table.build_block_index = [](Context& ctx, const Tensor& mask, BlockIndex& index) {
    static_cast<emulator::Stream&>(*ctx.stream).submit([&] { cpu::build_block_index(ctx, mask, index); });
    gpu::runtime(ctx.device).synchronize(*ctx.stream);
  };
  // All but the four planners, which compute nothing. An entry that is missing above would run at once, out of order.
  using Entry = void (*)();
  constexpr size_t kEntries = sizeof(KernelTable) / sizeof(Entry);
  Entry deferred[kEntries], direct[kEntries];
  std::memcpy(deferred, &table, sizeof table);
  std::memcpy(direct, &cpu_kernels(), sizeof table);
  int same = 0;
  for (size_t i = 0; i < kEntries; ++i) same += deferred[i] == direct[i];
  require(same == 4, "every entry of the kernel table but the planners is deferred");
  return table;
}

}  // namespace poise::test
