// f32 convolution on oneDNN, with the same bits for any number of threads.
//
// A layer is cut into tasks of whole images, a number that depends on the geometry alone, and each task is a oneDNN
// primitive on one thread. Forward and input gradient write disjoint images; the weight gradient writes one partial sum
// per task, added up in task order.
//
// A 3x3 convolution of a twice enlarged image is four 2x2 convolutions of the small one, one per output parity
// (upsample_fold.h): parity 0 has its padding before, parity 1 behind. A 1x1 convolution commutes with the enlargement:
// one multiply-add instead of four.
#include <cstring>

#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/core/workspace_layout.h"
#include "kernels/dense/conv2d/onednn_convolution.h"
#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

enum class Method : uint8_t { plain, enlarge_output, four_parities };

// How one pass of one layer is cut.
struct Cut {
  Conv2dGeometry geometry;  // of the layer
  Method method;
  int64_t images, tasks;  // images per task
  int parities;           // convolutions per task
  ConvolutionKey key;     // of parity 0

  Cut(const Conv2dGeometry& g, Pass pass) : geometry(g), method(method_of(g)) {
    require(g.enlargement_allowed(), "the op refuses other enlarged convolutions");
    parities = method == Method::four_parities ? kParities : 1;
    key = {.pass = pass,
           .h = g.h,
           .w = g.w,
           .c_in = g.c_in,
           .out_h = method == Method::plain ? g.out_h() : g.h,
           .out_w = method == Method::plain ? g.out_w() : g.w,
           .c_out = g.c_out,
           .kh = method == Method::four_parities ? 2 : g.kh,
           .kw = method == Method::four_parities ? 2 : g.kw,
           .stride_h = g.stride_h,
           .stride_w = g.stride_w,
           .pad_top = g.pad_h,
           .pad_left = g.pad_w,
           .pad_bottom = g.pad_h,
           .pad_right = g.pad_w,
           .bias = pass != Pass::backward_input};
    // Enough tasks for a handful of cores; for the weight gradient only as many as pay for their partial sums.
    int64_t wanted = 8;
    if (pass == Pass::backward_weight) wanted = std::clamp<int64_t>(g.n * key.out_h * key.out_w / 1024, 2, 8);
    images = 1;
    while (g.n % images != 0 || g.n / images > wanted) ++images;
    if (images == g.n) images = 1;  // a large prime: rather many small tasks than a single one
    tasks = g.n / images;
    key.n = images;
  }

  static Method method_of(const Conv2dGeometry& g) {
    if (g.upsample == 2 && g.keeps_size(3)) return Method::four_parities;
    if (g.upsample == 2 && g.keeps_size(1)) return Method::enlarge_output;
    return Method::plain;
  }

  const OnednnConvolution& convolution(int parity) const {
    ConvolutionKey k = key;
    if (method == Method::four_parities) {
      const int a = parity / 2, b = parity % 2;
      k.pad_top = 1 - a, k.pad_bottom = a, k.pad_left = 1 - b, k.pad_right = b;
    }
    return OnednnConvolution::of(k);
  }

  int64_t x_stride() const { return geometry.h * geometry.w * geometry.c_in; }  // floats per image
  int64_t y_stride() const { return geometry.out_h() * geometry.out_w() * geometry.c_out; }
  int64_t small_y_stride() const { return key.out_h * key.out_w * geometry.c_out; }
  int64_t kernel_elements() const { return geometry.c_out * key.kh * key.kw * geometry.c_in; }  // of one parity
};

struct Workspace {
  float* packed[kParities] =
      {};  // weights in oneDNN's layout, per parity; for the weight gradient: [task] partial sums
  size_t packed_elements = 0;
  float* bias[kParities] = {};     // weight gradient: [task][C_out] partial sums, per parity
  float* no_bias = nullptr;        // forward: [C_out] zeros, should the layer have no bias
  float* parity_weight = nullptr;  // four_parities: [4][C_out,2,2,C_in]
  float* small_y = nullptr;        // enlarged input: the small output or its gradient, [N,H,W,C_out]
  float* small_x = nullptr;        // four_parities, input gradient: one parity's part, [N,H,W,C_in]
  char* scratch = nullptr;         // [task][scratch_bytes]
  size_t scratch_bytes = 0;
  size_t bytes = 0;

  Workspace(const Cut& cut, void* base) {
    WorkspaceLayout layout(base);
    const bool backward_weight = cut.key.pass == Pass::backward_weight;
    const size_t tasks = static_cast<size_t>(cut.tasks), n = static_cast<size_t>(cut.geometry.n);
    for (int parity = 0; parity < cut.parities; ++parity) {
      const OnednnConvolution& c = cut.convolution(parity);
      packed_elements = std::max(packed_elements, c.weight_bytes() / sizeof(float));
      scratch_bytes = std::max(scratch_bytes, align_up(c.scratch_bytes()));
    }
    packed_elements = align_up(packed_elements * sizeof(float)) / sizeof(float);
    for (int parity = 0; parity < cut.parities; ++parity) {
      packed[parity] = layout.carve<float>((backward_weight ? tasks : 1) * packed_elements);
      if (backward_weight) bias[parity] = layout.carve<float>(tasks * static_cast<size_t>(cut.geometry.c_out));
    }
    if (cut.key.pass == Pass::forward) no_bias = layout.carve<float>(static_cast<size_t>(cut.geometry.c_out));
    if (cut.method == Method::four_parities) {
      parity_weight = layout.carve<float>(static_cast<size_t>(cut.parities * cut.kernel_elements()));
    }
    if (cut.method != Method::plain) small_y = layout.carve<float>(n * static_cast<size_t>(cut.small_y_stride()));
    if (cut.method == Method::four_parities && cut.key.pass == Pass::backward_input) {
      small_x = layout.carve<float>(n * static_cast<size_t>(cut.x_stride()));
    }
    scratch = layout.carve<char>(tasks * scratch_bytes);
    bytes = layout.bytes();
  }
};

// Which tap of a parity's 2x2 kernel the tap (r, s) of the 3x3 kernel adds to.
constexpr int folded_tap(int parity, int r, int s) {
  return window_position(parity / 2, r) * 2 + window_position(parity % 2, s);
}

// [C_out,3,3,C_in] -> [4][C_out,2,2,C_in]
void fold_weight(const Cut& cut, const float* weight, float* folded) {
  const int64_t c_in = cut.geometry.c_in, elements = cut.kernel_elements();
  parallel_for(cut.geometry.c_out, [&](int64_t o) {
    for (int parity = 0; parity < kParities; ++parity) {
      float* to = folded + parity * elements + o * 4 * c_in;
      std::memset(to, 0, static_cast<size_t>(4 * c_in) * sizeof(float));
      for (int r = 0; r < 3; ++r) {
        for (int s = 0; s < 3; ++s) {
          const float* tap = weight + ((o * 3 + r) * 3 + s) * c_in;
          float* sum = to + folded_tap(parity, r, s) * c_in;
          for (int64_t i = 0; i < c_in; ++i) sum[i] += tap[i];
        }
      }
    }
  });
}

// The transpose of fold_weight: each tap collects from the four kernels it was added to.
void unfold_weight(const Cut& cut, const float* folded, float* weight) {
  const int64_t c_in = cut.geometry.c_in, elements = cut.kernel_elements();
  parallel_for(cut.geometry.c_out, [&](int64_t o) {
    for (int r = 0; r < 3; ++r) {
      for (int s = 0; s < 3; ++s) {
        float* tap = weight + ((o * 3 + r) * 3 + s) * c_in;
        for (int parity = 0; parity < kParities; ++parity) {
          const float* from = folded + parity * elements + (o * 4 + folded_tap(parity, r, s)) * c_in;
          for (int64_t i = 0; i < c_in; ++i) tap[i] = parity == 0 ? from[i] : tap[i] + from[i];
        }
      }
    }
  });
}

// f(row of C floats in the small image, row of the pixel of this parity in the large one), for the images of a task.
template <class F>
void for_parity_pixels(const Conv2dGeometry& g, int64_t images, int parity, float* small, float* large, const F& f) {
  const int64_t c = g.c_out, a = parity / 2, b = parity % 2;
  for (int64_t row = 0; row < images * g.h; ++row) {
    for (int64_t q = 0; q < g.w; ++q) f(small + (row * g.w + q) * c, large + ((2 * row + a) * 2 * g.w + 2 * q + b) * c);
  }
}

void scatter_parity(const Conv2dGeometry& g, int64_t images, int parity, float* small, float* large) {
  for_parity_pixels(g, images, parity, small, large,
                    [&](const float* from, float* to) { std::copy_n(from, g.c_out, to); });
}
void gather_parity(const Conv2dGeometry& g, int64_t images, int parity, float* small, float* large) {
  for_parity_pixels(g, images, parity, small, large,
                    [&](float* to, const float* from) { std::copy_n(from, g.c_out, to); });
}

// Small output -> large one (all parities equal), and the transpose: the sum of the four.
void enlarge(const Conv2dGeometry& g, int64_t images, float* small, float* large) {
  for (int parity = 0; parity < kParities; ++parity) scatter_parity(g, images, parity, small, large);
}
void collect(const Conv2dGeometry& g, int64_t images, float* small, float* large) {
  for (int parity = 0; parity < kParities; ++parity) {
    for_parity_pixels(g, images, parity, small, large, [&](float* to, const float* from) {
      for (int64_t i = 0; i < g.c_out; ++i) to[i] = parity == 0 ? from[i] : to[i] + from[i];
    });
  }
}

// The weights of every parity in oneDNN's layout. Copies only: any number of threads may take part.
void pack(const Cut& cut, const float* weight, const Workspace& ws) {
  if (cut.method == Method::four_parities) fold_weight(cut, weight, ws.parity_weight);
  for (int parity = 0; parity < cut.parities; ++parity) {
    const float* from =
        cut.method == Method::four_parities ? ws.parity_weight + parity * cut.kernel_elements() : weight;
    cut.convolution(parity).pack_weight(from, ws.packed[parity]);
  }
}

float* floats(const Tensor& t) { return t.data<float>(); }

// In place, while the task's output is still in the cache. Not oneDNN's own: that turns NaN into 0.
const simd rectify([](float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] < 0 ? 0.0f : y[i];
});

}  // namespace

Conv2dPlan conv2d_plan_onednn(const Context& ctx, const Conv2dGeometry& g, DType dtype, Pass pass) {
  if (dtype != DType::f32) return conv2d_plan(ctx, g, dtype, pass);
  const Cut cut(g, pass);
  constexpr double kFolded = static_cast<double>(kFoldedPositions) / (kParities * 9), kRepeated = 1.0 / kParities;
  const double share = cut.method == Method::plain ? 1.0 : cut.method == Method::four_parities ? kFolded : kRepeated;
  return {.workspace_bytes = Workspace(cut, nullptr).bytes, .executed_macs = g.macs() * share};
}

void conv2d_forward_onednn(Context& ctx, const Conv2dGeometry& g, const Tensor& x, const Tensor& weight,
                           const Tensor& bias, Tensor& workspace, Tensor& y) {
  if (x.dtype != DType::f32) return conv2d_forward(ctx, g, x, weight, bias, workspace, y);
  const Cut cut(g, Pass::forward);
  const Workspace ws(cut, workspace.bytes);
  pack(cut, floats(weight), ws);
  if (!bias) std::fill_n(ws.no_bias, g.c_out, 0.0f);
  float* const added = bias ? floats(bias) : ws.no_bias;
  parallel_for(cut.tasks, [&](int64_t task) {
    const int64_t first = task * cut.images, count = cut.images;
    float* large = floats(y) + first * cut.y_stride();
    float* small = cut.method == Method::plain ? large : ws.small_y + first * cut.small_y_stride();
    for (int parity = 0; parity < cut.parities; ++parity) {
      cut.convolution(parity).run(floats(x) + first * cut.x_stride(), ws.packed[parity], added, small,
                                  ws.scratch + static_cast<size_t>(task) * ws.scratch_bytes);
      if (cut.method == Method::four_parities) scatter_parity(g, count, parity, small, large);
    }
    if (cut.method == Method::enlarge_output) enlarge(g, count, small, large);
    if (g.relu) rectify(large, count * cut.y_stride());
  });
}

void conv2d_backward_input_onednn(Context& ctx, const Conv2dGeometry& g, const Tensor& dy, const Tensor& weight,
                                  Tensor& workspace, Tensor& dx) {
  if (dy.dtype != DType::f32) return conv2d_backward_input(ctx, g, dy, weight, workspace, dx);
  const Cut cut(g, Pass::backward_input);
  const Workspace ws(cut, workspace.bytes);
  pack(cut, floats(weight), ws);
  parallel_for(cut.tasks, [&](int64_t task) {
    const int64_t first = task * cut.images, count = cut.images;
    float* large = floats(dy) + first * cut.y_stride();
    float* small = cut.method == Method::plain ? large : ws.small_y + first * cut.small_y_stride();
    float* sum = floats(dx) + first * cut.x_stride();
    if (cut.method == Method::enlarge_output) collect(g, count, small, large);
    for (int parity = 0; parity < cut.parities; ++parity) {
      if (cut.method == Method::four_parities) gather_parity(g, count, parity, small, large);
      float* part = parity == 0 ? sum : ws.small_x + first * cut.x_stride();
      cut.convolution(parity).run(part, ws.packed[parity], nullptr, small,
                                  ws.scratch + static_cast<size_t>(task) * ws.scratch_bytes);
      if (parity > 0) {
        for (int64_t i = 0; i < count * cut.x_stride(); ++i) sum[i] += part[i];
      }
    }
  });
}

void conv2d_backward_weight_onednn(Context& ctx, const Conv2dGeometry& g, const Tensor& x, const Tensor& dy,
                                   Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  if (x.dtype != DType::f32) return conv2d_backward_weight(ctx, g, x, dy, workspace, dweight, dbias);
  const Cut cut(g, Pass::backward_weight);
  const Workspace ws(cut, workspace.bytes);
  parallel_for(cut.tasks, [&](int64_t task) {
    const int64_t first = task * cut.images, count = cut.images;
    float* large = floats(dy) + first * cut.y_stride();
    float* small = cut.method == Method::plain ? large : ws.small_y + first * cut.small_y_stride();
    if (cut.method == Method::enlarge_output) collect(g, count, small, large);
    for (int parity = 0; parity < cut.parities; ++parity) {
      if (cut.method == Method::four_parities) gather_parity(g, count, parity, small, large);
      cut.convolution(parity).run(
          floats(x) + first * cut.x_stride(), ws.packed[parity] + static_cast<size_t>(task) * ws.packed_elements,
          ws.bias[parity] + task * g.c_out, small, ws.scratch + static_cast<size_t>(task) * ws.scratch_bytes);
    }
  });
  // Partial sums in task order, in oneDNN's layout, then one change of layout.
  for (int parity = 0; parity < cut.parities; ++parity) {
    float* sum = ws.packed[parity];
    const int64_t elements = static_cast<int64_t>(cut.convolution(parity).weight_bytes() / sizeof(float));
    parallel_chunks(elements, kElementGrain, [&](int64_t begin, int64_t end) {
      for (int64_t task = 1; task < cut.tasks; ++task) {
        const float* part = sum + static_cast<size_t>(task) * ws.packed_elements;
        for (int64_t i = begin; i < end; ++i) sum[i] += part[i];
      }
    });
    float* to =
        cut.method == Method::four_parities ? ws.parity_weight + parity * cut.kernel_elements() : floats(dweight);
    cut.convolution(parity).unpack_weight(sum, to);
  }
  if (cut.method == Method::four_parities) unfold_weight(cut, ws.parity_weight, floats(dweight));
  if (!dbias) return;
  for (int64_t o = 0; o < g.c_out; ++o) {
    float sum = 0;
    for (int parity = 0; parity < cut.parities; ++parity) {
      for (int64_t task = 0; task < cut.tasks; ++task) sum += ws.bias[parity][task * g.c_out + o];
    }
    floats(dbias)[o] = sum;
  }
}

}  // namespace poise::cpu
