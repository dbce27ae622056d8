#include "engine/tape/step_graph.h"

namespace poise {

bool StepGraph::may_capture() const {
  const Context& ctx = tape_->ctx;
  return capture_ && ctx.stream && !ctx.planning && !ctx.profile && !ctx.synchronous;
}

void StepGraph::run() {
  tape_->reset();
  tape_->ctx.arena->reset();
  body_();
}

void StepGraph::capture() {
  gpu::Runtime& runtime = gpu::runtime(tape_->ctx.device);
  gpu::Stream& stream = *tape_->ctx.stream;
  runtime.begin_capture(stream);
  try {
    run();
  } catch (...) {
    runtime.cancel_capture(stream);
    throw;
  }
  graph_ = runtime.end_capture(stream);
}

void StepGraph::launch() {
  if (!may_capture()) return run();
  if (!graph_ && plain_runs_left_ > 0) {
    --plain_runs_left_;
    return run();
  }
  if (!graph_) capture();
  gpu::runtime(tape_->ctx.device).replay(*graph_, *tape_->ctx.stream);
}

void StepGraph::invalidate() {
  if (graph_) plain_runs_left_ = kPlainRunsAfterChange;
  graph_.reset();
}

}  // namespace poise
