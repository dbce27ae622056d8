// Text from outside, as file names and command lines bring it: any bytes. JSON, TOML and HTML hold UTF-8 only.
#pragma once
#include <string>
#include <string_view>

namespace poise {

bool is_utf8(std::string_view text);
// Every byte that belongs to no character becomes U+FFFD.
std::string to_utf8(std::string_view text);

}  // namespace poise
