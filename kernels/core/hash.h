// 64-bit FNV-1a, for keys that must not depend on the machine or the build. Not cryptographic.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace poise {

constexpr uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// For long inputs: hashes eight bytes at a time. The result is the same on all little-endian machines.
inline uint64_t hash_of_bytes(const void* bytes, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u ^ size;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  };
  const auto* at = static_cast<const char*>(bytes);
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, at, size);
  mix(rest);
  return hash;
}

}  // namespace poise
