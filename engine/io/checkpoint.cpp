#include "engine/io/checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "poise.checkpoint/1";
constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";
// These bytes occur only once in the text of a header: inside a JSON string their quotes would be escaped.
constexpr std::string_view kHeaderCrcKey = "\"header_crc32\":\"", kNoCrc = "00000000";

std::string crc_text(uLong crc) { return fmt::format("{:08x}", static_cast<uint32_t>(crc)); }

uLong crc_of(uLong crc, const void* bytes, size_t size) {
  // Given a null pointer, which an empty tensor may have, zlib would restart the checksum.
  return size == 0 ? crc : crc32_z(crc, static_cast<const Bytef*>(bytes), size);
}

// The checksum of a header whose checksum field is replaced by 00000000; `at` receives the position of the field.
std::string header_crc(std::string header, size_t* at) {
  const size_t found = header.find(kHeaderCrcKey);
  if (found == std::string::npos || found + kHeaderCrcKey.size() + kNoCrc.size() > header.size()) return "";
  *at = found + kHeaderCrcKey.size();
  header.replace(*at, kNoCrc.size(), kNoCrc);
  return crc_text(crc_of(0, header.data(), header.size()));
}

// The step in a file name; -1 if it is not the name of a checkpoint.
int64_t step_of_name(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char* first = name.data() + kPrefix.size();
  const char* last = name.data() + name.size() - kSuffix.size();
  int64_t step = -1;
  const auto [end, error] = std::from_chars(first, last, step);
  if (error != std::errc() || end != last || step < 0) return -1;
  return name == fmt::format("{}{:08}{}", kPrefix, step, kSuffix) ? step : -1;
}

void remove_file(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  const int error = errno;
  fail(ErrorKind::runtime,
       fmt::format("{}: cannot remove the file: {}; {}", path, errno_text(error), write_remedy(error)));
}

std::string best_path(const std::string& folder) { return join_path(folder, "best.json"); }

}  // namespace

CheckpointStore::CheckpointStore(std::string folder, int64_t keep_last)
    : folder_(std::move(folder)), keep_last_(keep_last) {
  if (keep_last < 1) {
    fail(ErrorKind::usage,
         fmt::format("checkpoints: expected to keep at least 1, got {}; raise the number to keep", keep_last));
  }
}

std::string CheckpointStore::path_of(int64_t step) const {
  return join_path(folder_, fmt::format("{}{:08}{}", kPrefix, step, kSuffix));
}

std::string CheckpointStore::save(int64_t step, std::span<const TensorBytes> tensors, const StringMap& metadata) {
  require(step >= 0, "a checkpoint's step is not negative");
  make_folders(folder_);
  if (last_saved_ < 0) remove_stale_temporaries(folder_);

  uLong data_crc = 0;
  for (const TensorBytes& tensor : tensors) data_crc = crc_of(data_crc, tensor.bytes, tensor.size_bytes());
  StringMap all = metadata;
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"format", kFormat},
                                   {"step", std::to_string(step)},
                                   {"crc32", crc_text(data_crc)},
                                   {"header_crc32", std::string(kNoCrc)}}) {
    require(all.emplace(key, value).second, "a checkpoint's metadata leaves the store's own keys alone");
  }
  std::string header = safetensors_header(tensors, all);
  size_t at = 0;
  const std::string crc = header_crc(header, &at);
  header.replace(at, crc.size(), crc);

  const std::string path = path_of(step);
  AtomicFile file(path);
  file.write(header);
  for (const TensorBytes& tensor : tensors) file.write(tensor.bytes, tensor.size_bytes());
  file.commit();
  last_saved_ = step;
  remove_old();
  return path;
}

void CheckpointStore::remove_old() const {
  std::vector<int64_t> steps = list();
  std::erase_if(steps, [this](int64_t step) { return step > last_saved_; });
  const auto count = static_cast<int64_t>(steps.size());
  if (count <= keep_last_) return;
  const std::optional<Best> pinned = best();
  for (int64_t i = 0; i < count - keep_last_; ++i) {
    if (!pinned || steps[i] != pinned->step) remove_file(path_of(steps[i]));
  }
}

void CheckpointStore::pin_best(int64_t step, double score, const std::string& metric, const std::string& protocol) {
  const std::string path = path_of(step);
  if (!is_regular_file(path)) {
    fail(ErrorKind::checkpoint, fmt::format("{}: expected this checkpoint, found none; save it before pinning", path));
  }
  if (!std::isfinite(score)) {
    fail(ErrorKind::runtime, fmt::format("{}: expected a finite score for {}, got {}; do not pin this checkpoint", path,
                                         in_quotes(metric), score));
  }
  json pin = {{"step", step}, {"score", score}, {"metric", metric}};
  if (!protocol.empty()) pin["protocol"] = protocol;
  write_file_atomically(best_path(folder_), pin.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  if (last_saved_ >= 0) remove_old();
}

std::optional<CheckpointStore::Best> CheckpointStore::best() const {
  const std::string path = best_path(folder_);
  const std::optional<std::string> text = read_text_if_exists(path, ErrorKind::checkpoint);
  if (!text) return std::nullopt;
  const json pin = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto has = [&](const char* key, auto is) { return pin.is_object() && pin.contains(key) && is(pin.at(key)); };
  if (!has("step", [](const json& v) { return v.is_number_integer(); }) ||
      !has("score", [](const json& v) { return v.is_number(); }) ||
      !has("metric", [](const json& v) { return v.is_string(); })) {
    fail(ErrorKind::checkpoint, path +
                                    ": expected {\"step\", \"score\", \"metric\"}, found something else; delete the "
                                    "file and pin the best checkpoint again");
  }
  const bool has_protocol = has("protocol", [](const json& v) { return v.is_string(); });
  return Best{pin["step"].get<int64_t>(), pin["score"].get<double>(), pin["metric"].get<std::string>(),
              has_protocol ? pin["protocol"].get<std::string>() : ""};
}

void CheckpointStore::discard_after(int64_t step) {
  std::vector<int64_t> steps = list();
  if (steps.empty() || steps.back() <= step) return;
  const std::optional<Best> pinned = best();
  // The pin is removed first: it must never name a file that is gone.
  if (pinned && pinned->step > step) remove_file(best_path(folder_));
  for (auto later = steps.rbegin(); later != steps.rend() && *later > step; ++later) remove_file(path_of(*later));
}

std::vector<int64_t> CheckpointStore::list() const {
  std::vector<int64_t> steps;
  for (const std::string& name : names_in_folder_if_exists(folder_)) {
    const int64_t step = step_of_name(name);
    if (step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

CheckpointStore::Loaded CheckpointStore::newest_valid() const {
  std::vector<std::string> warnings;
  std::vector<int64_t> steps = list();
  while (!steps.empty()) {
    const int64_t step = steps.back();
    steps.pop_back();
    const std::string path = path_of(step);
    // This is outside the try block because a file that cannot be read is not known to be damaged.
    std::vector<std::byte> bytes = read_file(path, ErrorKind::environment, "restore it, or try again");
    std::optional<SafetensorsFile> file;
    int64_t found = -1;
    try {
      file = SafetensorsFile::parse(std::move(bytes), path);
      found = verify(*file);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::checkpoint) throw;
      warnings.push_back(fmt::format("skipped a damaged checkpoint: {}", error.what()));
      continue;
    }
    if (found == step) return {step, path, std::move(*file), std::move(warnings)};
    fail(ErrorKind::checkpoint,
         fmt::format("{}: expected step {}, found {}: an intact checkpoint under a wrong name; rename it to {} or "
                     "move it away",
                     path, step, found, path_of(found)));
  }
  fail(ErrorKind::checkpoint,
       fmt::format("{}: expected a checkpoint step-NNNNNNNN.safetensors, found {}; start a new run or give another "
                   "folder",
                   folder_,
                   warnings.empty() ? std::string("none")
                                    : fmt::format("{}, all damaged (newest: {})", warnings.size(), warnings[0])));
}

int64_t CheckpointStore::verify(const SafetensorsFile& file) {
  const auto value = [&](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  const auto refuse = [&](const std::string& what) {
    fail(ErrorKind::checkpoint, fmt::format("{}: {}", file.source(), what));
  };
  const std::string header(reinterpret_cast<const char*>(file.header().data()), file.header().size());
  size_t at = 0;
  const std::string of_header = header_crc(header, &at);
  if (of_header.empty()) refuse("expected metadata header_crc32, found none; this is no checkpoint of Poise");
  if (value("header_crc32") != of_header) {
    refuse(fmt::format("expected header_crc32 {}, found {}; the file is damaged, use an older checkpoint", of_header,
                       in_quotes(value("header_crc32"))));
  }
  if (value("format") != kFormat) {  // the header is intact, so the file must not be removed as damaged
    fail(ErrorKind::environment,
         fmt::format("{}: expected a checkpoint of format {}, found {}: another version of Poise wrote it; use that "
                     "version",
                     file.source(), kFormat, in_quotes(value("format"))));
  }
  const std::string of_data = crc_text(crc_of(0, file.data().data(), file.data().size()));
  if (value("crc32") != of_data) {
    refuse(fmt::format("expected crc32 {} of the data, found {}; the file is damaged, use an older checkpoint", of_data,
                       in_quotes(value("crc32"))));
  }
  const std::string text = value("step");
  int64_t step = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0) {
    refuse(fmt::format("expected a step of 0 or more, found {}; the file is damaged", in_quotes(text)));
  }
  return step;
}

SafetensorsFile CheckpointStore::load(const std::string& path) {
  SafetensorsFile file = SafetensorsFile::read(path);
  verify(file);
  return file;
}

}  // namespace poise
