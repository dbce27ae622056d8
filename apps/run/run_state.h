// Saves a Trainer and its settings to a checkpoint file, and restores them.
//
// A checkpoint holds the tensors of Trainer::state() by name. In sparse runs, in addition to weights and moments:
//   G.mask.<parameter>, D.mask..  u8, one per cell: [out/cell, kh, kw, in/cell]; all taps: [out/cell, in/cell]
//   sparse.counters               f64: target numbers of alive weights in G and in D, requested density of D
//   balance.triples, .pushed      the queue of the balance ratio (kernels/sparse/masks/balance.h)
// Metadata (strings; integers in decimal, doubles in C99 hexadecimal so that they are exact):
//   iteration                     generator steps taken
//   step_state.seed, .step, .d_batches
//   step_state.G.t, .G.learning_rate, .G.beta1_power, .G.beta2_power, and the same for D
//   option.<key>                  every setting that identifies the run (OnResume::fixed), as in a config file; a
//                                 younger one only if it is not the default
//   config_hash                   of these settings
//   data_crc                      of the images and labels, eight hexadecimal digits
//   class_names                   for a conditional model: a JSON list, in the order of the labels
// There is no time, path, thread count or number of restarts, so equal states give identical files.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/training/trainer.h"
#include "engine/io/checkpoint.h"

namespace poise {

std::string crc_text(uint32_t crc);

// Saves the trainer at its current iteration and returns the file's path. Error(runtime) if the file cannot be written,
// or, naming the tensor, if a tensor is not finite: a broken state never replaces a good one.
std::string save_state(CheckpointStore& store, Trainer& trainer, const Settings& settings, const ImageSet& images);

// Error(checkpoint) naming the difference unless the checkpoint was made with these settings and these data.
void check_same_run(const SafetensorsFile& file, const Settings& settings, uint32_t data_crc);
// Restores the trainer's state. Error(checkpoint) for a tensor or number that is missing, of the wrong type or shape,
// or surplus. All tensors are checked before any is copied.
void restore_state(const SafetensorsFile& file, Trainer& trainer);

// The names of the classes on which a conditional model was trained; empty for other models and earlier versions.
std::vector<std::string> class_names_of_checkpoint(const SafetensorsFile& file);

// The settings in a checkpoint, and defaults for all others. Error(checkpoint) if one is missing or invalid.
Settings settings_of_checkpoint(const SafetensorsFile& file);

}  // namespace poise
