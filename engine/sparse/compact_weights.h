// Weights without their zeros: a safetensors file of alive cells, for running a sparse network elsewhere.
//
// A tensor P with cells that are entirely zero is stored as
//   P.indices   I32 [alive]                    numbers of the alive cells, ascending (engine/sparse/cell.h: by output
//                                              block, tap, input block)
//   P.values    F32 [alive, weights per cell]  each cell row by row: output channel, tap (all-taps cells),
//                                              input channel
// and in the metadata "P.shape" (as in "64,3,3,32") and "P.cell" ("16x16"). Every other tensor is stored as it is. The
// metadata "format" is "poise-compact-1", and "crc32" is the checksum of all data. An index takes four bytes, so
// unstructured weights are smaller in this form only below half density; denser tensors are stored as they are.
#pragma once
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "engine/sparse/cell.h"

namespace poise {

struct NamedWeights {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major
};

// Tensors of two or four dimensions that `cell` divides are candidates for compact storage. `metadata` is added.
// Returns the size of the file; with an empty path nothing is written.
size_t export_sparse(const std::string& path, const std::vector<NamedWeights>& tensors, const Cell& cell,
                     const StringMap& metadata);
// Is this such a file, damaged or not?
bool is_sparse_export(const SafetensorsFile& file);
// The tensors as they were, in the order of the file. Error(checkpoint) for a file of another form.
std::vector<NamedWeights> read_sparse(const SafetensorsFile& file);

// 1 for each cell that has a weight other than zero, in the order of cells. The cell must divide the tensor.
std::vector<uint8_t> alive_cells(const NamedWeights& tensor, const Cell& cell);

}  // namespace poise
