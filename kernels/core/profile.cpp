#include "kernels/core/profile.h"

#include <cstring>

namespace poise {
namespace {
void accumulate(Profile::Row& row, const Work& work, int64_t calls, double seconds) {
  row.work.flops += work.flops;
  row.work.executed_flops += work.executed_flops;
  row.work.bytes += work.bytes;
  row.calls += calls;
  row.seconds += seconds;
}
}  // namespace

void Profile::add(const std::string& layer, const Work& work, double seconds) {
  for (Row& row : rows_) {
    if (row.work.pass == work.pass && row.layer == layer && std::strcmp(row.work.op, work.op) == 0) {
      return accumulate(row, work, 1, seconds);
    }
  }
  rows_.push_back({.layer = layer, .work = work, .calls = 1, .seconds = seconds});
}

Profile::Row Profile::total() const {
  Row sum{.layer = "total", .work = {.op = "total"}};
  for (const Row& row : rows_) accumulate(sum, row.work, row.calls, row.seconds);
  return sum;
}

}  // namespace poise
