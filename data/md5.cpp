#include "data/md5.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace poise {
namespace {

std::array<uint32_t, 64> sines() {
  std::array<uint32_t, 64> table{};
  for (int i = 0; i < 64; ++i) {
    table[static_cast<size_t>(i)] = static_cast<uint32_t>(std::floor(std::fabs(std::sin(i + 1.0)) * 4294967296.0));
  }
  return table;
}

}  // namespace

void Md5::block(const uint8_t* bytes) {
  static const std::array<uint32_t, 64> kSines = sines();
  constexpr int kShifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  uint32_t words[16];
  std::memcpy(words, bytes, sizeof words);  // little-endian, like all machines that Poise runs on
  auto [a, b, c, d] = state_;
  for (uint32_t i = 0; i < 64; ++i) {
    uint32_t mixed = 0, word = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d), word = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c), word = (5 * i + 1) % 16;
        break;
      case 2:
        mixed = b ^ c ^ d, word = (3 * i + 5) % 16;
        break;
      default:
        mixed = c ^ (b | ~d), word = 7 * i % 16;
    }
    const uint32_t sum = a + mixed + kSines[i] + words[word];
    a = d, d = c, c = b;
    b += std::rotl(sum, kShifts[i / 16][i % 4]);
  }
  state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d};
}

void Md5::update(std::span<const uint8_t> bytes) {
  const size_t held = size_ % 64;
  size_ += bytes.size();
  if (held > 0) {
    const size_t taken = std::min(bytes.size(), 64 - held);
    std::copy_n(bytes.begin(), taken, rest_.begin() + static_cast<ptrdiff_t>(held));
    if (held + taken < 64) return;
    block(rest_.data());
    bytes = bytes.subspan(taken);
  }
  for (; bytes.size() >= 64; bytes = bytes.subspan(64)) block(bytes.data());
  std::copy(bytes.begin(), bytes.end(), rest_.begin());
}

std::string Md5::hex() {
  const uint64_t bits = size_ * 8;
  const std::array<uint8_t, 64> padding = {0x80};
  update(std::span(padding).first(1 + (119 - size_ % 64) % 64));
  uint8_t length[8];
  std::memcpy(length, &bits, sizeof length);
  update(length);
  std::string text;
  for (const uint32_t word : state_) {
    for (int shift = 0; shift < 32; shift += 8) text += fmt::format("{:02x}", word >> shift & 0xff);
  }
  return text;
}

std::string md5_of(const std::string& text) {
  Md5 md5;
  md5.update({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return md5.hex();
}

}  // namespace poise
