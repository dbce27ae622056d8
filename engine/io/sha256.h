// SHA-256 (FIPS 180-4), to name files by their contents.
#pragma once
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

namespace poise {

// The hash of all parts in sequence, as 64 hexadecimal digits.
std::string sha256(std::initializer_list<std::span<const std::byte>> parts);

}  // namespace poise
