// A run as TensorBoard shows it: what train.jsonl and metrics.jsonl hold, the sample grids, and the layers' densities.
//
//   train/KEY, metrics/KEY          each number of a line that is no event
//   density_g/LAYER, density_d/..   after each change of the masks, and one histogram over the layers of a network
//   samples/fakes, samples/reals    the grids of samples/
//
// One file for each process that trains, events.out.tfevents.ITERATION.NUMBER.
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
  // Begins a file in a run's folder, for what comes after `iteration`. What earlier files hold beyond it is cut off: it
  // will be written again. Error(runtime), as of all that follow.
  TensorBoardLog(const std::string& folder, int64_t iteration);

  void line(const std::string& group, const std::vector<JsonField>& fields);  // as JsonlWriter::write
  void masks(const MaskEvent& event);
  // A PNG that stands in the run's folder; once for each iteration, which must not fall.
  void picture(const std::string& name, int64_t iteration, const std::string& path);
  void sync() { file_.sync(); }

 private:
  EventFile file_;
  std::map<std::string, int64_t> shown_;  // the last iteration of a picture
  int64_t earlier_ = -1;                  // the last iteration of earlier files
};

}  // namespace poise
