#include "apps/console/number_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apps/console/flag_reader.h"
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

namespace {

// Finds classes by number or name. If classes are named by numbers, a number is taken as a name.
class ClassNames {
 public:
  ClassNames(const std::string& flag, int64_t known, const std::vector<std::string>& names)
      : flag_(flag), known_(known), names_(names) {
    numbered_ = std::any_of(names.begin(), names.end(), is_number);
  }

  bool has(const std::string& word) const { return !called(word).empty(); }

  int32_t by_name(const std::string& word) const {
    const std::vector<int32_t> classes = called(word);
    if (classes.empty()) {
      fail(ErrorKind::usage,
           fmt::format("--{}: expected classes by number or name but got \"{}\"{}; {}", flag_, word,
                       did_you_mean(word, names_),
                       names_.empty() ? "they have no names" : "their names are " + join_alternatives(names_)));
    }
    if (classes.size() > 1) {
      fail(ErrorKind::usage, fmt::format("--{}: the classes {} are all called \"{}\"; give a number{}", flag_,
                                         fmt::join(classes, ", "), word, numbered_ ? " of another" : ""));
    }
    return classes[0];
  }

  int32_t by_number(uint64_t number) const {
    if (numbered_) return by_name(std::to_string(number));
    if (number >= static_cast<uint64_t>(known_)) {
      fail(ErrorKind::usage, fmt::format("--{}: expected classes from 0 to {} but got {}", flag_, known_ - 1, number));
    }
    return static_cast<int32_t>(number);
  }

 private:
  static bool is_number(const std::string& word) {
    return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
  }
  static std::string without_zeros(const std::string& word) {
    return is_number(word) ? word.substr(std::min(word.find_first_not_of('0'), word.size() - 1)) : word;
  }
  // The first synonym is enough: "tabby" for "tabby, tabby cat". "01" and "1" are the same number.
  std::vector<int32_t> called(const std::string& word) const {
    std::vector<int32_t> exact, near;
    for (size_t i = 0; i < names_.size(); ++i) {
      const std::string first = names_[i].substr(0, names_[i].find(','));
      if (word == names_[i]) exact.push_back(static_cast<int32_t>(i));
      if (word == first || without_zeros(word) == without_zeros(first)) near.push_back(static_cast<int32_t>(i));
    }
    return exact.empty() ? near : exact;
  }

  const std::string& flag_;
  int64_t known_;
  const std::vector<std::string>& names_;
  bool numbered_ = false;
};

}  // namespace

std::vector<int32_t> parse_classes(const std::string& flag, const std::string& text, int64_t known,
                                   const std::vector<std::string>& names) {
  const ClassNames class_names(flag, known, names);
  if (class_names.has(text)) return {class_names.by_name(text)};  // a name may contain a comma
  std::vector<int32_t> classes;
  for (const std::string& word : split_at_commas(text)) {
    if (class_names.has(word) || word.find_first_not_of("0123456789-") != std::string::npos) {
      classes.push_back(class_names.by_name(word));
      continue;
    }
    for (const uint64_t label : parse_numbers(flag, word)) classes.push_back(class_names.by_number(label));
  }
  return classes;
}

}  // namespace poise
