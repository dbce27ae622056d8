#include "engine/io/event_file.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "kernels/core/error.h"

namespace poise {
namespace {

// Field numbers of tensorboard/compat/proto/event.proto and summary.proto.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;  // of Event
constexpr int kValue = 1;                                                                 // of Summary
constexpr int kTag = 1, kSimpleValue = 2, kImage = 4, kHistogram = 5;                     // of Summary.Value
constexpr int64_t kSessionStart = 1;                                                      // SessionLog.status (field 1)
constexpr size_t kBeforeBytes = 12, kAfterBytes = 4;  // of a record: length and checksum, checksum

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}();

std::string little_endian(uint64_t value, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

uint64_t number_at(std::string_view bytes, size_t first, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= uint64_t{static_cast<uint8_t>(bytes[first + i])} << (8 * i);
  return value;
}

std::string record_of(const std::string& bytes) {
  const std::string size = little_endian(bytes.size(), 8);
  return size + little_endian(masked_crc32c(size), 4) + bytes + little_endian(masked_crc32c(bytes), 4);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

ProtobufMessage one_value(const std::string& tag, int kind, const ProtobufMessage& content) {
  ProtobufMessage value, summary;
  value.text(kTag, tag);
  value.message(kind, content);
  summary.message(kValue, value);
  return summary;
}

std::string packed(const std::vector<double>& values) {
  std::string bytes;
  for (const double value : values) bytes += little_endian(std::bit_cast<uint64_t>(value), 8);
  return bytes;
}

// The step of an event of ours, which follows the time (9 bytes); the event without a step is the file's version.
int64_t step_of(std::string_view event) {
  constexpr size_t kTimeBytes = 9;
  constexpr uint8_t kStepKey = kStep << 3;
  if (event.size() <= kTimeBytes || static_cast<uint8_t>(event[kTimeBytes]) != kStepKey) return 0;
  uint64_t step = 0;
  for (size_t i = kTimeBytes + 1, shift = 0; i < event.size() && shift < 64; ++i, shift += 7) {
    const auto byte = static_cast<uint8_t>(event[i]);
    step |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) break;
  }
  return static_cast<int64_t>(step);
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

EventFile::EventFile(const std::string& path) : file_(path, "an event") {
  ProtobufMessage version;
  version.real64(kWallTime, seconds_now());
  version.text(kFileVersion, "brain.Event:2");
  file_.append(record_of(version.bytes()));
}

void EventFile::write(int64_t step, int field, const ProtobufMessage& content) {
  ProtobufMessage event;
  event.real64(kWallTime, seconds_now());
  event.integer(kStep, step);
  event.message(field, content);
  file_.append(record_of(event.bytes()));
}

void EventFile::restart(int64_t step) {
  ProtobufMessage session;
  session.integer(1, kSessionStart);
  write(step, kSessionLog, session);
}

void EventFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  ProtobufMessage summary;
  for (const auto& [tag, number] : values) {
    ProtobufMessage value;
    value.text(kTag, tag);
    value.real32(kSimpleValue, static_cast<float>(number));
    summary.message(kValue, value);
  }
  write(step, kSummary, summary);
}

void EventFile::picture(int64_t step, const std::string& tag, std::string_view png) {
  constexpr size_t kWidthAt = 16, kHeightAt = 20, kHeaderEnd = 24;  // big-endian, in the first chunk of a PNG
  require(png.size() > kHeaderEnd, "EventFile::picture without a picture");
  const auto side = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(png[i]);
    return value;
  };
  ProtobufMessage image;
  image.integer(1, side(kHeightAt));
  image.integer(2, side(kWidthAt));
  image.integer(3, 3);  // RGB
  image.text(4, png);
  write(step, kSummary, one_value(tag, kImage, image));
}

void EventFile::shares(int64_t step, const std::string& tag, std::span<const double> values, int buckets) {
  std::vector<double> ends, counts(static_cast<size_t>(buckets));
  for (int i = 1; i <= buckets; ++i) ends.push_back(static_cast<double>(i) / buckets);
  double least = std::numeric_limits<double>::infinity(), most = -least, sum = 0, squares = 0;
  for (const double value : values) {
    const auto bucket = std::lower_bound(ends.begin(), ends.end() - 1, value);  // (end before, end]
    ++counts[static_cast<size_t>(bucket - ends.begin())];
    least = std::min(least, value);
    most = std::max(most, value);
    sum += value;
    squares += value * value;
  }
  ProtobufMessage histogram;
  histogram.real64(1, least);
  histogram.real64(2, most);
  histogram.real64(3, static_cast<double>(values.size()));
  histogram.real64(4, sum);
  histogram.real64(5, squares);
  histogram.text(6, packed(ends));
  histogram.text(7, packed(counts));
  write(step, kSummary, one_value(tag, kHistogram, histogram));
}

std::string keep_events_up_to(std::string_view bytes, int64_t step) {
  std::string kept;
  while (bytes.size() >= kBeforeBytes + kAfterBytes) {
    const uint64_t size = number_at(bytes, 0, 8);
    if (number_at(bytes, 8, 4) != masked_crc32c(bytes.substr(0, 8))) break;
    if (size > bytes.size() - kBeforeBytes - kAfterBytes) break;
    const std::string_view event = bytes.substr(kBeforeBytes, size);
    if (number_at(bytes, kBeforeBytes + size, 4) != masked_crc32c(event)) break;
    const std::string_view record = bytes.substr(0, kBeforeBytes + size + kAfterBytes);
    if (step_of(event) <= step) kept += record;
    bytes.remove_prefix(record.size());
  }
  return kept;
}

}  // namespace poise
