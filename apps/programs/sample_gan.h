// The program sample_gan: pictures from a checkpoint.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poise {

// What main() does; a function so that tests can call it. Returns the exit code.
int run_sample_gan(int argc, const char* const* argv);

// "0-63", "1,5,9-12" -> the numbers in that order, at most 100,000. Error(usage) that names `flag` for anything else.
std::vector<uint64_t> parse_numbers(const std::string& flag, const std::string& text);

// "3", "0,2,7-9", "cat,dog" -> labels below `known`; a name may be its part before a comma. Error(usage).
std::vector<int32_t> parse_classes(const std::string& text, int64_t known, const std::vector<std::string>& names);

}  // namespace poise
