// Activations in the layout of execution weight by weight: sixteen lanes innermost, cut into regions of a few tiles of
// pixels (weight_tiles.h). A region is brought in from [N,h,w,C] with the pixels around it, and returned to it.
//
// A lane is an image, or a horizontal stripe of one. With eight images or fewer, stripes give every lane work; with
// more, they let a task read few images, those that tasks of other ops had on the same core. In a pointwise layer,
// where no pixel reads another, lanes are simply filled pixel by pixel.
#pragma once
#include <algorithm>

#include "kernels/core/layer_input.h"
#include "kernels/core/tensor.h"
#include "kernels/sparse/weights/weight_terms.h"
#include "kernels/sparse/weights/weight_tiles.h"

namespace poise::cpu {

// Enough tasks for a handful of cores; the number depends on the layer alone.
constexpr int64_t kWeightTasks = 8;

// Pixels around a region that are read as well.
struct Frame {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  // The frame of the planes that are read: of x, or of y if `backwards`.
  static Frame of(const WeightTerms& terms, bool backwards);
};

// How the written pixels are cut into lanes and regions.
struct LaneRegions {
  int64_t groups = 1;        // of lanes
  int64_t h = 0, w = 0;      // pixels of a phase in one lane
  int64_t stripes = 1;       // per image; h rows each, the last may have fewer
  bool flat = false;         // lanes hold the pixels of all images, sixteen per column
  int64_t image_pixels = 1;  // flat: pixels per image
  WeightTile tile = WeightTile::pixel;
  int64_t rows = 1, columns = 1;  // of a region, multiples of the tile's
  int64_t down = 1, across = 1;   // regions of a lane

  // `most`: floats of a region's planes, `framed` ones with a frame and `bare` ones without; one tile may take more.
  LaneRegions(int64_t images, const WeightSide& written, bool pointwise, const Frame& frame, int64_t framed,
              int64_t bare, int64_t most);
  // The average share of the computed lanes that hold a pixel.
  double full_share(int64_t images, const WeightSide& written) const;
  // Floats between neighbouring pixels of the same lane and row in the tensor.
  int64_t step(const WeightSide& side) const { return (flat ? kImages : 1) * side.scale_w * side.channels; }
  int64_t count() const { return groups * down * across; }
  int64_t tiles() const { return rows / rows_of(tile) * (columns / columns_of(tile)); }
};

struct LaneRegion {
  int64_t group, top, left;
  LaneRegion(const LaneRegions& all, int64_t number);
};

// The regions of one of `ranges` ranges. Their numbers are consecutive, so that a range touches few images.
struct RegionRange {
  int64_t first, last;
  RegionRange(const LaneRegions& all, int64_t number, int64_t ranges)
      : first(number * all.count() / ranges), last((number + 1) * all.count() / ranges) {}
};

// How many planes are brought in at a time: whole chunks of a list, and enough for runs of cache lines. Windows read
// four pixels for each of their own, and need longer runs.
inline int64_t brought_planes(const WeightSide& read, int64_t chunk) {
  constexpr int64_t kFewest = 32;
  const int64_t fewest = read.windows ? read.channels : kFewest;
  return std::min(read.planes(), ceil_div(fewest, chunk) * chunk);
}

// The layout of a region's planes: [plane][rows + frame][columns + frame][16].
struct LaneLayout {
  Frame frame;
  int64_t rows, columns;  // frame included
  int64_t row, plane;     // floats from one to the next
  LaneLayout(const LaneRegions& regions, const Frame& around);
  int64_t pixels() const { return rows * columns; }
  int64_t at(int64_t r, int64_t c) const {
    return (r + frame.top) * row + (c + frame.left) * kImages;
  }  // pixel (r, c) of the region
  // The first pixel of a tile.
  int64_t at_tile(const LaneRegions& regions, int64_t tile) const;
};

// Access by regions to a tensor [images, side.h, side.w, side.channels] of f32.
class LaneImages {
 public:
  // `own`: a lane has only the rows of its own stripe, not the next stripe's below. A normalised tensor has no windows.
  LaneImages(const WeightSide& side, int64_t images, const LaneRegions& regions, bool own = false,
             const Normalisation& normalisation = {});

  // Brings in planes first..last-1 of a region, zero outside the image. Repeated phases and windows are added up.
  // `again`: `planes` holds other planes of the region, whose zeros stay if planes are of single pixels, not of sums.
  void bring(const float* tensor, const LaneRegion& region, const LaneLayout& layout, int64_t first, int64_t last,
             bool again, float* planes) const;
  // Whether any pixel of the tile is inside the image.
  bool meets(const LaneRegion& region, int64_t tile) const;
  // The tile of a phase. With windows, it also has the row above or the column to the left that they straddle.
  WeightTile tile_of(int phase) const;
  // Returns a tile of channels first..last-1 of one phase, [channel][pixel of tile_of(phase)][16], to its place in the
  // image; with windows the tiles of all phases, one after another. `how`: finish, and sums from channel `first` on.
  void return_tile(const float* sums, const LaneRegion& region, int64_t tile, int phase, int64_t first, int64_t last,
                   const ReturnJob& how, float* tensor) const;

 private:
  // Pixel (r, c) of a region, moved by `down` and `right`, is in the tensor at at() + lanes_of()[lane]. The lanes'
  // offsets are the same for all pixels, unless lanes are flat and their pixels not consecutive: then they are put into
  // `listed`.
  const int64_t* lanes_of(const LaneRegion& region, int64_t c, int64_t* listed) const;
  int64_t at(const LaneRegion& region, int64_t r, int64_t c, int64_t down, int64_t right) const;
  // Bits of the lanes that have this row, and of those that have this column.
  uint32_t lanes_in_row(const LaneRegion& region, int64_t r, int64_t down) const;
  uint32_t lanes_in_column(const LaneRegion& region, int64_t c, int64_t right) const;
  // The number of columns from c on, before `end`, with the same lanes present (with copies, at `right` + 1 as well).
  int64_t run(const LaneRegion& region, int64_t c, int64_t end, int64_t right) const;
  bool follow_each_other() const { return side_.scale_h == 1 && side_.scale_w == 1; }
  int copies() const { return side_.repeats || side_.windows ? 4 : 1; }

  const WeightSide& side_;
  int64_t images_;
  const LaneRegions& regions_;
  bool own_;
  Normalisation normalisation_;
  int64_t images_of_group_;
  int64_t lanes_[kImages];
};

}  // namespace poise::cpu
