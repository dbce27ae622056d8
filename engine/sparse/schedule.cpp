#include "engine/sparse/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace poise {

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
