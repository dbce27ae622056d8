#include "apps/console/suggestion.h"

#include <algorithm>

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

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  // A third of the letters may be wrong; beyond that a suggestion would be a guess. An abbreviation counts as close.
  int best = std::max(1, static_cast<int>(name.size()) / 3) + 1;
  const std::string* closest = nullptr;
  for (const std::string& candidate : known) {
    int distance = edit_distance(name, candidate);
    if (name.size() >= 3 && candidate.starts_with(name)) distance = 1;
    if (distance < best) best = distance, closest = &candidate;
  }
  return closest ? " (did you mean " + *closest + "?)" : "";
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
