// Convolution of f32 and bf16 with oneDNN, bit for bit the same for any number of threads.
//
// A layer is cut into tasks of whole images. Their number depends on the geometry alone, and each task is a oneDNN
// primitive on one thread. Forward and input gradient write disjoint images; the weight gradient writes one partial sum
// per task, and these are added up in task order. Only some tasks run at a time, so the memory for their sums and for
// oneDNN's scratch grows with the threads, not with the batch.
//
// A 3x3 convolution of a 2x upsampled image, or one whose output is pooled, becomes a convolution of stride 2 between
// the small image and window sums of the large one (window_sums.h). With upsampling, it is used in reverse: our forward
// pass is its input gradient, our input gradient is its forward pass, and the taps are flipped. A 1x1 convolution
// commutes with upsampling: one multiply-add instead of four. A 3x3 convolution to few channels, or the input gradient
// of one from few channels, becomes a product with more channels, and sums (tap_channels.h).
//
// Where oneDNN has no bf16 for the processor, bf16 is computed as f32, on copies.
#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/core/widened.h"
#include "kernels/dense/conv2d/onednn_convolution.h"
#include "kernels/dense/conv2d/tap_channels.h"
#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/dense/conv2d/window_sums.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

constexpr float kMean = 0.25f;  // the mean of a window is this times its sum

enum class Method : uint8_t { plain, enlarge_output, windows, tap_channels };

// How one pass of one layer is cut into tasks.
struct Cut {
  Conv2dGeometry geometry;  // of the layer
  Method method;
  int64_t images, tasks;  // images per task, number of tasks
  ConvolutionKey key;     // of one task. With Method::windows, its x is the window sums

  Cut(const Conv2dGeometry& g, DType dtype, Pass pass) : geometry(g), method(method_of(g, pass)) {
    require(g.enlargement_allowed(), "upsampling is only supported for 1x1 and 3x3 convolutions that keep the size");
    const bool plain = method == Method::plain;
    key = {.pass = pass,
           .dtype = dtype,
           .h = g.h,
           .w = g.w,
           .c_in = g.c_in,
           .out_h = plain ? g.out_h() : g.h,
           .out_w = plain ? g.out_w() : g.w,
           .c_out = g.c_out,
           .kh = g.kh,
           .kw = g.kw,
           .stride_h = g.stride_h,
           .stride_w = g.stride_w,
           .pad_h = g.pad_h,
           .pad_w = g.pad_w,
           .bias = pass != Pass::backward_input};
    if (method == Method::windows) read_windows();
    if (method == Method::tap_channels) {
      (pass == Pass::backward_input ? key.c_in : key.c_out) *= kTaps;
      key.kh = key.kw = 1;
      key.pad_h = key.pad_w = 0;
      key.bias = false;
      key.f32_x = pass == Pass::backward_input, key.f32_y = pass == Pass::forward;  // summands stay in f32
    }
    // Enough tasks for a handful of cores; in the weight gradient, only as many as are worth their partial sums.
    int64_t wanted = 8;
    if (pass == Pass::backward_weight) wanted = std::clamp<int64_t>(g.n * key.out_h * key.out_w / 1024, 2, 8);
    images = 1;
    while (g.n % images != 0 || g.n / images > wanted) ++images;
    if (images == g.n) images = 1;  // a large prime: many small tasks are better than a single one
    tasks = g.n / images;
    key.n = images;
  }

  static Method method_of(const Conv2dGeometry& g, Pass pass) {
    if (g.pools_sums() || (g.upsample == 2 && g.keeps_size(3))) return Method::windows;
    if (g.upsample == 2 && g.keeps_size(1)) return Method::enlarge_output;
    const bool of_input = pass == Pass::backward_input;
    const int64_t few = of_input ? g.c_in : g.c_out, many = of_input ? g.c_out : g.c_in;
    const bool pays = few <= kFewChannels && kTaps * few <= many;  // the summands take memory, too
    return g.keeps_size(3) && g.pool == 1 && pays ? Method::tap_channels : Method::plain;
  }

  const OnednnConvolution& convolution() const { return OnednnConvolution::of(key); }
  int64_t x_stride() const { return geometry.h * geometry.w * geometry.c_in; }  // elements per image
  int64_t y_stride() const { return geometry.out_h() * geometry.out_w() * geometry.c_out; }
  int64_t small_y_stride() const { return geometry.h * geometry.w * geometry.c_out; }
  bool enlarges() const { return method == Method::windows && geometry.upsample == 2; }
  bool pools() const { return method == Method::windows && geometry.pool == 2; }
  int64_t weight_elements() const { return geometry.weight_shape().elements(); }
  // The elements of a task's window sums or tap channels.
  int64_t window_elements() const {
    if (method != Method::windows && method != Method::tap_channels) return 0;
    const bool of_x = method == Method::windows || key.pass == Pass::backward_input;
    return images * key.h * key.w * (of_x ? key.c_in : key.c_out);
  }
  // What the convolution writes there is f32, because it is summed up afterwards.
  size_t window_bytes() const {
    return key.pass == Pass::backward_input || key.f32_y ? sizeof(float) : size_of(key.dtype);
  }

 private:
  void read_windows() {
    const bool enlarge = enlarges();
    key.out_h = enlarge ? geometry.h : geometry.out_h(), key.out_w = enlarge ? geometry.w : geometry.out_w();
    key.h = 2 * key.out_h + 1, key.w = 2 * key.out_w + 1;
    key.stride_h = key.stride_w = 2;
    key.pad_h = key.pad_w = 0;
    if (enlarge) {
      if (key.pass != Pass::backward_weight) {
        key.pass = key.pass == Pass::forward ? Pass::backward_input : Pass::forward;
      }
      std::swap(key.c_in, key.c_out);
      key.bias = false;  // it would belong to our x
      key.transposed = true;
    }
    key.f32_x = key.pass == Pass::backward_input;
  }
};

// T: the type of x and y.
template <class T>
struct Workspace {
  int64_t at_once;            // number of tasks whose scratch and partial sums fit at the same time
  char* packed = nullptr;     // weights in oneDNN's layout; for the weight gradient: sums in f32, see sum_of()
  size_t packed_bytes = 0;    // of one of them
  float* bias = nullptr;      // weight gradient: [task][C_out] partial sums; forward: zeros, if there is no bias
  T* flipped = nullptr;       // with upsampling: the flipped weights
  float* dflipped = nullptr;  // with upsampling: the gradient of the flipped weights
  char* windows = nullptr;    // [at_once] window sums of a task's images, or their tap channels
  size_t windows_bytes = 0;   // of one of them
  T* small_y = nullptr;       // enlarge_output: the small output or its gradient, [N,H,W,C_out]
  char* scratch = nullptr;    // [at_once][scratch_bytes]
  size_t scratch_bytes = 0;
  size_t bytes = 0;

  Workspace(const Cut& cut, Pass pass, int64_t tasks_at_once, void* base)
      : at_once(std::min(cut.tasks, tasks_at_once)) {
    WorkspaceLayout layout(base);
    const bool gradient = pass == Pass::backward_weight;
    windows_bytes = align_up(static_cast<size_t>(cut.window_elements()) * cut.window_bytes());
    if (!gradient && windows_bytes + cut.convolution().scratch_bytes() == 0) at_once = cut.tasks;
    const auto tasks = static_cast<size_t>(cut.tasks), slots = static_cast<size_t>(at_once + (at_once < cut.tasks));
    const auto channels = static_cast<size_t>(cut.geometry.c_out);
    packed_bytes = align_up(cut.convolution().weight_bytes());
    scratch_bytes = align_up(cut.convolution().scratch_bytes());
    packed = layout.carve<char>((gradient ? slots : 1) * packed_bytes);
    if (pass != Pass::backward_input) bias = layout.carve<float>((gradient ? tasks : 1) * channels);
    const auto weights = static_cast<size_t>(cut.weight_elements());
    if (cut.enlarges() && gradient) dflipped = layout.carve<float>(weights);
    if (cut.enlarges() && !gradient) flipped = layout.carve<T>(weights);
    windows = layout.carve<char>(static_cast<size_t>(at_once) * windows_bytes);
    if (cut.method == Method::enlarge_output) {
      small_y = layout.carve<T>(static_cast<size_t>(cut.geometry.n * cut.small_y_stride()));
    }
    scratch = layout.carve<char>(static_cast<size_t>(at_once) * scratch_bytes);
    bytes = layout.bytes();
  }
  // The partial sum of a task of the weight gradient. All are added to that of task 0, which keeps the first slot, so
  // all rounds but the first begin with the second slot.
  float* sum_of(int64_t task) const {
    const int64_t slot = task % at_once + (task >= at_once);
    return reinterpret_cast<float*>(packed + static_cast<size_t>(slot) * packed_bytes);
  }
  // Fits into memory that may have been planned for fewer threads than there are now.
  static Workspace within(const Cut& cut, Pass pass, const Tensor& memory) {
    int64_t at_once = cut.tasks;
    while (at_once > 1 && Workspace(cut, pass, at_once, nullptr).bytes > memory.size_bytes()) --at_once;
    return Workspace(cut, pass, at_once, memory.bytes);
  }
  template <class W>
  ImageRows<W> windows_of(const Cut& cut, int64_t task) const {
    return {cut.key.h, cut.key.w, reinterpret_cast<W*>(windows + static_cast<size_t>(task % at_once) * windows_bytes)};
  }
  char* scratch_of(int64_t task) const { return scratch + static_cast<size_t>(task % at_once) * scratch_bytes; }
  // Calls run(task) for the next at_once tasks in parallel, then done(first, last), until no tasks are left.
  template <class Run, class Done = void (*)(int64_t, int64_t)>
  void in_turns(
      int64_t tasks, const Run& run, const Done& done = [](int64_t, int64_t) {}) const {
    for (int64_t first = 0; first < tasks; first += at_once) {
      const int64_t last = std::min(first + at_once, tasks);
      parallel_for(last - first, [&](int64_t i) { run(first + i); });
      done(first, last);
    }
  }
};

// Calls f(the C channels of a pixel of the small image, their first copy in the large one) for the images of a task.
template <class T, class F>
void for_each_copied(const Conv2dGeometry& g, int64_t images, T* small, T* large, const F& f) {
  const int64_t c = g.c_out;
  for (int64_t row = 0; row < images * g.h; ++row) {
    for (int64_t q = 0; q < g.w; ++q) f(small + (row * g.w + q) * c, large + (row * 4 * g.w + 2 * q) * c);
  }
}

// enlarge copies each small output to its four large ones; collect is the transpose, the sum of the four.
template <class T>
void enlarge(const Conv2dGeometry& g, int64_t images, T* small, T* large) {
  const int64_t c = g.c_out, line = 2 * g.w * c;
  for_each_copied(g, images, small, large, [=](const T* from, T* to) {
    for (const int64_t at : {int64_t{0}, c, line, line + c}) std::copy_n(from, c, to + at);
  });
}
template <class T>
void collect(const Conv2dGeometry& g, int64_t images, T* small, T* large) {
  const int64_t c = g.c_out, line = 2 * g.w * c;
  simd([=](int64_t count) {
    for_each_copied(g, count, small, large, [=](T* to, const T* from) {
#pragma GCC ivdep
      for (int64_t i = 0; i < c; ++i) {
        to[i] = stored<T>(computed(from[i]) + computed(from[c + i]) + computed(from[line + i]) +
                          computed(from[line + c + i]));
      }
    });
  })(images);
}

// Rotates each kernel of a weight [C_out,3,3,C_in] by 180 degrees.
template <class T>
void flip_taps(int64_t c_out, int64_t c_in, const T* from, T* to) {
  parallel_for(c_out, [=](int64_t o) {
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      std::copy_n(from + (o * kTaps + tap) * c_in, c_in, to + (o * kTaps + kTaps - 1 - tap) * c_in);
    }
  });
}

// Converts our weight to oneDNN's layout, once per pass.
template <class T>
void pack(const Cut& cut, const Tensor& weight, const Workspace<T>& ws) {
  const T* from = weight.data<T>();
  if (cut.enlarges()) {
    flip_taps(cut.geometry.c_out, cut.geometry.c_in, from, ws.flipped);
    from = ws.flipped;
  }
  cut.convolution().pack_weight(from, ws.packed);
}

// Adds the bias, unless null, and applies the ReLU, in place while the task's output is still in the cache. This does
// not use oneDNN's ReLU, because that turns NaN into 0.
template <class T>
void finish(const float* bias, bool relu, int64_t channels, int64_t pixels, T* y) {
  if (!bias && !relu) return;
  const auto lowest = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  simd([=](int64_t count) {
    for (int64_t pixel = 0; pixel < count; ++pixel) {
      T* at = y + pixel * channels;
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) {
        const float value = computed(at[c]) + (bias ? bias[c] : 0.0f);
        at[c] = stored<T>(value < lowest ? lowest : value);
      }
    }
  })(pixels);
}

// sums[c] = sum over pixels of dy[pixel][c].
template <class T>
void sum_pixels(const T* dy, int64_t channels, int64_t pixels, float* sums) {
  simd([=](int64_t count) {
    std::fill_n(sums, channels, 0.0f);
    for (int64_t pixel = 0; pixel < count; ++pixel) {
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) sums[c] += computed(dy[pixel * channels + c]);
    }
  })(pixels);
}

template <class T>
void forward(Context& ctx, const Conv2dGeometry& g, const LayerInput& in, const Tensor& weight, const Tensor& bias,
             const Tensor& workspace, Tensor& y) {
  const Tensor& x = in.normalisation ? in.written : in.x;
  const Cut cut(g, x.dtype, Pass::forward);
  const auto ws = Workspace<T>::within(cut, Pass::forward, workspace);
  pack(cut, weight, ws);
  if (!bias) std::fill_n(ws.bias, g.c_out, 0.0f);
  float* const added = bias ? bias.data<float>() : ws.bias;
  T *const xs = x.data<T>(), *const ys = y.data<T>();
  ws.in_turns(cut.tasks, [&](int64_t task) {
    const int64_t first = task * cut.images, pixels = cut.images * g.out_h() * g.out_w();
    T *from = xs + first * cut.x_stride(), *to = ys + first * cut.y_stride();
    char* scratch = ws.scratch_of(task);
    if (in.normalisation) {  // the cache then holds these images
      Tensor normal = x.slice(first, cut.images);
      batch_norm_normalise(ctx, in.normalisation, in.x.slice(first, cut.images), normal);
    }
    if (cut.enlarges()) {
      const auto windows = ws.template windows_of<float>(cut, task);
      cut.convolution().run(windows.data, ws.packed, nullptr, from, scratch);
      sum_windows<T>(cut.images, g.c_out, 0, 1, windows, {g.out_h(), g.out_w(), to});
      return finish(bias ? added : nullptr, g.relu, g.c_out, pixels, to);
    }
    if (cut.pools()) {
      const auto windows = ws.template windows_of<T>(cut, task);
      sum_windows<T>(cut.images, g.c_in, 1, kMean, ImageRows<T>{g.h, g.w, from}, windows);
      return cut.convolution().run(windows.data, ws.packed, added, to, scratch);
    }
    if (cut.method == Method::tap_channels) {
      float* const z = ws.template windows_of<float>(cut, task).data;
      cut.convolution().run(from, ws.packed, nullptr, z, scratch);
      sum_taps(TapOrder::outputs(), cut.images, g.h, g.w, g.c_out, z, to);
      return finish(bias ? added : nullptr, g.relu, g.c_out, pixels, to);
    }
    const bool repeats = cut.method == Method::enlarge_output;
    T* small = repeats ? ws.small_y + first * cut.small_y_stride() : to;
    cut.convolution().run(from, ws.packed, added, small, scratch);
    if (repeats) enlarge(g, cut.images, small, to);
    finish(nullptr, g.relu, g.c_out, pixels, to);
  });
}

template <class T>
void backward_input(const Conv2dGeometry& g, const Tensor& dy, const Tensor& weight, const Tensor& workspace,
                    Tensor& dx) {
  const Cut cut(g, dy.dtype, Pass::backward_input);
  const auto ws = Workspace<T>::within(cut, Pass::backward_input, workspace);
  pack(cut, weight, ws);
  T *const dys = dy.data<T>(), *const dxs = dx.data<T>();
  ws.in_turns(cut.tasks, [&](int64_t task) {
    const int64_t first = task * cut.images;
    T *from = dys + first * cut.y_stride(), *to = dxs + first * cut.x_stride();
    char* scratch = ws.scratch_of(task);
    if (cut.enlarges()) {
      const auto windows = ws.template windows_of<T>(cut, task);
      sum_windows<T>(cut.images, g.c_out, 1, 1, ImageRows<T>{g.out_h(), g.out_w(), from}, windows);
      return cut.convolution().run(windows.data, ws.packed, nullptr, to, scratch);
    }
    if (cut.pools()) {
      const auto windows = ws.template windows_of<float>(cut, task);
      cut.convolution().run(windows.data, ws.packed, nullptr, from, scratch);
      return sum_windows<T>(cut.images, g.c_in, 0, kMean, windows, {g.h, g.w, to});
    }
    if (cut.method == Method::tap_channels) {
      float* const z = ws.template windows_of<float>(cut, task).data;
      cut.convolution().run(z, ws.packed, nullptr, from, scratch);
      return sum_taps(TapOrder::inputs(g.c_in), cut.images, g.h, g.w, g.c_in, z, to);
    }
    if (cut.method == Method::enlarge_output) {
      T* small = ws.small_y + first * cut.small_y_stride();
      collect(g, cut.images, small, from);
      from = small;
    }
    cut.convolution().run(to, ws.packed, nullptr, from, scratch);
  });
}

// sums += the partial sums of the tasks [first, last), in their order; all in oneDNN's layout.
template <class T>
void add_partial_sums(const Workspace<T>& ws, int64_t first, int64_t last, int64_t elements, float* sums) {
  if (first == last) return;
  const float* const parts = ws.sum_of(first);
  const auto stride = static_cast<int64_t>(ws.packed_bytes / sizeof(float));
  simd_chunks(elements, kElementGrain, [=, tasks = last - first](int64_t begin, int64_t end) {
    for (int64_t task = 0; task < tasks; ++task) {
      const float* part = parts + task * stride;
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) sums[i] += part[i];
    }
  });
}

template <class T>
void backward_weight(const Conv2dGeometry& g, const Tensor& x, const Tensor& dy, const Tensor& workspace,
                     Tensor& dweight, Tensor& dbias) {
  const Cut cut(g, x.dtype, Pass::backward_weight);
  const auto ws = Workspace<T>::within(cut, Pass::backward_weight, workspace);
  T *const xs = x.data<T>(), *const dys = dy.data<T>();
  const auto elements = static_cast<int64_t>(cut.convolution().weight_bytes() / sizeof(float));
  float* const sum = ws.sum_of(0);
  const auto add_sums = [&](int64_t first, int64_t last) {
    add_partial_sums(ws, std::max<int64_t>(first, 1), last, elements, sum);
  };
  const auto sum_images = [&](int64_t task) {
    const int64_t first = task * cut.images, pixels = cut.images * g.out_h() * g.out_w();
    T *of_x = xs + first * cut.x_stride(), *of_y = dys + first * cut.y_stride();
    float* bias_sums = ws.bias + task * g.c_out;
    float* sums = ws.sum_of(task);
    char* scratch = ws.scratch_of(task);
    if (cut.method == Method::windows) {
      const auto windows = ws.template windows_of<T>(cut, task);
      const ImageRows<T> large = cut.pools() ? ImageRows<T>{g.h, g.w, of_x} : ImageRows<T>{g.out_h(), g.out_w(), of_y};
      sum_windows<T>(cut.images, cut.key.c_in, 1, cut.pools() ? kMean : 1, large, windows);
      if (cut.pools()) return cut.convolution().run(windows.data, sums, bias_sums, of_y, scratch);
      if (dbias) sum_pixels(of_y, g.c_out, pixels, bias_sums);
      return cut.convolution().run(windows.data, sums, nullptr, of_x, scratch);
    }
    if (cut.method == Method::tap_channels) {
      T* const dz = ws.template windows_of<T>(cut, task).data;
      spread_taps(cut.images, g.h, g.w, g.c_out, of_y, dz);
      if (dbias) sum_pixels(of_y, g.c_out, pixels, bias_sums);
      return cut.convolution().run(of_x, sums, nullptr, dz, scratch);
    }
    if (cut.method == Method::enlarge_output) {
      T* small = ws.small_y + first * cut.small_y_stride();
      collect(g, cut.images, small, of_y);
      of_y = small;
    }
    cut.convolution().run(of_x, sums, bias_sums, of_y, scratch);
  };
  ws.in_turns(cut.tasks, sum_images, add_sums);
  cut.convolution().unpack_weight(sum, cut.enlarges() ? ws.dflipped : dweight.data<float>());
  if (cut.enlarges()) flip_taps(g.c_out, g.c_in, ws.dflipped, dweight.data<float>());
  if (!dbias) return;
  for (int64_t o = 0; o < g.c_out; ++o) {
    float total = 0;
    for (int64_t task = 0; task < cut.tasks; ++task) total += ws.bias[task * g.c_out + o];
    dbias.data<float>()[o] = total;
  }
}

bool as_f32(DType dtype) { return dtype == DType::bf16 && !OnednnConvolution::has_bf16(); }

}  // namespace

Conv2dPlan conv2d_plan_onednn(const Context& ctx, const Conv2dGeometry& g, DType dtype, Pass pass) {
  if (dtype == DType::f64) return conv2d_plan(ctx, g, dtype, pass);
  if (as_f32(dtype)) {
    Conv2dPlan plan = conv2d_plan_onednn(ctx, g, DType::f32, pass);
    plan.workspace_bytes += widened_bytes({g.x_shape(), g.weight_shape(), g.y_shape()});
    return plan;
  }
  const Cut cut(g, dtype, pass);
  const bool fewer = cut.method == Method::windows || cut.method == Method::enlarge_output;
  const double share = fewer ? 1.0 / kParities : 1.0;
  const int64_t at_once = 2 * thread_count();  // so that a thread on a busy core does not hold up the others
  const size_t bytes = dtype == DType::bf16 ? Workspace<bf16>(cut, pass, at_once, nullptr).bytes
                                            : Workspace<float>(cut, pass, at_once, nullptr).bytes;
  return {.workspace_bytes = bytes, .executed_macs = g.macs() * share};
}

bool conv2d_normalises_onednn(const Context&, DType dtype) { return dtype != DType::f64 && !as_f32(dtype); }

void conv2d_forward_onednn(Context& ctx, const Conv2dGeometry& g, const LayerInput& in, const Tensor& weight,
                           const Tensor& bias, const Tensor& rectified, Tensor& workspace, Tensor& y) {
  const DType dtype = in.x.dtype;
  if (dtype == DType::f64) return conv2d_forward(ctx, g, in, weight, bias, rectified, workspace, y);
  require(!rectified, kDoesNotFinish);
  if (as_f32(dtype)) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(read_directly(in)), wide_weight = wide.in(weight);
    Tensor wide_y = wide.out(y), rest = wide.rest();
    forward<float>(ctx, g, wide_x, wide_weight, bias, rest, wide_y);
    return wide.finish();
  }
  (dtype == DType::bf16 ? forward<bf16> : forward<float>)(ctx, g, in, weight, bias, workspace, y);
}

void conv2d_backward_input_onednn(Context& ctx, const Conv2dGeometry& g, const Tensor& dy, const Tensor& weight,
                                  const Tensor& rectified, Tensor& workspace, Tensor& dx) {
  if (dy.dtype == DType::f64) return conv2d_backward_input(ctx, g, dy, weight, rectified, workspace, dx);
  require(!rectified, kDoesNotFinish);
  if (as_f32(dy.dtype)) {
    Widened wide(ctx, workspace);
    const Tensor wide_dy = wide.in(dy), wide_weight = wide.in(weight);
    Tensor wide_dx = wide.out(dx), rest = wide.rest();
    backward_input<float>(g, wide_dy, wide_weight, rest, wide_dx);
    return wide.finish();
  }
  (dy.dtype == DType::bf16 ? backward_input<bf16> : backward_input<float>)(g, dy, weight, workspace, dx);
}

void conv2d_backward_weight_onednn(Context& ctx, const Conv2dGeometry& g, const Tensor& x, const Tensor& dy,
                                   Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  if (x.dtype == DType::f64) return conv2d_backward_weight(ctx, g, x, dy, workspace, dweight, dbias);
  if (as_f32(x.dtype)) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(x), wide_dy = wide.in(dy), rest = wide.rest();
    return backward_weight<float>(g, wide_x, wide_dy, rest, dweight, dbias);
  }
  (x.dtype == DType::bf16 ? backward_weight<bf16> : backward_weight<float>)(g, x, dy, workspace, dweight, dbias);
}

}  // namespace poise::cpu
