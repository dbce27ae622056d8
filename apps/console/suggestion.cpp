#include "apps/console/suggestion.h"

#include <algorithm>
#include <optional>

namespace poise {

int edit_distance(const std::string& a, const std::string& b) {
  const size_t rows = a.size() + 1, columns = b.size() + 1;
  std::vector<int> distance(rows * columns);
  const auto at = [&](size_t i, size_t j) -> int& { return distance[i * columns + j]; };
  for (size_t i = 0; i < rows; ++i) at(i, 0) = static_cast<int>(i);
  for (size_t j = 0; j < columns; ++j) at(0, j) = static_cast<int>(j);
  for (size_t i = 1; i < rows; ++i) {
    for (size_t j = 1; j < columns; ++j) {
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  }
  return at(rows - 1, columns - 1);
}

namespace {

using Words = std::vector<std::string>;

// "--learning-rate-g" -> learning, rate, g
Words words_of_name(const std::string& name) {
  Words words;
  bool inside = false;
  for (const char c : name) {
    const bool separates = c == '-' || c == '_';
    if (!separates && !inside) words.emplace_back();
    if (!separates) words.back() += c;
    inside = !separates;
  }
  return words;
}

bool are_letters(Words::const_iterator first, Words::const_iterator last) {
  return std::all_of(first, last, [](const std::string& word) { return word.size() == 1; });
}

// The edits that `name` counts for as an abbreviation of `candidate`: 0 if it leaves out only what distinguishes
// variants ("-g"), 1 if it leaves out more, nothing if it is not an abbreviation.
std::optional<int> edits_of_abbreviation(const std::string& name, const std::string& candidate) {
  const Words given = words_of_name(name), all = words_of_name(candidate);
  if (given.empty()) return std::nullopt;
  std::string initials;
  for (auto word = all.begin(); word != all.end(); ++word) {
    initials += (*word)[0];
    if (initials.size() < 2 || initials != given[0]) continue;
    const Words rest(word + 1, all.end());
    if (given.size() > 1 ? std::equal(given.begin() + 1, given.end(), rest.begin(), rest.end())
                         : are_letters(rest.begin(), rest.end())) {
      return 0;
    }
  }
  if (name.size() < 3) return std::nullopt;
  const auto found = std::search(all.begin(), all.end(), given.begin(), given.end());
  if (found != all.end()) {
    const auto after = found + static_cast<std::ptrdiff_t>(given.size());
    return are_letters(all.begin(), found) && are_letters(after, all.end()) ? 0 : 1;
  }
  return candidate.starts_with(name) ? std::optional(1) : std::nullopt;
}

}  // namespace

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  constexpr size_t kMost = 4;
  // A third of the letters may be wrong; beyond that a suggestion would be a guess.
  int best = std::max(1, static_cast<int>(name.size()) / 3);
  std::vector<std::string> closest;
  for (const std::string& candidate : known) {
    const int distance = edits_of_abbreviation(name, candidate).value_or(edit_distance(name, candidate));
    if (distance > best) continue;
    if (distance < best) closest.clear();
    best = distance;
    if (closest.size() < kMost) closest.push_back(candidate);
  }
  return closest.empty() ? "" : " (did you mean " + join_alternatives(closest) + "?)";
}

std::string join_alternatives(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace poise
