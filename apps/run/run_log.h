// The records that a run writes while it trains. run_record.h reads them back.
#pragma once
#include <string>
#include <vector>

#include "apps/training/speed_comparison.h"
#include "apps/training/trainer.h"
#include "engine/io/jsonl.h"

namespace poise {

// log.txt: plain lines, each beginning with the time.
class TextLog {
 public:
  explicit TextLog(const std::string& path) : file_(path, "a line") {}
  void line(const std::string& text);

 private:
  AppendFile file_;
};

// The last line of log.txt once a run has reached its last iteration.
std::string finished_line(int64_t iteration);

// Lines of train.jsonl that do not record losses have the key "event": "execution" or "mask_update".
std::vector<JsonField> execution_event_fields(const ExecutionEvent& event);
std::vector<JsonField> mask_event_fields(const MaskEvent& event);
// "event": "speed".
std::vector<JsonField> speed_fields(const SpeedComparison& speed, int64_t iteration);

}  // namespace poise
