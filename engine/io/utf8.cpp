#include "engine/io/utf8.h"

#include <cstdint>

namespace poise {
namespace {

// The length of the character that begins here (RFC 3629: no overlong forms, no surrogates); 0 if none does.
size_t character_at(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return follows(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    const bool possible = !(a == 0xe0 && b < 0xa0) && !(a == 0xed && b >= 0xa0);
    return possible && follows(1) && follows(2) ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    const bool possible = !(a == 0xf0 && b < 0x90) && !(a == 0xf4 && b >= 0x90);
    return possible && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = character_at(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string to_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t size = character_at(text);
    out += size > 0 ? text.substr(0, size) : "\xef\xbf\xbd";
    text.remove_prefix(size > 0 ? size : 1);
  }
  return out;
}

}  // namespace poise
