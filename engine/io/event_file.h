// The event files that TensorBoard reads: records one after another, each its length, a checksum of that, an Event
// (protocol buffer: wall_time, step, and what it shows) and a checksum of those bytes (TFRecord, masked CRC-32C).
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

// CRC-32C (Castagnoli), turned and shifted as TFRecord stores it.
uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  // Appends to a file, or begins it. Readers find it if its name contains "tfevents" and take the files of a folder in
  // the order of their names. Error(runtime), as of all that follow.
  explicit EventFile(const std::string& path);

  // The next events have this step or a later one: readers forget what they have read from there on.
  void restart(int64_t step);
  // As 32-bit floats, which is what all readers take.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void picture(int64_t step, const std::string& tag, std::string_view png);
  // How many values lie in each of `buckets` equal parts of [0, 1].
  void shares(int64_t step, const std::string& tag, std::span<const double> values, int buckets = 20);
  void sync() { file_.sync(); }

 private:
  void write(int64_t step, int field, const ProtobufMessage& content);

  AppendFile file_;
};

// The records of `bytes` that are whole and of a step of at most `step`. Where one is torn or damaged it ends.
std::string keep_events_up_to(std::string_view bytes, int64_t step);

}  // namespace poise
