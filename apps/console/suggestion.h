// "Did you mean ..?" for names that are not known.
#pragma once
#include <string>
#include <vector>

namespace poise {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
int edit_distance(const std::string& a, const std::string& b);

// " (did you mean width_g?)", or "" when no known name is close: within a small edit distance, or `name` is its beginning
// ("iter"), some of its words ("beta1" of adam-beta1) or their initials ("lr" of learning-rate-g). Names that are equally
// close are all given, up to four.
std::string did_you_mean(const std::string& name, const std::vector<std::string>& known);

// "a, b or c"
std::string join_alternatives(const std::vector<std::string>& words);

}  // namespace poise
