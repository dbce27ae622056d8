// Which weights of a network are alive. A layer has a Mask in cells; in addition the network has one byte per run of
// neighbouring weights, in the layout of its ParameterSlab, so that one Adam launch applies all masks
// (kernels/sparse/masks/mask.h).
#pragma once
#include <string>
#include <vector>

#include "engine/optim/parameter_slab.h"
#include "engine/sparse/maskable.h"

namespace poise {

struct Mask {
  Cell cell;
  Tensor alive;             // u8, 1 or 0: [out/cell, kh, kw, in/cell]; all taps, and linear layers: [out/cell, in/cell]
  int64_t alive_count = 0;  // weights
  uint64_t version = 0;     // increases with every change
};

struct MaskedLayer {
  std::string path;  // "block2.conv1"
  CellGrid grid;
  CellSegment segment;  // its place among the cells of the network
  Mask mask;
  ParameterSlab::Entry weight;
  Tensor bytes;  // u8, the weight's shape with runs of inputs in place of inputs; part of NetworkMasks::bytes()

  double density() const { return static_cast<double>(mask.alive_count) / static_cast<double>(grid.weights()); }
};

// A layer that could be masked but is not.
struct DenseLayer {
  std::string path;
  Shape shape;
  std::string reason;  // "cell 16x16 does not divide it", "the head of D"
};

class NetworkMasks {
 public:
  // Masks for every maskable layer of `network` that the cell divides; all weights are alive. `slab` and `network` must
  // outlive this object. Error(runtime) if the memory cannot be allocated.
  NetworkMasks(Module& network, ParameterSlab& slab, const Cell& cell, MaskableHead head, Memory memory);

  // Draws initial masks at random: each layer has as many alive cells as `densities` (one entry per maskable layer)
  // says. Dead weights become zero. Like commit() and count(): Error(runtime) if the device fails.
  void draw(Context& ctx, RandomStream stream, const std::vector<LayerDensity>& densities);

  // Call this between changes of alive() and the next step: applies them to bytes(), weights and moments (see
  // ChangeMask) and counts again. Waits for the device.
  void commit(Context& ctx, MomentPolicy policy);
  // The alive weights of the masked layers, as alive() is now. Waits for the device.
  int64_t count(Context& ctx);

  const Tensor& bytes() const { return bytes_; }  // u8 [padded parameters / run]: what Adam multiplies by
  Tensor& alive() { return alive_; }              // u8 [cells of all masked layers]
  const std::vector<MaskedLayer>& layers() const { return layers_; }
  const std::vector<DenseLayer>& dense_layers() const { return dense_layers_; }
  const std::vector<CellSegment>& segments() const { return segments_; }

  // In weights. total() is the N of a density: masked layers and those that the cell does not divide.
  int64_t total() const { return masked_total_ + undivided_; }
  int64_t undivided() const { return undivided_; }
  int64_t alive_weights() const;  // after the last commit
  double density() const { return static_cast<double>(alive_weights()) / static_cast<double>(total()); }
  uint64_t version() const { return layers_.empty() ? 0 : layers_[0].mask.version; }  // increases with every commit()
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  MemoryBlock memory_;
  Tensor bytes_, alive_, counts_;
  std::vector<MaskedLayer> layers_;
  std::vector<DenseLayer> dense_layers_;
  std::vector<CellSegment> segments_;
  int64_t masked_total_ = 0, undivided_ = 0;
  size_t memory_bytes_ = 0;
};

CellGrid grid_of(const Shape& weight, const Cell& cell);

}  // namespace poise
