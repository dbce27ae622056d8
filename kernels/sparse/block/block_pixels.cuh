// How the block-sparse kernels address pixels in memory and hold them in shared memory.
//
// In memory: an ImageView, with blocks of 16 channels of every pixel. In shared memory: a tile of pixels, with a frame
// of neighbours where taps reach beyond it, cut into planes of 16 bytes of channels (8 bf16 or 4 f32):
//
//   [block][plane of the block][slot of a pixel][16 bytes]
//
// A tap is then a shift by a constant number of slots, the same for every pixel, and so is a block. One offset covers
// both and is all that a list needs per block. Eight neighbouring slots are 128 bytes, all banks, which is what
// ldmatrix reads. Planes of bf16 are 4 slots longer than a multiple of 8, so that copies, which write four slots of two
// planes side by side, spread over the banks too. Those of f32 are 3 or 5 slots longer, for fragments that read two.
#pragma once
#include "kernels/gpu/divisor.h"
#include "kernels/gpu/tile.cuh"
#include "kernels/sparse/block/block_size.h"

namespace poise::POISE_GPU {

constexpr int kBlock = kSparseBlock;  // channels of a block of weights, on either side
constexpr int kBlockWeights = kBlock * kBlock;
template <class T>
constexpr int kPlanes = kBlock / kChunk<T>;  // planes of a block

// A tensor [N, scale*h, scale*w, channels] as blocks of N images of h x w pixels. With parities == 4 a pixel has the
// blocks of its four enlarged pixels, block = 4 * channel block + 2 * row parity + column parity; with 1, only those of
// the first.
struct ImageView {
  void* data = nullptr;
  int h = 0, w = 0, channels = 0, scale = 1, parities = 1;

  __device__ int pixel(int n, int p, int q) const { return ((n * h + p) * scale * w + q) * scale * channels; }
  __device__ int block(int b) const {
    if (parities == 1) return b * kBlock;
    return ((b / 2 % 2) * scale * w + b % 2) * channels + b / 4 * kBlock;
  }
};

// The order of pixels in a tile: columns run fastest, then rows, then images; with `pairs`, the two images of a pair
// run between columns and rows.
struct TilePixels {
  int log_w = 0, log_h = 0;
  bool pairs = false;

  __device__ int column(int pixel) const { return pixel & ((1 << log_w) - 1); }
  __device__ int row(int pixel) const { return pixel >> (log_w + (pairs ? 1 : 0)) & ((1 << log_h) - 1); }
  __device__ int image(int pixel) const {
    const int in_order = pixel >> (log_w + log_h);
    return pairs ? (in_order & ~1) | (pixel >> log_w & 1) : in_order;
  }
};

// All pixels, cut into tiles of 2^log_w x 2^log_h pixels of as many images as make up 2^log_pixels.
struct PixelTiles : TilePixels {
  int images = 0, h = 0, w = 0, log_pixels = 0;
  int tiles_h = 0, tiles_w = 0, count = 0;
};

// The layout of a tile in shared memory.
struct Frame : TilePixels {
  int halo = 0;              // pixels on each side
  int slots = 0, plane = 0;  // slots of a tile; slots from one plane to the next
  Divisor pitch, per_image;  // slots of a row and of an image

  Frame() = default;
  Frame(const PixelTiles& tiles, int width_of_halo, DType dtype)
      : TilePixels(tiles),
        halo(width_of_halo),
        pitch(static_cast<uint32_t>((1 << log_w) + 2 * halo)),
        per_image(pitch.d * static_cast<uint32_t>((1 << log_h) + 2 * halo)) {
    slots = static_cast<int>(per_image.d) << (tiles.log_pixels - log_w - log_h);
    plane = slots;
    const auto spreads = [&](int rest) { return dtype == DType::bf16 ? rest == 4 : rest == 3 || rest == 5; };
    while (!spreads(plane % 8)) ++plane;
  }
  template <class T>
  int bytes(int blocks) const {
    return blocks * kPlanes<T> * plane * 16;
  }

  __device__ int slot(int pixel) const {
    return image(pixel) * static_cast<int>(per_image.d) + (row(pixel) + halo) * static_cast<int>(pitch.d) +
           column(pixel) + halo;
  }
};

// One tile: its first image and pixel.
struct TileOrigin {
  int n, p, q;
  __device__ TileOrigin(const PixelTiles& tiles, int tile) {
    const int rows = tile / tiles.tiles_w;
    n = rows / tiles.tiles_h << (tiles.log_pixels - tiles.log_w - tiles.log_h);
    p = rows % tiles.tiles_h << tiles.log_h;
    q = tile % tiles.tiles_w << tiles.log_w;
  }
  // The offset of a pixel of the tile in `view`, or -1 if the pixel is outside the images.
  __device__ int place(const PixelTiles& tiles, const ImageView& view, int pixel) const {
    const int image = n + tiles.image(pixel), row = p + tiles.row(pixel), column = q + tiles.column(pixel);
    return image < tiles.images && row < tiles.h && column < tiles.w ? view.pixel(image, row, column) : -1;
  }
};

// Starts the copies of a tile's blocks first_block + i, for every bit i of `wanted`, to block i of `to`; zeros outside
// the images. All threads of the thread block take part; neighbouring threads copy a pixel's 32 or 64 bytes.
template <class T>
__device__ inline void copy_tile(const ImageView& view, const PixelTiles& tiles, const Frame& frame,
                                 const TileOrigin& origin, int first_block, uint32_t wanted, T* to) {
  for (int i = static_cast<int>(threadIdx.x); i < frame.slots * kPlanes<T>; i += static_cast<int>(blockDim.x)) {
    const int slot = i / kPlanes<T>, plane = i % kPlanes<T>;
    const int image = frame.per_image.divide(slot), rest = slot - image * static_cast<int>(frame.per_image.d);
    const int row = frame.pitch.divide(rest), column = rest - row * static_cast<int>(frame.pitch.d);
    const int n = origin.n + image, p = origin.p + row - frame.halo, q = origin.q + column - frame.halo;
    const bool valid = n < tiles.images && static_cast<unsigned>(p) < static_cast<unsigned>(tiles.h) &&
                       static_cast<unsigned>(q) < static_cast<unsigned>(tiles.w);
    const T* const from = static_cast<const T*>(view.data) + (valid ? view.pixel(n, p, q) : 0) + plane * kChunk<T>;
    T* const first = to + (plane * frame.plane + slot) * kChunk<T>;
    for (uint32_t left = wanted; left != 0; left &= left - 1) {
      const int b = __ffs(static_cast<int>(left)) - 1;
      cp_async<16>(first + b * kPlanes<T> * frame.plane * kChunk<T>, from + (valid ? view.block(first_block + b) : 0),
                   valid);
    }
  }
}

}  // namespace poise::POISE_GPU
