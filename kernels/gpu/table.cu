#include "kernels/gpu/table.h"

namespace poise::POISE_GPU {

const KernelTable& kernels() {
  static const KernelTable table = {
#define POISE_KERNEL(Type, entry, kind) .entry = entry,
#include "kernels/kernels.inc"
  };
  return table;
}

}  // namespace poise::POISE_GPU
