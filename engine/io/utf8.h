// Text from outside, such as file names and command lines, can be any bytes. JSON, TOML and HTML hold UTF-8 only.
#pragma once
#include <string>
#include <string_view>

namespace poise {

bool is_utf8(std::string_view text);
// Replaces every byte that is not part of a valid character by U+FFFD.
std::string to_utf8(std::string_view text);

}  // namespace poise
