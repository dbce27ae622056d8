#include "engine/io/jsonl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
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

JsonlWriter::JsonlWriter(const std::string& path) : path_(path) {
  do {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) {
    const int error = errno;
    fail(ErrorKind::runtime,
         fmt::format("{}: cannot open the file: {}; {}", path, errno_text(error), write_remedy(error)));
  }
  // If the last line is torn, the first new one must not be glued to it.
  struct stat status {};
  char last = '\n';
  if (::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
      ::pread(descriptor_, &last, 1, status.st_size - 1) == 1 && last != '\n') {
    (void)!::write(descriptor_, "\n", 1);
  }
}

JsonlWriter::~JsonlWriter() { ::close(descriptor_); }

void JsonlWriter::write(const std::vector<JsonField>& fields) {
  const std::string line = json_line(fields) + "\n";
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = ::write(descriptor_, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : EIO;
      struct stat status {};
      if (done > 0 && ::fstat(descriptor_, &status) == 0) {
        (void)!::ftruncate(descriptor_, status.st_size - static_cast<off_t>(done));
      }
      fail(ErrorKind::runtime,
           fmt::format("{}: cannot append a line: {}; {}", path_, errno_text(error), write_remedy(error)));
    }
    done += static_cast<size_t>(written);
  }
}

void JsonlWriter::sync() {
  while (::fsync(descriptor_) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EINVAL) return;  // a pipe or a device: nothing to make durable
    fail(ErrorKind::runtime,
         fmt::format("{}: cannot write the file: {}; {}", path_, errno_text(error), write_remedy(error)));
  }
}

std::string keep_jsonl_up_to(std::string_view text, const std::string& key, int64_t value) {
  std::string kept;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    // A last line without its newline is whole if it parses: an object ends with its brace.
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
