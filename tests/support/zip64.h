// Rewrites an archive of write_npz() so that every number is in its zip64 field, as tools do that do not know the sizes
// in advance. NumPy reads the result.
#pragma once
#include <cstdint>
#include <string>

namespace poise::test {

inline std::string as_zip64(const std::string& plain) {
  const size_t end = plain.size() - 22, directory = plain.find("PK\x01\x02");
  const auto number = [](uint64_t value, size_t size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
    return bytes;
  };
  const std::string none(4, '\xff');
  std::string entries;
  size_t count = 0;
  for (size_t at = directory; at < end; ++count) {
    std::string entry = plain.substr(at, 46 + static_cast<uint8_t>(plain[at + 28]));
    const auto four = [&](size_t place) { return entry.substr(place, 4) + std::string(4, '\0'); };
    const std::string extra =
        number(0x7777, 2) + number(0, 2) + number(1, 2) + number(24, 2) + four(24) + four(20) + four(42);
    at += entry.size();
    for (const size_t place : {20, 24, 42}) entry.replace(place, 4, none);
    entry.replace(30, 2, number(extra.size(), 2));
    entries += entry + extra;
  }
  const size_t second_end = directory + entries.size();
  return plain.substr(0, directory) + entries + "PK\x06\x06" + number(44, 8) + number(45, 2) + number(45, 2) +
         number(0, 8) + number(count, 8) + number(count, 8) + number(entries.size(), 8) + number(directory, 8) +
         "PK\x06\x07" + number(0, 4) + number(second_end, 8) + number(1, 4) + "PK\x05\x06" + number(0, 4) +
         number(0xffff, 2) + number(0xffff, 2) + none + none + number(0, 2);
}

}  // namespace poise::test
