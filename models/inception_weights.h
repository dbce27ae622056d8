// Weights of Inception-v3 from a safetensors file: f32, convolutions OIHW, batch norm folded, named
// "<layer>.conv.weight" and "<layer>.conv.bias", "fc.weight" [classes,2048] and "fc.bias".
#pragma once
#include <vector>

#include "engine/io/safetensors.h"
#include "models/inception.h"

namespace poise {

// What a file says it is. Numbers of different networks must never be compared, so the name goes with every number.
struct InceptionIdentity {
  std::string name;  // "inception-2015-12-05", "iv3q"; "unrecognised-inception" for weights of unknown origin
  std::string hash;  // sha256 of the file
  std::string note;  // one line about where the name comes from, and what the file cannot do
  bool recognised = false;
  InceptionOptions options;
};

// A file is known by its hash, or, if bench/convert_inception.py wrote it, by the hash of the official weights that it
// was made of. Any other is taken for the network of 2015-12-05 unless its metadata says "pool_7c": "avg".
// The width of the first convolution says whether all are narrower, as in the tests' files.
InceptionIdentity identify_inception(const SafetensorsFile& file);

// Copies the weights to the device and points the network's parameters at them; the result owns the memory. Weights
// are not trained: gradients are switched off. Error(checkpoint) for a tensor that is missing, has another shape or
// type, or is not finite.
std::vector<OwnedTensor> load_inception_weights(Inception& network, const SafetensorsFile& file, DType dtype,
                                                Device device);

}  // namespace poise
