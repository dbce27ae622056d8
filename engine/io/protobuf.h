// A writer of protocol buffers, enough for the few messages that other tools read from us (ONNX, TensorBoard). A
// message is a sequence of fields, each a key (number << 3 | kind) and a varint, 4 or 8 bytes, or a length and bytes.
#pragma once
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace poise {

class ProtobufMessage {
 public:
  // Fields are written in the order of the calls; a field number that is used repeatedly makes a list.
  void integer(int field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
  }
  void real32(int field, float value) {
    key(field, 5);
    little_endian(std::bit_cast<uint32_t>(value), 4);
  }
  void real64(int field, double value) {
    key(field, 1);
    little_endian(std::bit_cast<uint64_t>(value), 8);
  }
  void text(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(int field, const ProtobufMessage& value) { text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(int field, unsigned kind) { varint(static_cast<uint64_t>(field) << 3 | kind); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void little_endian(uint64_t bits, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(bits >> (8 * i) & 0xff);
  }

  std::string bytes_;
};

}  // namespace poise
