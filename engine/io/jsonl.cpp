#include "engine/io/jsonl.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "engine/io/read_file.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

using nlohmann::json;

std::string json_text(const std::string& text) {
  // Bytes that are not UTF-8 become U+FFFD: a strange path in a log line must not end a run.
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  std::string text = fmt::format("{}", value);  // the shortest text that reads back as the same number
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // stays a floating-point column for readers
  return text;
}

struct ValueText {
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return json_number(value); }
  std::string operator()(const std::string& value) const { return json_text(value); }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(const std::vector<std::string>& words) const {
    std::string text = "[";
    for (const std::string& word : words) text += (text.size() > 1 ? ", " : "") + json_text(word);
    return text + "]";
  }
  std::string operator()(const JsonNumbers& numbers) const {
    std::string text = "{";
    for (const auto& [key, value] : numbers) {
      if (text.size() > 1) text += ", ";
      text += json_text(key) + ": " + json_number(value);
    }
    return text + "}";
  }
};

bool is_kept(std::string_view line, const std::string& key, int64_t value) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return false;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return false;
  if (found->is_number_unsigned()) return value >= 0 && found->get<uint64_t>() <= static_cast<uint64_t>(value);
  return found->get<int64_t>() <= value;
}

}  // namespace

std::string json_line(const std::vector<JsonField>& fields) {
  std::string line = "{";
  for (const JsonField& field : fields) {
    if (line.size() > 1) line += ", ";
    line += json_text(field.key) + ": " + std::visit(ValueText{}, field.value);
  }
  return line + "}";
}

JsonlWriter::JsonlWriter(const std::string& path) : file_(path, "a line") {
  // If the last line is incomplete, the first new one must not be appended to it.
  if (const char last = file_.last_byte(); last != 0 && last != '\n') file_.append("\n");
}

std::string keep_jsonl_up_to(std::string_view text, const std::string& key, int64_t value) {
  std::string kept;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    // A last line without its newline is complete if it parses: an object ends with its brace.
    if (is_kept(line, key, value)) kept.append(line).push_back('\n');
    text = newline == std::string_view::npos ? std::string_view() : text.substr(newline + 1);
  }
  return kept;
}

void truncate_jsonl_after(const std::string& path, const std::string& key, int64_t value) {
  const std::optional<std::string> text = read_text_if_exists(path, ErrorKind::runtime);
  if (!text) return;
  const std::string kept = keep_jsonl_up_to(*text, key, value);
  if (kept != *text) write_file_atomically(path, kept);
}

}  // namespace poise
