// Loads weights of Inception-v3 from a safetensors file: f32, convolutions in OIHW, batch norm folded, named
// "<layer>.conv.weight" and "<layer>.conv.bias", "fc.weight" [classes,2048] and "fc.bias".
#pragma once
#include <vector>

#include "engine/io/safetensors.h"
#include "models/inception.h"

namespace poise {

// Which network a file contains. Scores of different networks must not be compared, so every score carries the name.
struct InceptionIdentity {
  std::string name;  // "inception-2015-12-05", "iv3q"; "unrecognised-inception" for weights of unknown origin
  std::string hash;  // sha256 of the file
  std::string note;  // one line: where the name comes from, and how far the scores are comparable
  bool recognised = false;
  InceptionOptions options;
};

// Recognises a file by its hash or, if bench/convert_inception.py wrote it, by the hash of the official weights that it
// was converted from. Any other file gets the options of the 2015-12-05 network unless its metadata has "pool_7c":
// "avg". The width of the first convolution determines the narrowing (tests use narrow files).
InceptionIdentity identify_inception(const SafetensorsFile& file);

// Copies the weights to the device and points the network's parameters at them; the result owns the memory. Weights
// are not trained: gradients are switched off. Error(checkpoint) for a tensor that is missing, has another shape or
// type, or is not finite.
std::vector<OwnedTensor> load_inception_weights(Inception& network, const SafetensorsFile& file, DType dtype,
                                                Device device);

}  // namespace poise
