#include "engine/sparse/cell.h"

#include <charconv>
#include <string_view>

namespace poise {
namespace {
constexpr std::string_view kAllTaps = "-all-taps";
constexpr int64_t kLargest = 4096;
}  // namespace

std::string to_string(const Cell& cell) {
  std::string text = std::to_string(cell.out) + "x" + std::to_string(cell.in);
  return cell.all_taps ? text + std::string(kAllTaps) : text;
}

std::optional<Cell> cell_of(const std::string& text) {
  std::string_view rest = text;
  Cell cell;
  if (rest.ends_with(kAllTaps)) {
    cell.all_taps = true;
    rest.remove_suffix(kAllTaps.size());
  }
  const char* end = rest.data() + rest.size();
  const auto first = std::from_chars(rest.data(), end, cell.out);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != 'x') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, cell.in);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  if (cell.out < 1 || cell.in < 1 || cell.out > kLargest || cell.in > kLargest) return std::nullopt;
  // One spelling each: "016x16" and "+16x16" are refused with everything else.
  return to_string(cell) == text ? std::optional(cell) : std::nullopt;
}

}  // namespace poise
