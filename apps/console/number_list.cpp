#include "apps/console/number_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apps/console/suggestion.h"
#include "kernels/core/error.h"

namespace poise {
std::vector<uint64_t> parse_numbers(const std::string& flag, const std::string& text) {
  const auto refuse = [&](const char* got) {
    fail(ErrorKind::usage, fmt::format("--{}: expected numbers and ranges such as 0-63 or 1,5,9-12, at most {} in "
                                       "all, but got {} in \"{}\"",
                                       flag, kMostNumbers, got, text));
  };
  std::vector<uint64_t> seeds;
  const char *at = text.data(), *end = at + text.size();
  const auto number = [&] {
    uint64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) refuse("no number");
    at = next;
    return value;
  };
  while (true) {
    const uint64_t first = number();
    uint64_t last = first;
    if (at != end && *at == '-') ++at, last = number();
    if (last < first) refuse("a range that ends before it begins");
    if (last - first >= kMostNumbers - seeds.size()) refuse("more");
    for (uint64_t seed = first; seed <= last && seed >= first; ++seed) seeds.push_back(seed);
    if (at == end) return seeds;
    if (*at++ != ',') refuse("another character");
  }
}

std::vector<int32_t> parse_classes(const std::string& flag, const std::string& text, int64_t known,
                                   const std::vector<std::string>& names) {
  const auto named = [&](const std::string& word) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (word == names[i] || word == names[i].substr(0, names[i].find(','))) return static_cast<int32_t>(i);
    }
    return int32_t{-1};
  };
  if (std::find(names.begin(), names.end(), text) != names.end()) return {named(text)};  // it may have a comma
  std::vector<int32_t> classes;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, comma - at);
    at = comma + 1;
    if (word.find_first_not_of("0123456789-") != std::string::npos) {
      if (named(word) < 0) {
        fail(ErrorKind::usage,
             fmt::format("--{}: expected classes by number or name but got \"{}\"{}; {}", flag, word,
                         did_you_mean(word, names),
                         names.empty() ? "they have no names" : "their names are " + join_alternatives(names)));
      }
      classes.push_back(named(word));
      continue;
    }
    for (const uint64_t label : parse_numbers(flag, word)) {
      if (label >= static_cast<uint64_t>(known)) {
        fail(ErrorKind::usage, fmt::format("--{}: expected classes from 0 to {} but got {}", flag, known - 1, label));
      }
      classes.push_back(static_cast<int32_t>(label));
    }
  }
  return classes;
}

}  // namespace poise
