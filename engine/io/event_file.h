// The event files that TensorBoard reads: a sequence of records, each with its length, a checksum of the length, an
// Event (protocol buffer: wall_time, step, and what it shows) and a checksum of the Event (TFRecord, masked CRC-32C).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/io/append_file.h"
#include "engine/io/protobuf.h"

namespace poise {

// CRC-32C (Castagnoli), rotated and offset as TFRecord stores it.
uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  // Appends to a file, or creates it. Readers find it if its name contains "tfevents" and read the files of a folder in
  // the order of their names. Failures are Error(runtime), here and in all functions below.
  explicit EventFile(const std::string& path);

  // Says that the next events have this step or a later one: readers discard what they have read from this step on.
  void restart(int64_t step);
  // Values are written as 32-bit floats, which all readers accept.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void picture(int64_t step, const std::string& tag, std::string_view png);
  // A histogram: how many values are in each of `buckets` equal parts of [0, 1].
  void shares(int64_t step, const std::string& tag, std::span<const double> values, int buckets = 20);
  void sync() { file_.sync(); }

 private:
  void write(int64_t step, int field, const ProtobufMessage& content);

  AppendFile file_;
};

// The records of `bytes` whose step is at most `step`, up to the first record that is incomplete or damaged.
std::string keep_events_up_to(std::string_view bytes, int64_t step);

}  // namespace poise
