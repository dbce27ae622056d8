// Block-sparse convolution through the vendor's library: the steps before and after its products. All kernels here
// stream over memory once, one thread per element or 16 bytes of the result:
//
//   pack_blocks      values of alive blocks from the dense weight, 2 x 4 x alive bytes; transposed reads are strided
//   gather_pixels    u or v: taps * pixels * C elements written, read from a tensor that is `taps` times smaller
//   unpack_blocks    the dense gradient, zero where dead
#include "kernels/sparse/cusparse/cusparse_conv2d.h"

#include <algorithm>

#include "kernels/core/workspace_layout.h"
#include "kernels/gpu/blocks_2x2.cuh"
#include "kernels/gpu/column_sums.h"
#include "kernels/gpu/sparse.h"
#include "kernels/table.h"

namespace poise::POISE_GPU {
namespace {

// The index of the first of `count` ascending numbers at `from` that is not below `wanted`; count if there is none.
__device__ inline int lower_bound(const int32_t* from, int count, int32_t wanted) {
  int begin = 0, end = count;
  while (begin < end) {
    const int middle = (begin + end) / 2;
    (from[middle] < wanted ? begin : end) = from[middle] < wanted ? middle + 1 : middle;
  }
  return begin;
}

// The block lists of a weight [C_out][taps][C_in], by rows of blocks of w, or of w' if `transposed`.
struct Blocks {
  int block, rows, columns_per_tap, taps;
  bool transposed;
  const int32_t *offsets, *columns;
};

template <class T>
__global__ void pack_blocks_kernel(const __grid_constant__ Blocks b, int64_t elements, const T* weight, T* values) {
  const int size = b.block * b.block, c_in = b.block * (b.transposed ? b.rows : b.columns_per_tap);
  for_each_element(elements, [&](int64_t e) {
    const int slot = static_cast<int>(e / size), i = static_cast<int>(e % size) / b.block;
    const int row = lower_bound(b.offsets + 1, b.rows, slot + 1), column = b.columns[slot];
    const int target = row * b.block + i, tap = column / b.columns_per_tap;
    const int source = column % b.columns_per_tap * b.block + static_cast<int>(e % b.block);
    const int out = b.transposed ? source : target, in = b.transposed ? target : source;
    values[e] = weight[(int64_t{out} * b.taps + tap) * c_in + in];
  });
}

// `elements`: the size of dweight [C_out][taps][C_in].
__global__ void unpack_blocks_kernel(const __grid_constant__ Blocks b, int64_t elements, const float* values,
                                     float* dweight) {
  const int c_in = b.block * b.columns_per_tap, row_elements = b.taps * c_in;
  for_each_element(elements, [&](int64_t e) {
    const int out = static_cast<int>(e / row_elements), k = static_cast<int>(e % row_elements);
    const int row = out / b.block, column = k / b.block, first = b.offsets[row], count = b.offsets[row + 1] - first;
    const int place = lower_bound(b.columns + first, count, column);
    const bool alive = place < count && b.columns[first + place] == column;
    dweight[e] = alive ? values[(int64_t{first + place} * b.block + out % b.block) * b.block + k % b.block] : 0.0f;
  });
}

// to[n,p,q, r,s, c] = from[n, (p + sign (r-1)) / scale, (q + sign (s-1)) / scale, c], zero outside; h and w are those
// of `to`. 3x3.
template <class T, int N>
__global__ void gather_pixels_kernel(int64_t vectors, int h, int w, int c, int sign, int scale, const T* from, T* to) {
  constexpr int kTaps = 9;
  const int per_tap = c / N;
  for_each_element(vectors, [&](int64_t v) {
    const int channel = static_cast<int>(v % per_tap) * N, tap = static_cast<int>(v / per_tap % kTaps);
    const auto pixel = static_cast<int>(v / per_tap / kTaps);
    const int p = pixel / w % h + sign * (tap / 3 - 1), q = pixel % w + sign * (tap % 3 - 1);
    Vector<T, N> value{};
    if (p >= 0 && p < h && q >= 0 && q < w) {
      const int64_t row = int64_t{pixel / w / h} * (h / scale) + p / scale;
      value = load_vector<N>(from + (row * (w / scale) + q / scale) * c + channel);
    }
    store_vector(to + v * N, value);
  });
}

// One pass of one layer: the matrix of blocks, and the pieces of the workspace. Each product has `products` rows.
struct Job {
  Conv2dGeometry g;
  BlockIndex index;
  DType dtype;
  Pass pass;
  bool gathers;  // 3x3
  bool repeats;  // 1x1 of an enlarged image: computed on the small one
  int64_t images, products;
  gpu::BlockSparse blocks;
  Tensor library, gathered, small;
  float* bias_partial;
  size_t workspace_bytes;

  Job(Context ctx, const Conv2dGeometry& geometry, const BlockIndex& alive, DType type, Pass which, void* workspace)
      : g(geometry), index(alive), dtype(type), pass(which), gathers(g.kh == 3), repeats(!gathers && g.upsample == 2) {
    require(block_conv2d_serves(g, index.block),
            "unsupported convolution: the execution switch does not choose this path for it");
    const bool input = pass == Pass::backward_input, gradient = pass == Pass::backward_weight;
    const int64_t rows = input ? g.c_in : g.c_out, cols = g.kh * g.kw * (input ? g.c_out : g.c_in);
    const int64_t pixels = repeats ? g.h * g.w : g.out_h() * g.out_w();
    images = g.n;
    if (gathers) {
      constexpr int64_t kGatheredBytes = int64_t{128} << 20;
      const int64_t image_bytes = pixels * cols * static_cast<int64_t>(size_of(dtype));
      images = ctx.gemm.splits > 0 ? ceil_div<int64_t>(g.n, ctx.gemm.splits) : kGatheredBytes / image_bytes;
      images = std::clamp(images, int64_t{1}, g.n);
    }
    products = images * pixels;
    if (products * std::max(rows, cols) >= int64_t{1} << 31) {
      fail(ErrorKind::runtime, "conv2d through cuSPARSE expects matrices of fewer than 2^31 elements but got " +
                                   Shape{products, std::max(rows, cols)}.to_string() + "; use execution = auto");
    }
    const auto tensor = [&](const Shape& shape, DType of) {
      return Tensor{.bytes = nullptr, .shape = shape, .dtype = of, .device = ctx.device};
    };
    blocks = {.rows = rows,
              .cols = cols,
              .block = index.block,
              .row_offsets = input ? index.in_offsets : index.row_offsets,
              .columns = input ? index.out_of_block : index.col_of_block,
              .values = tensor({index.capacity(), index.block, index.block}, gradient ? DType::f32 : dtype)};
    const gpu::SparseProducts& sparse = gpu::sparse_products(ctx.device);
    const Tensor from = tensor({products, cols}, dtype), to = tensor({products, rows}, dtype);
    const size_t bytes =
        gradient ? sparse.sddmm_workspace(ctx, to, from, blocks) : sparse.spmm_workspace(ctx, blocks, from, to);
    library = tensor({static_cast<int64_t>(bytes)}, DType::u8);
    gathered = tensor({gathers ? products : 0, cols}, dtype);
    // y or dy without repeats; or dx of the enlarged image, before it is added up over repeats.
    const int64_t small_channels = repeats ? g.c_out : input && gathers && g.upsample == 2 ? g.c_in : 0;
    small = tensor({images, repeats ? g.h : g.out_h(), repeats ? g.w : g.out_w(), small_channels}, dtype);

    // The layout depends on the capacity alone, not on which blocks are alive.
    WorkspaceLayout layout(workspace);
    for (Tensor* t : {&blocks.values, &library, &gathered, &small}) t->bytes = layout.carve<char>(t->size_bytes());
    bias_partial =
        layout.carve<float>(gradient ? static_cast<size_t>(column_sum_ranges(g.y_shape().rows()) * g.c_out) : 0);
    workspace_bytes = layout.bytes();
    blocks.values.shape[0] = index.alive;
    blocks.columns.shape = {index.alive};
  }

  double macs() const {
    const int64_t pixels = repeats ? g.n * g.h * g.w : g.n * g.out_h() * g.out_w();
    return static_cast<double>(index.alive * index.block * index.block) * static_cast<double>(pixels);
  }
  Blocks lists() const {
    const bool transposed = pass == Pass::backward_input;
    return {.block = static_cast<int>(index.block),
            .rows = static_cast<int>(transposed ? index.in_blocks : index.out_blocks),
            .columns_per_tap = static_cast<int>(transposed ? index.out_blocks : index.in_blocks),
            .taps = static_cast<int>(index.taps),
            .transposed = transposed,
            .offsets = blocks.row_offsets.data<int32_t>(),
            .columns = blocks.columns.data<int32_t>()};
  }
  void pack(Context& ctx, const Tensor& weight) {
    dispatch_stored(dtype, [&]<class T>() {
      launch(ctx, elementwise(blocks.values.elements()), pack_blocks_kernel<T>, lists(), blocks.values.elements(),
             weight.data<T>(), blocks.values.data<T>());
    });
  }
  // The rows that the products read, for some images of x or dy.
  Tensor source(Context& ctx, const Tensor& from) {
    if (!gathers) return from.reshaped({from.elements() / blocks.cols, blocks.cols});
    const int64_t channels = blocks.cols / 9;
    Tensor to = gathered.slice(0, from.shape[0] * g.out_h() * g.out_w());
    dispatch_stored(dtype, [&]<class T>() {
      dispatch_width<T>(channels, {&from, &to}, [&]<int N>() {
        const int64_t vectors = to.elements() / N;
        const bool input = pass == Pass::backward_input;
        launch(ctx, elementwise(vectors), gather_pixels_kernel<T, N>, vectors, static_cast<int>(g.out_h()),
               static_cast<int>(g.out_w()), static_cast<int>(channels), input ? -1 : 1,
               input ? 1 : static_cast<int>(g.upsample), from.data<T>(), to.data<T>());
      });
    });
    return to;
  }
  void multiply(Context& ctx, const Tensor& from, Tensor to) {
    to = to.reshaped({to.elements() / blocks.rows, blocks.rows});
    if (index.alive == 0) return ctx.kernels->fill(ctx, 0, to);
    gpu::sparse_products(ctx.device).spmm(ctx, blocks, source(ctx, from), library, to);
  }
  template <class F>
  void for_each_chunk(const F& f) const {
    for (int64_t first = 0; first < g.n; first += images) f(first, std::min(images, g.n - first));
  }
};

}  // namespace

Conv2dPlan cusparse_conv2d_plan(const Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, DType dtype,
                                Pass pass) {
  const Job job(ctx, g, index, dtype, pass, nullptr);
  return {.workspace_bytes = job.workspace_bytes, .executed_macs = job.macs()};
}

void cusparse_conv2d_forward(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in,
                             const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& out) {
  const Tensor& x = read_directly(in);
  Tensor y = written_alone(out);
  Job job(ctx, g, index, x.dtype, Pass::forward, workspace.bytes);
  job.pack(ctx, weight);
  Tensor& result = job.repeats ? job.small : y;
  job.for_each_chunk(
      [&](int64_t first, int64_t count) { job.multiply(ctx, x.slice(first, count), result.slice(first, count)); });
  if (bias) add_bias(ctx, bias, result);
  if (job.repeats) spread_blocks_2x2(ctx, 1.0, job.small, y);
}

void cusparse_conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const Tensor& dy,
                                    const Tensor& weight, Tensor& workspace, const InputGradient& out) {
  Tensor dx = written_alone(out);
  Job job(ctx, g, index, dy.dtype, Pass::backward_input, workspace.bytes);
  job.pack(ctx, weight);
  if (job.repeats) sum_blocks_2x2(ctx, 1.0, dy, job.small);
  const Tensor& gradient = job.repeats ? job.small : dy;
  job.for_each_chunk([&](int64_t first, int64_t count) {
    Tensor result = dx.slice(first, count);
    if (job.repeats || g.upsample == 1) return job.multiply(ctx, gradient.slice(first, count), result);
    const Tensor enlarged = job.small.slice(0, count);
    job.multiply(ctx, gradient.slice(first, count), enlarged);
    sum_blocks_2x2(ctx, 1.0, enlarged, result);
  });
}

void cusparse_conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index,
                                     const LayerInput& in, const Tensor& dy, Tensor& workspace, Tensor& dweight,
                                     Tensor& dbias) {
  const Tensor& x = read_directly(in);
  Job job(ctx, g, index, x.dtype, Pass::backward_weight, workspace.bytes);
  if (job.repeats) sum_blocks_2x2(ctx, 1.0, dy, job.small);
  const Tensor& gradient = job.repeats ? job.small : dy;
  job.for_each_chunk([&](int64_t first, int64_t count) {
    if (index.alive == 0) return;
    const Tensor part = gradient.slice(first, count);
    gpu::sparse_products(ctx.device)
        .sddmm(ctx, part.reshaped({part.elements() / g.c_out, g.c_out}), job.source(ctx, x.slice(first, count)),
               /*add=*/first > 0, job.library, job.blocks);
  });
  launch(ctx, elementwise(dweight.elements()), unpack_blocks_kernel, job.lists(), dweight.elements(),
         job.blocks.values.data<float>(), dweight.data<float>());
  if (dbias) column_sums(ctx, dy, job.bias_partial, dbias.data<float>());
}

}  // namespace poise::POISE_GPU
