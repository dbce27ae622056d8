// "Did you mean ...?" for unknown names.
#pragma once
#include <string>
#include <vector>

namespace poise {

// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
int edit_distance(const std::string& a, const std::string& b);

// " (did you mean width_g?)", or "" if no known name is close: within a small edit distance, or `name` is its prefix
// ("iter"), some of its words ("beta1" of adam-beta1) or their initials ("lr" of learning-rate-g). Lists all names that
// are equally close, up to four.
std::string did_you_mean(const std::string& name, const std::vector<std::string>& known);

// "a, b or c"
std::string join_alternatives(const std::vector<std::string>& words);

}  // namespace poise
