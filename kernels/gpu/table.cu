#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {

const KernelTable& kernels() {
  static const KernelTable table = [] {
    KernelTable t;
    add_activation_kernels(t);
    add_loss_ring_kernels(t);
    return t;
  }();
  return table;
}

}  // namespace poise::POISE_GPU
