// JSON lines: one object per line, appended one by one, so that a killed run leaves at most its last line incomplete.
// JSON has no NaN and no infinities: null stands for a number that is not finite.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/io/append_file.h"

namespace poise {

using JsonNumbers = std::vector<std::pair<std::string, double>>;  // an object of numbers, in this order
using JsonValue = std::variant<int64_t, double, std::string, bool, std::vector<std::string>, JsonNumbers>;

struct JsonField {
  std::string key;
  JsonValue value;
};

std::string json_line(const std::vector<JsonField>& fields);  // without the newline

class JsonlWriter {
 public:
  explicit JsonlWriter(const std::string& path);
  void write(const std::vector<JsonField>& fields) { file_.append(json_line(fields) + "\n"); }
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

// The lines of `text` that are whole, valid JSON objects with an integer `key` of at most `value`.
std::string keep_jsonl_up_to(std::string_view text, const std::string& key, int64_t value);

// The same for a file, in place and atomically: on resume, what the run wrote after its checkpoint is dropped before
// it is written again. A missing file stays missing. Close the file's JsonlWriter first.
void truncate_jsonl_after(const std::string& path, const std::string& key, int64_t value);

}  // namespace poise
