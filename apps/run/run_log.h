// What a run writes down while it goes, and reads back to continue or to report.
#pragma once
#include <string>
#include <vector>

#include "apps/training/trainer.h"
#include "engine/io/jsonl.h"

namespace poise {

// log.txt: plain lines, each with the time.
class TextLog {
 public:
  explicit TextLog(const std::string& path);  // appends
  ~TextLog();
  TextLog(const TextLog&) = delete;
  TextLog& operator=(const TextLog&) = delete;
  void line(const std::string& text);

 private:
  std::string path_;
  int descriptor_ = -1;
};

// A line of train.jsonl that tells of masks, marked by "event": "mask_update".
std::vector<JsonField> execution_event_fields(const ExecutionEvent& event);
std::vector<JsonField> mask_event_fields(const MaskEvent& event);

// A line of train.jsonl at a log iteration.
struct TrainLine {
  int64_t iteration = 0;
  IterationReport report;
  double seconds = 0;   // of training since the run began: without pictures, checkpoints, measurements, interruptions
  double it_per_s = 0;  // since the line before
};

// Lines that are damaged or incomplete are left out; a file that is not there has none.
std::vector<TrainLine> read_train_lines(const std::string& path);

}  // namespace poise
