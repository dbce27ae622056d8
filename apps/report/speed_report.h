// The speed of a sparse iteration compared to a dense one (apps/training/speed_comparison.h), as text and chart.
#pragma once
#include <string>

#include "apps/training/speed_comparison.h"

namespace poise {

// "2.1x faster than dense and 3.4x fewer FLOPs with 30.0% of the weights of G and 30.0% of D: 81 ms instead of 170 ms
// per iteration (10 of each in turns, cpu AMD EPYC 2 threads)"
std::string speed_text(const SpeedComparison& speed);
std::string svg_speed_chart(const SpeedComparison& speed);

}  // namespace poise
