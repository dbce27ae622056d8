// Splits protocol buffers into fields, for tests of the files that we write for other programs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poise::test {

struct ProtobufField {
  uint64_t number = 0, value = 0;  // value: for varints
  std::string bytes;               // for all other types
};

inline std::vector<ProtobufField> fields_of(const std::string& message) {
  std::vector<ProtobufField> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < message.size() && shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(message[at++]);
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.size()) {
    const uint64_t key = varint();
    ProtobufField field{.number = key >> 3};
    if ((key & 7) == 0) {
      field.value = varint();
    } else {
      const size_t size = (key & 7) == 2 ? varint() : (key & 7) == 5 ? 4 : 8;
      field.bytes = message.substr(at, size);
      at += size;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

}  // namespace poise::test
