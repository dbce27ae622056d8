// One step as a unit that is built once and launched many times. On the CPU a launch is a plain call. On CUDA it will
// be a captured graph, which is why a step never allocates outside its arena, never synchronises, and reads whatever
// changes from the StepState.
#pragma once
#include <functional>
#include <utility>

#include "engine/tape/tape.h"

namespace poise {

class StepGraph {
 public:
  // `body` records onto the tape and runs the kernels. Before each launch the tape and its arena are reset.
  StepGraph(Tape& tape, std::function<void()> body) : tape_(&tape), body_(std::move(body)) {}
  void launch() {
    tape_->reset();
    tape_->ctx.arena->reset();
    body_();
  }

 private:
  Tape* tape_;
  std::function<void()> body_;
};

}  // namespace poise
