// One step as a unit that is built once and launched many times. On the CPU a launch is a plain call. On a GPU the
// first two launches are plain too (kernels and libraries set themselves up at first use), the third captures the
// step's launches into a graph, and from then on a launch replays the graph: one call instead of hundreds. That is why
// a step never allocates outside its arena, never synchronises, and reads everything that changes from the StepState.
#pragma once
#include <functional>
#include <memory>

#include "engine/tape/tape.h"
#include "kernels/gpu/runtime.h"

namespace poise {

class StepGraph {
 public:
  // `body` records onto the tape and runs the kernels. Before each run the tape and its arena are reset. `capture` says
  // whether launches may be replayed (never on the CPU, while a profile is attached, or if the context is synchronous).
  StepGraph(Tape& tape, std::function<void()> body, bool capture = true)
      : tape_(&tape), body_(std::move(body)), capture_(capture) {}

  void launch();
  // Call this when something changes that the captured launches hold by value: a mask, a choice of kernels, an option
  // of the step. The next launch is plain, and the one after it captures again.
  void invalidate();

  bool captured() const { return graph_ != nullptr; }

 private:
  static constexpr int kPlainRuns = 2, kPlainRunsAfterChange = 1;

  bool may_capture() const;
  void run();
  void capture();

  Tape* tape_;
  std::function<void()> body_;
  bool capture_;
  int plain_runs_left_ = kPlainRuns;
  std::unique_ptr<gpu::Graph> graph_;
};

}  // namespace poise
