// MD5 (RFC 1321), because makers of data sets publish it. It identifies files but offers no security.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace poise {

class Md5 {
 public:
  void update(std::span<const uint8_t> bytes);
  std::string hex();  // 32 digits; no update() afterwards

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<uint8_t, 64> rest_{};
  uint64_t size_ = 0;
};

std::string md5_of(const std::string& text);

}  // namespace poise
