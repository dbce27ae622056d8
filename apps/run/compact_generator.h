// A file with the generator alone, without the zeros of its masks (engine/sparse/compact_weights.h). It is for sampling
// without the run and its 4 to 5 times larger checkpoints, and gives exactly the images that the run gives.
//
//   G.<path>      every parameter (live or averaged) and buffer of G
//   metadata      "weights": "ema" or "live"; "iteration"; "option.<key>" as in a checkpoint; "execution": the
//                 execution paths of its layers (G.execution of a checkpoint, in hexadecimal)
#pragma once
#include <string>

#include "apps/training/trainer.h"
#include "engine/io/safetensors.h"

namespace poise {

// A tensor of a checkpoint, under its name there. Error(checkpoint) if it is missing or not f32.
NamedWeights stored_weights(const SafetensorsFile& checkpoint, const std::string& name);
// G's parameters (averaged or live) and buffers from a checkpoint, as "G.<path>".
std::vector<NamedWeights> stored_generator(const SafetensorsFile& checkpoint, Weights weights);

// Returns the size of the file; with an empty path nothing is written. `cell`: the cell of the run's masks.
size_t write_compact_generator(const std::string& path, const SafetensorsFile& checkpoint, Weights weights,
                               const Cell& cell);

// The weights to use from a file: for a checkpoint `wanted`, for a compact file the one kind that it has. Error(usage)
// if the user requested (`asked`) the other kind.
Weights weights_of_file(const SafetensorsFile& file, bool asked, Weights wanted);

// Restores G, so that a trainer with the file's settings samples as the run did. D and the optimiser state are not
// restored. Error(checkpoint) if the file does not fit.
void restore_compact_generator(const SafetensorsFile& file, Trainer& trainer);

}  // namespace poise
