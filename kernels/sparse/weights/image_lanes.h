// Activations as execution weight by weight reads and writes them: sixteen lanes innermost, cut into regions of a few
// tiles of pixels (weight_tiles.h), brought in from [N,h,w,C] with the pixels around them and returned to it.
//
// A lane is an image, or a horizontal stripe of one: of eight images or fewer so that all lanes have work, of more so that
// a task needs few images, those which the tasks of other ops gave the same core. Where pixels do not meet (pointwise),
// lanes are simply filled with pixel after pixel.
#pragma once
#include <algorithm>

#include "kernels/core/layer_input.h"
#include "kernels/core/tensor.h"
#include "kernels/sparse/weights/weight_terms.h"
#include "kernels/sparse/weights/weight_tiles.h"

namespace poise::cpu {

// Enough tasks for a handful of cores; a number that depends on nothing but the layer.
constexpr int64_t kWeightTasks = 8;

// Pixels around a region that are read too.
struct Frame {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  // Of the planes that are read, x or (`backwards`) y.
  static Frame of(const WeightTerms& terms, bool backwards);
};

// How the pixels that are written are cut.
struct LaneRegions {
  int64_t groups = 1;        // of lanes
  int64_t h = 0, w = 0;      // grid of a phase, of one lane
  int64_t stripes = 1;       // of an image; h rows each, the last may have fewer
  bool flat = false;         // pixels of all images, sixteen to a column
  int64_t image_pixels = 1;  // flat: of one image
  WeightTile tile = WeightTile::pixel;
  int64_t rows = 1, columns = 1;  // of a region, multiples of the tile's
  int64_t down = 1, across = 1;   // regions of an image

  // `most`: floats of `framed` planes of a region, frame included, and `bare` ones, unless one tile takes more.
  LaneRegions(int64_t images, const WeightSide& written, bool pointwise, const Frame& frame, int64_t framed,
              int64_t bare, int64_t most);
  // Of the computed lanes, how many have a pixel, on average.
  double full_share(int64_t images, const WeightSide& written) const;
  // Floats from a pixel to the next of the same lane and row.
  int64_t step(const WeightSide& side) const { return (flat ? kImages : 1) * side.scale_w * side.channels; }
  int64_t count() const { return groups * down * across; }
  int64_t tiles() const { return rows / rows_of(tile) * (columns / columns_of(tile)); }
};

struct LaneRegion {
  int64_t group, top, left;
  LaneRegion(const LaneRegions& all, int64_t number);
};

// Regions are dealt out in ranges that follow each other, so that a range has few images: those of a range.
struct RegionRange {
  int64_t first, last;
  RegionRange(const LaneRegions& all, int64_t number, int64_t ranges)
      : first(number * all.count() / ranges), last((number + 1) * all.count() / ranges) {}
};

// How many planes are brought in at a time: whole chunks of a list, and no fewer than make runs of lines. Windows, which
// read four pixels for each of theirs, need longer runs than others.
inline int64_t brought_planes(const WeightSide& read, int64_t chunk) {
  constexpr int64_t kFewest = 32;
  const int64_t fewest = read.windows ? read.channels : kFewest;
  return std::min(read.planes(), ceil_div(fewest, chunk) * chunk);
}

// Planes of a region: [plane][rows + frame][columns + frame][16].
struct LaneLayout {
  Frame frame;
  int64_t rows, columns;  // frame included
  int64_t row, plane;     // floats from one to the next
  LaneLayout(const LaneRegions& regions, const Frame& around);
  int64_t pixels() const { return rows * columns; }
  int64_t at(int64_t r, int64_t c) const {
    return (r + frame.top) * row + (c + frame.left) * kImages;
  }  // of the region
  // The first pixel of a tile.
  int64_t at_tile(const LaneRegions& regions, int64_t tile) const;
};

// A tensor [images, side.h, side.w, side.channels] of f32 by regions of its grid.
class LaneImages {
 public:
  // `own`: a lane has nothing but the rows of its stripe, not those below either. A normalised tensor has no windows.
  LaneImages(const WeightSide& side, int64_t images, const LaneRegions& regions, bool own = false,
             const Normalisation& normalisation = {});

  // Planes first..last-1 of a region, zero outside the image. Repeated phases and windows are added up. `again`: there are
  // other planes of the region already, which have their zeros where these do if a plane is one of pixels, not of sums.
  void bring(const float* tensor, const LaneRegion& region, const LaneLayout& layout, int64_t first, int64_t last,
             bool again, float* planes) const;
  // Is any pixel of the tile inside the image?
  bool meets(const LaneRegion& region, int64_t tile) const;
  // The tile of a phase: with windows, as grown as the neighbours before it demand that are added to its pixels.
  WeightTile tile_of(int phase) const;
  // A tile of channels first..last-1 of one phase, [channel][pixel of tile_of(phase)][16], to where it lies in the image;
  // with windows, of all phases, one behind the other. `how`: finish, and what is summed, from channel `first` on.
  void return_tile(const float* sums, const LaneRegion& region, int64_t tile, int phase, int64_t first, int64_t last,
                   const ReturnJob& how, float* tensor) const;

 private:
  // Where pixel (r, c) of a region lies (weight_tiles.h), so far down and right in the tensor. The distances between its
  // lanes are the same for all pixels, except where pixels of all images are alike and not all of them follow each other.
  const int64_t* lanes_of(const LaneRegion& region, int64_t c, int64_t* listed) const;
  int64_t at(const LaneRegion& region, int64_t r, int64_t c, int64_t down, int64_t right) const;
  // Which lanes have such a row, and which such a column.
  uint32_t lanes_in_row(const LaneRegion& region, int64_t r, int64_t down) const;
  uint32_t lanes_in_column(const LaneRegion& region, int64_t c, int64_t right) const;
  // The columns from c on, before `end`, that differ in nothing but where they begin; with copies, `right` and the next.
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
