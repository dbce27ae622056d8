// FNV-1a, 64 bits: for keys that must not depend on the machine or the build, not for secrets.
#pragma once
#include <cstdint>
#include <string_view>

namespace poise {

constexpr uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace poise
