// A folder of checkpoints: safetensors files "step-00000010.safetensors" and, if a best one is pinned, best.json.
//
// A process killed at any instant leaves a folder that loads: files appear whole or not at all, older ones are removed
// only after the newer one is on the disk, and two checksums in the metadata ("crc32" of the data, "header_crc32" of
// everything else) tell a damaged file from a good one. The bytes of a checkpoint depend on its content alone: same
// state, same file.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"

namespace poise {

class CheckpointStore {
 public:
  struct Best {
    int64_t step = 0;
    double score = 0;
    std::string metric;
    std::string protocol;  // how it was measured, so that scores of different protocols are not compared
  };
  struct Loaded {
    int64_t step = 0;
    std::string path;
    SafetensorsFile file;
    std::vector<std::string> warnings;  // one line for each newer file that was skipped because it is damaged
  };

  // Does not touch the disk yet: the first save() creates the folder. keep_last >= 1.
  CheckpointStore(std::string folder, int64_t keep_last);

  // Returns the path. `metadata` must not have the keys that the store writes: format, step, crc32, header_crc32.
  // Then removes all but the newest keep_last of the checkpoints up to this step, except the best. Checkpoints of later
  // steps, which exist if a run went back to an older one, stay: see discard_after().
  std::string save(int64_t step, std::span<const TensorBytes> tensors, const StringMap& metadata);

  // Protects the checkpoint of `step` from removal and records why. The one pinned before loses its protection.
  void pin_best(int64_t step, double score, const std::string& metric, const std::string& protocol = "");
  std::optional<Best> best() const;

  // Removes the checkpoints after `step`, damaged ones too, and the pin if it names one of them. For a run that
  // continues from `step`, so that the next resume does not pick up a checkpoint that this run has abandoned.
  void discard_after(int64_t step);

  std::vector<int64_t> list() const;  // steps, ascending; damaged files included
  std::string path_of(int64_t step) const;

  // The newest that verifies. Error(checkpoint) if none does, or if one has the name of another step;
  // Error(environment) if a newer one cannot be read, which does not mean that it is damaged.
  Loaded newest_valid() const;

  // Reads and verifies a checkpoint. Error(checkpoint) names what is wrong.
  static SafetensorsFile load(const std::string& path);
  static int64_t verify(const SafetensorsFile& file);  // both checksums; returns the step

 private:
  void remove_old() const;

  std::string folder_;
  int64_t keep_last_;
  int64_t last_saved_ = -1;  // by this object
};

}  // namespace poise
