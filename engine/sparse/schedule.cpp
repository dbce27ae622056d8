#include "engine/sparse/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace poise {
namespace {
constexpr struct {
  const char* name;
  ScheduleShape shape;
} kShapes[] = {
    {"constant", ScheduleShape::constant}, {"linear", ScheduleShape::linear}, {"cosine", ScheduleShape::cosine}};
}  // namespace

std::vector<std::string> schedule_shape_names() {
  std::vector<std::string> names;
  for (const auto& entry : kShapes) names.emplace_back(entry.name);
  return names;
}

std::optional<ScheduleShape> schedule_shape_of(const std::string& name) {
  for (const auto& entry : kShapes)
    if (name == entry.name) return entry.shape;
  return std::nullopt;
}

double DropSchedule::at(int64_t t) const {
  const double done = static_cast<double>(std::min(t, length)) / static_cast<double>(length);
  switch (shape) {
    case ScheduleShape::constant:
      return start;
    case ScheduleShape::linear:
      return start + (end - start) * done;
    case ScheduleShape::cosine:
      return end + (start - end) * (1 + std::cos(std::numbers::pi * done)) / 2;
  }
  return start;
}

}  // namespace poise
