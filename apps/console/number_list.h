// Lists that a user writes: seeds, and classes by number or name.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace poise {

constexpr size_t kMostNumbers = 100000;

// "0-63", "1,5,9-12" -> the numbers in that order, at most kMostNumbers. Otherwise Error(usage) that names `flag`.
std::vector<uint64_t> parse_numbers(const std::string& flag, const std::string& text);

// "3", "0,2,7-9", "cat,dog" -> labels below `known`. The part of a name before its comma is enough. If classes are
// named by numbers, a number is taken as a name. Error(usage) as above.
std::vector<int32_t> parse_classes(const std::string& flag, const std::string& text, int64_t known,
                                   const std::vector<std::string>& names);

}  // namespace poise
