// The fraction of alive weights that a mask update drops, over the length of a run:
//
//   constant  start
//   linear    start + (end - start) t / length
//   cosine    end + (start - end) (1 + cos(pi t / length)) / 2          (RigL, Evci et al. 2020)
//
// t in iterations; after `length` it stays at its last value.
#pragma once
#include <cstdint>

#include "engine/io/enum_names.h"

namespace poise {

enum class ScheduleShape : uint8_t { constant, linear, cosine };
template <>
struct EnumNames<ScheduleShape> {
  static constexpr NamedValue<ScheduleShape> all[] = {
      {ScheduleShape::constant, "constant"}, {ScheduleShape::linear, "linear"}, {ScheduleShape::cosine, "cosine"}};
};

struct DropSchedule {
  ScheduleShape shape = ScheduleShape::cosine;
  double start = 0.5, end = 0.005;
  int64_t length = 100000;

  double at(int64_t t) const;
};

}  // namespace poise
