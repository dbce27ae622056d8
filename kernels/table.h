// Every kernel of a device, by name, generated from one list (kernels.inc). No op exists on one device only, and
// nothing falls back silently: if a device does not define a kernel of the list, linking fails.
//
// Every kernel and planner throws Error(runtime) if the device or a library that it calls fails, or if an operand is
// larger than the device's kernel can address; their headers do not repeat this. The ops (engine/ops) check shapes and
// types: operands are always as a kernel's header describes them.
#pragma once
#include <string>

#include "kernels/dense/attention/attention.h"
#include "kernels/dense/conditional/embedding.h"
#include "kernels/dense/conditional/row_dot.h"
#include "kernels/dense/conv2d/conv2d.h"
#include "kernels/dense/conv2d/derived_weights.h"
#include "kernels/dense/linear/linear.h"
#include "kernels/dense/loss/loss.h"
#include "kernels/dense/norm/batch_norm.h"
#include "kernels/dense/norm/channel_modulation.h"
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
#include "kernels/sparse/masks/packed_runs.h"
#include "kernels/sparse/masks/select.h"
#include "kernels/sparse/weights/weights_conv2d.h"
#include "kernels/train/adam.h"
#include "kernels/train/diff_augment.h"
#include "kernels/train/gather_images.h"
#include "kernels/train/loss_ring.h"
#include "kernels/train/random.h"

namespace poise {

// The names, in the order of the list.
constexpr const char* kKernelNames[] = {
#define POISE_KERNEL(Type, entry, kind) #entry,
#include "kernels/kernels.inc"
};
enum class KernelIndex : int {
#define POISE_KERNEL(Type, entry, kind) entry,
#include "kernels/kernels.inc"
};

// The default of every entry: a call throws Error(runtime) with the kernel's name.
template <KernelIndex index>
struct MissingKernel {
  template <class R, class... Args>
  using Function = R (*)(Args...);
  template <class R, class... Args>
  operator Function<R, Args...>() const {
    return [](Args...) -> R {
      fail(ErrorKind::runtime, std::string("internal error: this device's table has no kernel \"") +
                                   kKernelNames[static_cast<int>(index)] + "\"");
    };
  }
};

struct KernelTable {
#define POISE_KERNEL(Type, entry, kind) Type* entry = MissingKernel<KernelIndex::entry>{};
#include "kernels/kernels.inc"
};

// For code that is the same for all kernels: for_each_kernel([&](auto kernel) { ... table.*kernel.entry ... }). An
// entry and its kind are compile-time constants.
enum class KernelKind : uint8_t { compute, waiting, planner };
template <auto Entry, KernelKind Kind>
struct ListedKernel {
  static constexpr auto entry = Entry;
  static constexpr KernelKind kind = Kind;
  const char* name;
};
template <class F>
void for_each_kernel(const F& f) {
#define POISE_KERNEL(Type, entry, kind) f(ListedKernel<&KernelTable::entry, KernelKind::kind>{#entry});
#include "kernels/kernels.inc"
}

// Names of the entries that are still missing, for tests: "add, copy"; empty if there are none.
std::string missing_kernels(const KernelTable& table);

namespace cpu {
#define POISE_KERNEL(Type, entry, kind) Type entry;
#define POISE_ONEDNN_KERNEL(Type, entry) Type entry##_onednn;
#include "kernels/kernels.inc"
}  // namespace cpu

const KernelTable& cpu_reference_kernels();  // plain loops throughout: f32, f64 and bf16
const KernelTable& cpu_kernels();            // the same, with products in f32 and most in bf16 on oneDNN
// The CUDA kernels: compiled by nvcc; for the emulator; and for the emulator with the checker (kernels/gpu/gpu.h).
namespace cuda {
const KernelTable& kernels();
}
namespace emulated {
const KernelTable& kernels();
}
namespace checked {
const KernelTable& kernels();
}
// The kernels that programs use on a device. Throws Error(environment) if this build has none for it.
const KernelTable& kernels_of(Device device);
// The planners of `device_kernels`; all other entries do nothing. See Context::planning.
KernelTable planning_kernels(const KernelTable& device_kernels);

}  // namespace poise
