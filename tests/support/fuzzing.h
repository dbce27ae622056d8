// Fuzzing with randomly mutated files. Deterministic: every run tries the same inputs, unless more or different ones
// are requested.
//
// A parser must throw nothing but poise::Error, with a one-line message, and whatever it accepts must be consistent to
// the last byte. Tests that include this are built with the address and undefined-behaviour sanitizers in every preset,
// and so are the parsers (CMakeLists.txt).
#pragma once
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"

namespace poise::test {

class Xorshift {
 public:
  explicit Xorshift(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(next() % n); }

 private:
  uint64_t state_;
};

// Fragments that parsers of these formats tend to stumble over.
inline const std::vector<std::string> kPieces = {"{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 "\"",
                                                 ",",
                                                 ":",
                                                 "\\",
                                                 "\\u0000",
                                                 "\\ud800",
                                                 "\n",
                                                 std::string(1, '\0'),
                                                 "\xff",
                                                 "\xef\xbb\xbf",
                                                 "-1",
                                                 "-0",
                                                 "0",
                                                 "1",
                                                 "2",
                                                 "4",
                                                 "8",
                                                 "16",
                                                 "24",
                                                 "1e9",
                                                 "1.0",
                                                 "9223372036854775807",
                                                 "9223372036854775808",
                                                 "18446744073709551615",
                                                 "18446744073709551616",
                                                 "4294967296",
                                                 "null",
                                                 "true",
                                                 "\"F32\"",
                                                 "\"U8\"",
                                                 "\"BF16\"",
                                                 "F64",
                                                 "\"shape\"",
                                                 "\"dtype\":",
                                                 "\"data_offsets\":[0,0]",
                                                 "\"__metadata__\":{\"a\":\"b\"},",
                                                 ",\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                                                 "[[[[[[[[",
                                                 "{\"a\":{\"a\":{\"a\":",
                                                 "\"header_crc32\":\""};

// Applies one to four random edits: bits, bytes, pieces, numbers, lost or repeated stretches, parts of another seed.
inline std::string mutate(std::string bytes, const std::vector<std::string>& seeds, Xorshift& random) {
  for (size_t edits = 1 + random.below(4); edits > 0; --edits) {
    const size_t at = random.below(bytes.size() + 1), length = 1 + random.below(16);
    switch (random.below(9)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.next());
        break;
      case 2:
        bytes.insert(at, kPieces[random.below(kPieces.size())]);
        break;
      case 3:
        bytes.replace(at, std::min(length, bytes.size() - at), kPieces[random.below(kPieces.size())]);
        break;
      case 4:
        bytes.erase(at, length);
        break;
      case 5:
        bytes.insert(at, bytes.substr(random.below(bytes.size() + 1), length * 8));
        break;
      case 6:
        bytes.resize(at);
        break;
      case 7: {
        const std::string& other = seeds[random.below(seeds.size())];
        bytes.insert(at, other.substr(random.below(other.size() + 1), length * 8));
        break;
      }
      default: {  // replaces a digit by another one: numbers that nearly fit
        const size_t digit = bytes.find_first_of("0123456789", at);
        if (digit != std::string::npos) bytes[digit] = static_cast<char>('0' + random.below(10));
      }
    }
  }
  return bytes;
}

// Recomputes the checksum of every chunk of a PNG, so that edits pass that check.
inline void repair_png(std::string& png) {
  for (size_t at = 8; at + 12 <= png.size();) {
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(png[i])); };
    const size_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > png.size() - at - 12) return;
    const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(png.data()) + at + 4, length + 4);
    for (size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

struct Count {
  int accepted = 0, refused = 0;
};

// Checks that parse() either returns or throws an Error of one of these kinds with a one-line message. Anything else
// fails the test, and a bad memory access ends it.
template <class Parse>
void try_one(std::initializer_list<ErrorKind> kinds, Count& count, const Parse& parse) {
  try {
    parse();
    ++count.accepted;
  } catch (const Error& error) {
    ++count.refused;
    if (std::find(kinds.begin(), kinds.end(), error.kind()) == kinds.end() ||
        std::string_view(error.what()).find('\n') != std::string_view::npos) {
      ADD_FAILURE() << "unexpected error: " << error.what();
    }
  }
}

template <class Parse>
void try_one(ErrorKind kind, Count& count, const Parse& parse) {
  try_one({kind}, count, parse);
}

// The number of inputs a test tries: `quick`, or the variable POISE_FUZZ_INPUTS for a long search.
inline int inputs(int quick) {
  const char* text = std::getenv("POISE_FUZZ_INPUTS");
  const int asked = text ? std::atoi(text) : 0;
  return asked > 0 ? asked : quick;
}
// The seed of the random numbers. POISE_FUZZ_SEED gives different inputs from those of the quick runs.
inline uint64_t seed(uint64_t quick) {
  const char* text = std::getenv("POISE_FUZZ_SEED");
  return quick ^ (text ? std::strtoull(text, nullptr, 10) << 32 : 0);
}

}  // namespace poise::test
