// Where time and arithmetic go: one row per (layer, op, pass). The tape adds to it at every kernel launch, in plans
// (work without time) as well as in measured runs, so the FLOP table, --dry-run and the benchmarks count the same work.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poise {

enum class Pass : uint8_t { forward, backward, backward_input, backward_weight, update };

constexpr const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::backward:
      return "backward";
    case Pass::backward_input:
      return "backward_input";
    case Pass::backward_weight:
      return "backward_weight";
    case Pass::update:
      return "update";
  }
  return "?";
}

// The work of one launch. `flops`: the cost of the op's textbook definition on dense operands (a multiply-add is 2).
// `executed_flops`: what the chosen kernel really performs. `bytes`: operands and results, each counted once.
struct Work {
  const char* op = "";
  Pass pass = Pass::forward;
  double flops = 0, executed_flops = 0, bytes = 0;
};

class Profile {
 public:
  struct Row {
    std::string layer;
    Work work;  // totals
    int64_t calls = 0;
    double seconds = 0;
  };

  void add(const std::string& layer, const Work& work, double seconds);
  void clear() { rows_.clear(); }
  const std::vector<Row>& rows() const { return rows_; }  // in order of first launch
  Row total() const;

 private:
  std::vector<Row> rows_;
};

}  // namespace poise
