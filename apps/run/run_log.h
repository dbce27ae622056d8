// What a run writes down while it goes. run_record.h reads it back.
#pragma once
#include <string>
#include <vector>

#include "apps/training/trainer.h"
#include "engine/io/jsonl.h"

namespace poise {

// log.txt: plain lines, each with the time.
class TextLog {
 public:
  explicit TextLog(const std::string& path) : file_(path, "a line") {}
  void line(const std::string& text);

 private:
  AppendFile file_;
};

// A line of train.jsonl that tells of masks or of what layers compute with, marked by "event": "mask_update".
std::vector<JsonField> execution_event_fields(const ExecutionEvent& event);
std::vector<JsonField> mask_event_fields(const MaskEvent& event);

}  // namespace poise
