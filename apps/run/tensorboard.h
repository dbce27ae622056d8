// Writes a run for TensorBoard: the numbers in train.jsonl and metrics.jsonl, sample grids, and densities of layers.
//
//   train/KEY, metrics/KEY          each number of a line that is not an event
//   density_g/LAYER, density_d/..   after each change of the masks, and a histogram over the layers of each network
//   samples/fakes, samples/reals    the grids in samples/
//
// Each training process writes one file, events.out.tfevents.ITERATION.NUMBER.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "apps/training/trainer.h"
#include "engine/io/event_file.h"
#include "engine/io/jsonl.h"

namespace poise {

class TensorBoardLog {
 public:
  // Begins a file in a run's folder, for events after `iteration`. Later events are removed from earlier files, because
  // they will be written again. This and all functions below throw Error(runtime) if a file cannot be written.
  TensorBoardLog(const std::string& folder, int64_t iteration);

  void line(const std::string& group, const std::vector<JsonField>& fields);  // as JsonlWriter::write
  void masks(const MaskEvent& event);
  // Adds a PNG file. Ignored unless `iteration` is above that of the last picture of this name.
  void picture(const std::string& name, int64_t iteration, const std::string& path);
  void sync() { file_.sync(); }

 private:
  EventFile file_;
  std::map<std::string, int64_t> shown_;  // the last iteration of each picture
  int64_t earlier_ = -1;                  // the last iteration of earlier files
};

}  // namespace poise
