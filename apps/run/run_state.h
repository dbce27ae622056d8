// Between settings, the Trainer and a checkpoint file.
//
// A checkpoint holds the tensors of Trainer::state() by name. In sparse runs, besides weights and moments:
//   G.mask.<parameter>, D.mask..  u8, one per cell: [out/cell, kh, kw, in/cell]; all taps: [out/cell, in/cell]
//   sparse.counters               f64: alive weights asked for in G and in D, density asked for in D
//   balance.triples, .pushed      the queue of the balance ratio (kernels/sparse/masks/balance.h)
// As metadata (strings; numbers in decimal, doubles as C99 hexadecimal so that they are exact):
//   iteration                     generator steps taken
//   step_state.seed, .step, .d_batches
//   step_state.G.t, .G.learning_rate, .G.beta1_power, .G.beta2_power, and the same for D
//   option.<key>                  every setting that makes the run what it is (OnResume::fixed), as in a config file; a
//                                 younger one only if it is not the default
//   config_hash                   of those
//   data_crc                      of the images and labels, eight hexadecimal digits
//   class_names                   of a conditional model: a JSON list, in the order of the labels
// No time, path, thread count or number of restarts: the same state is the same file.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/training/trainer.h"
#include "engine/io/checkpoint.h"

namespace poise {

std::string crc_text(uint32_t crc);

// Saves the trainer at its present iteration and returns the file's path. Error(runtime) naming a tensor instead if one
// is not finite, for a broken state never replaces a good one; or if the file cannot be written.
std::string save_state(CheckpointStore& store, Trainer& trainer, const Settings& settings, const ImageSet& images);

// Error(checkpoint) that names the difference unless the checkpoint was made with these settings and this data.
void check_same_run(const SafetensorsFile& file, const Settings& settings, uint32_t data_crc);
// Makes the trainer what it was. Error(checkpoint) that names the first tensor or number that is missing, of another
// type or shape, or too many. All is checked before anything is written.
void restore_state(const SafetensorsFile& file, Trainer& trainer);

// The names of the classes that a conditional model was trained on; empty if it is none, or of an earlier version.
std::vector<std::string> class_names_of_checkpoint(const SafetensorsFile& file);

// The settings in a checkpoint, over the defaults; what is missing or wrong is Error(checkpoint).
Settings settings_of_checkpoint(const SafetensorsFile& file);

}  // namespace poise
