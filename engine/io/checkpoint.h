// A folder of checkpoints: safetensors files "step-00000010.safetensors" and, if a best one is pinned, best.json.
//
// A process killed at any instant leaves a folder that loads: files appear whole or not at all, older ones go only
// after the newer one is on the disk, and two checksums in the metadata ("crc32" of the data, "header_crc32" of
// everything else) tell a file that the disk damaged from a good one. The bytes of a checkpoint depend on its content
// alone: same state, same file.
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
    std::string protocol;  // how it was measured, so that scores of different ways are not compared
  };
  struct Loaded {
    int64_t step = 0;
    std::string path;
    SafetensorsFile file;
    std::vector<std::string> warnings;  // one line for each newer file that was skipped because it is damaged
  };

  // Touches nothing yet: the folder is made by the first save(). keep_last >= 1.
  CheckpointStore(std::string folder, int64_t keep_last);

  // Returns the path. `metadata` must not have the keys that the store writes: format, step, crc32, header_crc32.
  // Then removes all but the newest keep_last of the checkpoints up to this step, sparing the best. Later steps, which
  // a run that went back to an older checkpoint finds here, stay: see discard_after().
  std::string save(int64_t step, std::span<const TensorBytes> tensors, const StringMap& metadata);

  // Spares the checkpoint of `step` from removal and records why; the one pinned before is spared no longer.
  void pin_best(int64_t step, double score, const std::string& metric, const std::string& protocol = "");
  std::optional<Best> best() const;

  // Removes the checkpoints after `step`, damaged ones too, and the pin if it is one of them: for a run that goes on from
  // `step`, so that the next resume does not jump to what this run has left behind.
  void discard_after(int64_t step);

  std::vector<int64_t> list() const;  // steps, ascending; damaged files included
  std::string path_of(int64_t step) const;

  // The newest that verifies. Error(checkpoint) if none does, or if one has another's name; Error(environment) if one on the
  // way to it cannot be read, which says nothing about its bytes.
  Loaded newest_valid() const;

  // Read and verified. Error(checkpoint) names what is wrong.
  static SafetensorsFile load(const std::string& path);
  static int64_t verify(const SafetensorsFile& file);  // both checksums; returns the step

 private:
  void remove_old() const;

  std::string folder_;
  int64_t keep_last_;
  int64_t last_saved_ = -1;  // by this object
};

}  // namespace poise
