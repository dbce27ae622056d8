// Block-sparse convolution on the CPU, vectorised, with the same bits for any number of threads. Sums are f32, and are
// rounded to bf16 when a tile is done. Products take f32, or pairs of bf16 if the machine has such instructions.
//
// Work is cut into lanes, whose number depends on the geometry alone. A lane walks its regions of pixels: it packs one
// (packed_image.h), then runs the inner loops of block_tiles.h over the alive blocks. Forward pass and input gradient
// write disjoint pixels; the weight gradient has one partial sum per lane, and these are added up in lane order.
//
// A convolution of an enlarged image works on the small image (upsample_fold.h): 3x3 as four 2x2 convolutions with
// summed taps (a sum is alive if one of its taps is), 1x1 with its output repeated.
//
// f64 is for gradient checks, and runs the plain dense loops, where dead weights are zeros.
#include "kernels/sparse/block/block_conv2d.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "kernels/core/simd.h"
#include "kernels/sparse/block/block_job.h"
#include "kernels/sparse/block/region_sums.h"
#include "kernels/table.h"

namespace poise {

bool block_conv2d_serves(const Conv2dGeometry& g, int64_t block) {
  return (g.keeps_size(1) || g.keeps_size(3)) && g.c_in % block == 0 && g.c_out % block == 0 &&
         block % kSparseBlock == 0;
}

namespace cpu {
namespace {

// Calls f(first row of the tile inside the region, out) for every tile of a region. out[k] points to pixel k in `y`
// under the placement, and is null outside the image.
template <class T, class F>
void for_each_tile(const Region& region, const Placement& placement, T* y, const F& f) {
  const Regions& all = region.all;
  for (int64_t row = 0; row < all.rows; row += tile_rows(all.shape)) {
    T* out[kTilePixels];
    for (int k = 0; k < kTilePixels; ++k) {
      const int64_t p = region.top + row + k / all.columns(), q = region.left + k % all.columns();
      out[k] = region.inside(p, q) ? y + placement.offset(region, p, q) : nullptr;
    }
    f(row, out);
  }
}

// The sums of one tile on their way to `out`. Kernels write f32 to sums()[k] + channel. If the output is f32, sums()[k]
// is out[k] itself; else it is in the lane's buffer [pixel][channels], which store() finishes and rounds.
template <class T>
class TileSums {
 public:
  template <class P>
  TileSums(const BlockWorkspace<P>& ws, int64_t lane, int64_t channels, T* const* out)
      : channels_(channels), out_(out) {
    if constexpr (std::is_same_v<T, bf16>) {
      for (int k = 0; k < kTilePixels; ++k) {
        sums_[k] = out[k] ? ws.tiles + lane * ws.tile + k * channels : nullptr;
      }
    }
  }
  float* const* sums() const {
    if constexpr (std::is_same_v<T, bf16>) {
      return sums_;
    } else {
      return out_;
    }
  }
  void store(Finish finish) const {
    if constexpr (std::is_same_v<T, bf16>) {
      dispatch_finish(finish, [&]<Finish kFinish>() {
        for (int k = 0; k < kTilePixels; ++k) {
          if (out_[k]) round<kFinish>(sums_[k], out_[k], channels_);
        }
      });
    }
  }

 private:
  template <Finish kFinish>
  static void round(const float* from, bf16* to, int64_t n) {
    simd([=](int64_t count) {
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) to[i] = to_bf16(finished<kFinish>(from[i], to_float(to[i])));
    })(n);
  }
  int64_t channels_;
  T* const* out_;
  float* sums_[kTilePixels];
};

// y = the finished means of 2x2 pixels of `sums`, the sums of a region, [rows][columns][C_out].
template <Finish kFinish, class T>
void pool_region(const Region& region, const Placement& placement, const float* sums, T* y) {
  const int64_t c = placement.channels, line = region.all.columns() * c;
  simd([=, &region](T* to) {
    for (int64_t row = 0; row < region.all.rows; row += 2) {
      for (int64_t column = 0; column < region.all.columns(); column += 2) {
        const int64_t p = region.top + row, q = region.left + column;
        if (!placement.has(region, p, q)) continue;
        const float *a = sums + row * line + column * c, *b = a + c, *d = a + line, *e = d + c;
        T* mean = to + placement.offset(region, p, q);
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) {
          mean[i] = stored<T>(finished<kFinish>(0.25f * ((a[i] + b[i]) + (d[i] + e[i])), computed(mean[i])));
        }
      }
    }
  })(y);
}

// Calls f(region, lane) for all regions of the job: lanes in parallel, the regions of each lane in order.
template <class F>
void for_each_region(const BlockJob& job, const F& f) {
  parallel_for(job.lanes, [&](int64_t lane) {
    for (int64_t r = job.lane_begin(lane); r < job.lane_begin(lane + 1); ++r) f(Region(job.regions, r), lane);
  });
}

// Channel o of a pixel, or its sum over the two pixels of a pair.
float pixel_sum(const float* pixel, int o) { return pixel[o]; }
float pixel_sum(const bf16* pair, int o) {
  uint32_t both;  // loads of single halves would not be vectorised
  std::memcpy(&both, pair + 2 * o, sizeof both);
  return std::bit_cast<float>(both << 16) + std::bit_cast<float>(both & 0xffff0000u);
}

// db[c] += the sum of dy over the pixels of a packed region, plain or in pairs.
template <class P>
void add_bias_gradient(const BlockJob& job, const PackedLayout& layout, const P* dy_image, float* db) {
  simd([=, &job, &layout] {
    for (int64_t block = 0; block < job.planes * job.out_blocks; ++block) {
      const P* from = dy_image + block * layout.block;
      constexpr int kChains = 4;  // independent chains of additions
      constexpr int64_t kStep = kPixels<P> * kBlock;
      float sums[kChains][kBlock] = {};
      for (int64_t at = 0; at < job.regions.dense_block(); at += kChains * kStep) {
        for (int chain = 0; chain < kChains; ++chain) {
          for (int o = 0; o < kBlock; ++o) sums[chain][o] += pixel_sum(from + at + chain * kStep, o);
        }
      }
      float* to = db + block % job.out_blocks * kBlock;
      for (int o = 0; o < kBlock; ++o) to[o] += (sums[0][o] + sums[1][o]) + (sums[2][o] + sums[3][o]);
    }
  })();
}

// Whether kernels write a tile's results directly to their final place. For bf16 they write f32 sums to a buffer.
template <class T>
constexpr bool kInPlace = std::is_same_v<T, float>;
template <class T>
constexpr Finish in_place(Finish finish) {
  return kInPlace<T> ? finish : Finish::store;
}

// Calls compute(block) for all channel blocks of a tile, and written(block) once its results are in place.
template <class T, class Compute, class Written>
void compute_tile(const TileSums<T>& tile, int64_t blocks, Finish finish, const Compute& compute,
                  const Written& written) {
  for (int64_t block = 0; block < blocks; ++block) {
    compute(block);
    if (kInPlace<T>) written(block);
  }
  tile.store(finish);
  for (int64_t block = 0; !kInPlace<T> && block < blocks; ++block) written(block);
}

const uint16_t* bits(const bf16* x) { return &x->bits; }

// `finish` applies to sums that are written in place. Pairs ignore it, because their sums never are.
void multiply(TileShape shape, const BlockTerm* terms, int64_t count, const float* x, const float* w, const float* bias,
              Finish finish, float* const* out, int64_t channel) {
  tile_kernels().multiply(shape, terms, count, x, w, bias, finish, out, channel);
}
void multiply(TileShape shape, const BlockTerm* terms, int64_t count, const bf16* x, const bf16* w, const float* bias,
              Finish, float* const* out, int64_t channel) {
  pair_kernels()->multiply(shape, terms, count, bits(x), bits(w), bias, out, channel);
}

// Adds up each block's sums over the lanes, in lane order, and adds the total to dweight at every tap of the block.
// dweight is zero where dead. Needs blocks grouped by output block.
template <class P>
void reduce_weight_gradient(const BlockJob& job, BlockWorkspace<P>& ws, float* dweight) {
  const int64_t c_in = job.g.c_in, row_stride = job.g.kh * job.g.kw * c_in, partial = job.blocks * kBlockWeights;
  parallel_for(job.out_blocks, [&](int64_t ob) {
    std::fill_n(dweight + ob * kBlock * row_stride, kBlock * row_stride, 0.0f);
    for (int64_t k = ws.offsets[ob]; k < ws.offsets[ob + 1]; ++k) {
      const Block& b = ws.blocks[k];
      float* sum = ws.sums + k * kBlockWeights;
      for (int64_t lane = 1; lane < job.lanes; ++lane) {
        for (int e = 0; e < kBlockWeights; ++e) sum[e] += sum[lane * partial + e];
      }
      for (int tap = 0; tap < 9; ++tap) {
        if (!(b.taps >> tap & 1)) continue;
        float* to = dweight + b.out * kBlock * row_stride + tap * c_in + b.in * kBlock;
        for (int o = 0; o < kBlock; ++o) {
          for (int i = 0; i < kBlock; ++i) to[o * row_stride + i] += sum[o * kBlock + i];
        }
      }
    }
  });
}

template <class P>
void reduce_bias_gradient(const BlockJob& job, const BlockWorkspace<P>& ws, float* dbias) {
  for (int64_t c = 0; c < job.g.c_out; ++c) {
    float sum = 0;
    for (int64_t lane = 0; lane < job.lanes; ++lane) sum += ws.bias[lane * job.g.c_out + c];
    dbias[c] = sum;
  }
}

void zero_dead_gradients(const BlockIndex& index, double* dw) {
  const int64_t b = index.block, row_stride = index.columns() * b;
  const int32_t* row_offsets = index.row_offsets.data<int32_t>();
  const int32_t* col_of_block = index.col_of_block.data<int32_t>();
  for (int64_t row = 0; row < index.out_blocks; ++row) {
    const int32_t *next = col_of_block + row_offsets[row], *end = col_of_block + row_offsets[row + 1];
    for (int64_t col = 0; col < index.columns(); ++col) {
      if (next != end && *next == col) {
        ++next;
        continue;
      }
      for (int64_t o = 0; o < b; ++o) std::fill_n(dw + (row * b + o) * row_stride + col * b, b, 0.0);
    }
  }
}

template <class T, class P>
void forward(const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in, const Tensor& weight,
             const Tensor& bias, void* workspace, const LayerOutput& out) {
  const Tensor &x = in.x, &y = out.y;
  const BlockJob job(g, index);
  BlockWorkspace<P> ws(job, x.dtype, Pass::forward, workspace);
  const int64_t keys = job.planes * job.out_blocks;
  sort_blocks(
      job, index, keys, [&](const Block& b) { return b.parity * job.out_blocks + b.out; }, ws);
  pack_weights(job, weight.data<T>(), /*transposed=*/true, ws);
  const PackedLayout layout = PackedLayout::framed(job.regions);
  for (int64_t k = 0; k < job.blocks; ++k) {
    const Block& b = ws.blocks[k];
    ws.terms[k] = {.x = static_cast<int32_t>(b.in * layout.block + (b.dr + 1) * layout.row + (b.dc + 1) * kBlock),
                   .w = static_cast<int32_t>(k * kBlockWeights)};
  }
  const T* xs = x.data<T>();
  const float* b = bias ? bias.data<float>() : nullptr;
  const Finish finish = g.adds ? Finish::add : g.relu ? Finish::relu : Finish::store;
  T* ys = y.data<T>();
  for_each_region(job, [&](const Region& region, int64_t lane) {
    P* image = ws.images + lane * ws.image;
    pack_region(region, job.x_placement(), layout, job.neighbours(), false, xs, image, in.normalisation);
    if (job.pools()) {
      float* sums = ws.tiles + lane * ws.tile;
      for (int64_t row = 0; row < job.regions.rows; row += tile_rows(job.regions.shape)) {
        float* pixels[kTilePixels];
        for (int k = 0; k < kTilePixels; ++k) pixels[k] = sums + (row * job.regions.columns() + k) * g.c_out;
        for (int64_t ob = 0; ob < job.out_blocks; ++ob) {
          multiply(job.regions.shape, ws.terms + ws.offsets[ob], ws.offsets[ob + 1] - ws.offsets[ob],
                   image + row * layout.row, ws.weights, b ? b + ob * kBlock : nullptr, Finish::store, pixels,
                   ob * kBlock);
        }
      }
      return dispatch_finish(finish,
                             [&]<Finish kFinish>() { pool_region<kFinish>(region, job.y_placement(0), sums, ys); });
    }
    std::optional<RegionSums<T, P>> moments;
    if (out.moments) moments.emplace(ws, region, lane, g.c_out);
    for (int parity = 0; parity < job.planes; ++parity) {
      for_each_tile(region, job.y_placement(parity), ys, [&](int64_t row, T* const* pixels) {
        const TileSums<T> tile(ws, lane, g.c_out, pixels);
        if (moments) moments->begin_tile(pixels);
        const auto compute = [&](int64_t ob) {
          const int64_t key = parity * job.out_blocks + ob;
          multiply(job.regions.shape, ws.terms + ws.offsets[key], ws.offsets[key + 1] - ws.offsets[key],
                   image + row * layout.row, ws.weights, b ? b + ob * kBlock : nullptr, in_place<T>(finish),
                   tile.sums(), ob * kBlock);
        };
        const auto written = [&](int64_t ob) {
          if (moments) moments->add_moments(ob * kBlock);
        };
        compute_tile(tile, job.out_blocks, finish, compute, written);
      });
    }
    if (moments) moments->finish_moments();
    if (job.method != BlockMethod::enlarge_output) return;
    // Every pixel has been computed at the first of its four places; copy it to the others.
    for_each_tile(region, job.y_placement(0), ys, [&](int64_t, T* const* pixels) {
      const int64_t c = g.c_out, line = g.out_w() * c;
      for (int k = 0; k < kTilePixels; ++k) {
        if (!pixels[k]) continue;
        for (int64_t to : {c, line, line + c}) {
          std::memcpy(pixels[k] + to, pixels[k], static_cast<size_t>(c) * sizeof(T));
        }
      }
    });
  });
  if (out.moments) parts_of_regions(ws, job, y).combine(out.moments);
}

template <class T, class P>
void backward_input(const Conv2dGeometry& g, const BlockIndex& index, const Tensor& dy, const Tensor& weight,
                    void* workspace, const InputGradient& gradient) {
  const BlockJob job(g, index);
  BlockWorkspace<P> ws(job, dy.dtype, Pass::backward_input, workspace);
  sort_blocks(
      job, index, job.in_blocks, [](const Block& b) { return b.in; }, ws);
  pack_weights(job, weight.data<T>(), /*transposed=*/false, ws);
  const PackedLayout layout = PackedLayout::framed(job.regions);
  for (int64_t k = 0; k < job.blocks; ++k) {
    const Block& b = ws.blocks[k];
    ws.terms[k] = {.x = static_cast<int32_t>((b.parity * job.out_blocks + b.out) * layout.block +
                                             (1 - b.dr) * layout.row + (1 - b.dc) * kBlock),
                   .w = static_cast<int32_t>(k * kBlockWeights)};
  }
  const T* dys = dy.data<T>();
  const Finish finish = g.masks ? Finish::mask : Finish::store;
  T* dxs = gradient.dx.data<T>();
  const T* xs = gradient.sums ? gradient.from.x.data<T>() : nullptr;
  for_each_region(job, [&](const Region& region, int64_t lane) {
    P* image = ws.images + lane * ws.image;
    job.pack_dy(region, layout, dys, image);
    std::optional<RegionSums<T, P>> sums;
    if (gradient.sums) sums.emplace(ws, region, lane, g.c_in);
    const auto written = [&](int64_t ib) {
      if (!sums) return;
      const ChannelNorm norm = channel_norm(gradient.from.normalisation, ib * kBlock);
      sums->add_gradients(ib * kBlock, dxs, xs, norm);
    };
    for_each_tile(region, job.x_placement(), dxs, [&](int64_t row, T* const* out) {
      const TileSums<T> tile(ws, lane, g.c_in, out);
      if (sums) sums->begin_tile(out);
      const auto compute = [&](int64_t ib) {
        multiply(job.regions.shape, ws.terms + ws.offsets[ib], ws.offsets[ib + 1] - ws.offsets[ib],
                 image + row * layout.row, ws.weights, nullptr, in_place<T>(finish), tile.sums(), ib * kBlock);
      };
      compute_tile(tile, job.in_blocks, finish, compute, written);
    });
    if (sums) sums->finish_gradients();
  });
  if (gradient.sums) parts_of_regions(ws, job, gradient.dx).add(gradient.sums);
}

template <class T, class P>
void backward_weight(const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in, const Tensor& dy,
                     void* workspace, Tensor& dweight, Tensor& dbias) {
  const Tensor& x = in.x;
  const BlockJob job(g, index);
  BlockWorkspace<P> ws(job, x.dtype, Pass::backward_weight, workspace);
  sort_blocks(
      job, index, job.out_blocks, [](const Block& b) { return b.out; }, ws);
  constexpr bool pairs = kPixels<P> == 2;
  const PackedLayout layout = pairs ? PackedLayout::framed_pairs(job.regions) : PackedLayout::framed(job.regions);
  const PackedLayout dy_layout = PackedLayout::plain(job.regions);
  const T *xs = x.data<T>(), *dys = dy.data<T>();
  const int64_t partial = job.blocks * kBlockWeights;
  parallel_for(job.lanes, [&](int64_t lane) {  // each thread touches its own sums first
    std::fill_n(ws.sums + lane * partial, partial, 0.0f);
    std::fill_n(ws.bias + lane * g.c_out, g.c_out, 0.0f);
  });
  for_each_region(job, [&](const Region& region, int64_t lane) {
    P* x_image = ws.images + lane * ws.image;
    P* dy_image = x_image + kPixels<P> * job.packed_x();
    if constexpr (pairs) {
      pack_pairs(region, job.x_placement(), layout, job.neighbours(), xs, x_image, in.normalisation);
      for (int parity = 0; parity < job.planes; ++parity) {
        pack_pairs(region, job.y_placement(parity), dy_layout, false, dys,
                   dy_image + parity * job.out_blocks * dy_layout.block);
      }
    } else {
      pack_region(region, job.x_placement(), layout, job.neighbours(), false, xs, x_image, in.normalisation);
      job.pack_dy(region, dy_layout, dys, dy_image);
    }
    for (int64_t k = 0; k < job.blocks; ++k) {
      const Block& b = ws.blocks[k];
      const P* of_x = x_image + b.in * layout.block + (b.dr + 1) * layout.row + (b.dc + 1) * kPixels<P> * kBlock;
      const P* of_dy = dy_image + (b.parity * job.out_blocks + b.out) * dy_layout.block;
      float* sums = ws.sums + lane * partial + k * kBlockWeights;
      const auto rows = static_cast<int>(job.regions.rows);
      if constexpr (pairs) {
        pair_kernels()->accumulate(job.regions.shape, rows, bits(of_x), bits(of_dy), sums);
      } else {
        tile_kernels().accumulate(job.regions.shape, rows, of_x, of_dy, sums);
      }
    }
    if (dbias) add_bias_gradient(job, dy_layout, dy_image, ws.bias + lane * g.c_out);
  });
  reduce_weight_gradient(job, ws, dweight.data<float>());
  if (dbias) reduce_bias_gradient(job, ws, dbias.data<float>());
}

// Calls f<T, P>() with the types of activations and of the factors of products.
template <class F>
void choose(const Conv2dGeometry& g, const BlockIndex& index, DType dtype, const F& f) {
  if (dtype == DType::f32) return f.template operator()<float, float>();
  if (BlockJob(g, index).pairs(dtype)) return f.template operator()<bf16, bf16>();
  f.template operator()<bf16, float>();
}

}  // namespace

Conv2dPlan block_conv2d_plan(const Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, DType dtype,
                             Pass pass) {
  if (dtype == DType::f64) return conv2d_plan(ctx, g, dtype, pass);
  const BlockJob job(g, index);
  const size_t bytes = job.pairs(dtype) ? BlockWorkspace<bf16>(job, dtype, pass, nullptr).bytes
                                        : BlockWorkspace<float>(job, dtype, pass, nullptr).bytes;
  return {.workspace_bytes = bytes, .executed_macs = job.macs()};
}

bool block_conv2d_takes_sums(const Context&, const Conv2dGeometry& g, DType dtype, Pass pass) {
  const bool a_pixel_is_a_sum = pass == Pass::backward_input || block_conv2d_finishes(dtype, g);
  return dtype != DType::f64 && g.pool == 1 && a_pixel_is_a_sum;
}

void block_conv2d_forward(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in,
                          const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& out) {
  require(!out.moments || block_conv2d_takes_sums(ctx, g, in.x.dtype, Pass::forward), kTakesNoSums);
  if (in.x.dtype == DType::f64) {
    Tensor y = out.y;
    return conv2d_forward(ctx, g, read_directly(in), weight, bias, {}, workspace, y);
  }
  choose(g, index, in.x.dtype,
         [&]<class T, class P>() { forward<T, P>(g, index, in, weight, bias, workspace.bytes, out); });
}

void block_conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const Tensor& dy,
                                 const Tensor& weight, Tensor& workspace, const InputGradient& out) {
  require(!out.sums || block_conv2d_takes_sums(ctx, g, dy.dtype, Pass::backward_input), kTakesNoSums);
  if (dy.dtype == DType::f64) {
    Tensor dx = out.dx;
    return conv2d_backward_input(ctx, g, dy, weight, {}, workspace, dx);
  }
  choose(g, index, dy.dtype,
         [&]<class T, class P>() { backward_input<T, P>(g, index, dy, weight, workspace.bytes, out); });
}

void block_conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in,
                                  const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  if (in.x.dtype == DType::f64) {
    conv2d_backward_weight(ctx, g, read_directly(in), dy, workspace, dweight, dbias);
    return zero_dead_gradients(index, dweight.data<double>());
  }
  choose(g, index, in.x.dtype,
         [&]<class T, class P>() { backward_weight<T, P>(g, index, in, dy, workspace.bytes, dweight, dbias); });
}

}  // namespace cpu
}  // namespace poise
