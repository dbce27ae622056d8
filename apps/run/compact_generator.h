// A generator alone in a file, without the zeros of its masks (engine/sparse/compact_weights.h): for sampling, on a
// machine that needs neither the run nor its 4 to 5 times larger checkpoints. It draws the very images that the run does.
//
//   G.<path>      every parameter and buffer of G, parameters live or averaged
//   metadata      "weights": "ema" or "live"; "iteration"; "option.<key>" as in a checkpoint; "execution": how its layers
//                 computed (G.execution of a checkpoint, in hexadecimal)
#pragma once
#include <string>

#include "apps/training/trainer.h"
#include "engine/io/safetensors.h"

namespace poise {

// A tensor of a checkpoint, under its name there. Error(checkpoint) if it is missing or not f32.
NamedWeights stored_weights(const SafetensorsFile& checkpoint, const std::string& name);
// What a checkpoint has of G: parameters (averaged or live) and buffers, as "G.<path>".
std::vector<NamedWeights> stored_generator(const SafetensorsFile& checkpoint, Weights weights);

// Returns the size of the file; with an empty path nothing is written. `cell`: of the run's masks.
size_t write_compact_generator(const std::string& path, const SafetensorsFile& checkpoint, Weights weights,
                               const Cell& cell);

// The weights that a file can show, a checkpoint's being the wanted ones: a compact file has one kind. Error(usage) if
// the user asked for the other.
Weights weights_of_file(const SafetensorsFile& file, bool asked, Weights wanted);

// Makes a trainer with the file's settings one that samples as the run did. What it has besides is not the run's.
// Error(checkpoint) if the file does not fit.
void restore_compact_generator(const SafetensorsFile& file, Trainer& trainer);

}  // namespace poise
