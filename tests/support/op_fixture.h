// Runs an OpCase with guarded memory and a tape: one forward and one backward pass. All results are returned on the
// host in f64, which represents every f32 and bf16 exactly, so equal vectors mean equal bytes. Works on any device,
// because memory is only accessed through copies.
#pragma once
#include <memory>
#include <set>

#include "tests/support/op_cases.h"

namespace poise {

// The caller's memory, with guard zones on both sides.
class GuardedTensor {
 public:
  GuardedTensor(const Shape& shape, DType dtype, Device device);
  const Tensor& tensor() const { return tensor_; }
  Tensor& tensor() { return tensor_; }
  bool intact() const;

 private:
  Buffer buffer_;
  Tensor tensor_;
};

std::vector<double> to_host(const Tensor& tensor);  // empty for an empty tensor
void from_host(const Tensor& tensor, const std::vector<double>& values);

// The elements of a case's tensors, as a function of the case's name and the index. They are always representable in
// f32, so an f32 and an f64 run start from the same values.
std::vector<double> drawn_values(const OpTensor& spec, const std::string& case_name, uint64_t index);

struct RunOptions {
  DType dtype = DType::f32;  // of activations; if they are bf16, parameters and states are f32
  const KernelTable* kernels = &cpu_kernels();
  Device device = Device::cpu;
  // With bf16, activations start from bf16 values regardless of dtype, so an f64 run can serve as reference for bf16.
  Precision precision = Precision::fp32;
  GemmChoice gemm;
  // Trainable inputs are parameters, with gradients in guarded memory. Otherwise they are variables, with gradients in
  // the arena.
  bool parameters = false;
  // Splits the arena into holes between canaries, in sizes that the case is likely to allocate, so that a kernel that
  // writes past its tensor hits a canary and not another tensor.
  bool guards = false;
  int frozen = -1;  // this input needs no gradient
};

struct OpResult {
  std::vector<double> output;
  HostValues gradients;  // per input; empty if there is none
  HostValues states;     // as the op left them
  std::string damage;    // which memory was written out of bounds; empty if none
};

// What a run will need and do, computed without touching any memory.
struct OpPlan {
  Shape output;
  size_t arena_bytes = 0;
  Work forward, backward;        // totals
  std::vector<std::string> ops;  // as recorded
};
OpPlan plan_of(const OpCase& op_case, const RunOptions& options);

class OpFixture {
 public:
  explicit OpFixture(const OpCase& op_case, const RunOptions& options = {});

  const OpCase op_case;
  const RunOptions options;
  const OpPlan plan;
  HostValues inputs, states;  // what the next run starts from
  std::vector<double> dy;     // what the output is contracted with
  Profile profile;            // of the last run
  size_t arena_peak() const { return arena_->peak(); }

  // Runs both passes, starting from NaN-filled memory.
  OpResult run();
  // Computes only the output, with `build` instead of the case's own function.
  std::vector<double> evaluate(const OpBuild& build);

  // For the benchmark: the passes, and what has to happen before each. forward() may be repeated; each backward()
  // consumes the results of one forward() and one prepare_backward().
  void use_stream(gpu::Stream* stream) { context_.stream = stream; }
  void load();
  void forward(const OpBuild& build);
  void prepare_backward();
  void backward();

 private:
  void poison();
  std::vector<double> drawn(const OpTensor& spec, uint64_t index, bool activation) const;
  std::set<size_t> likely_sizes() const;
  void lay_out_holes();
  void check_slack();
  std::string damaged() const;

  std::vector<GuardedTensor> input_memory_, gradient_memory_, state_memory_;
  std::vector<Parameter> parameters_;
  std::vector<Var> leaves_;
  Var output_;
  Tensor gradient_;  // of the output
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Arena::Scratch> top_guard_;
  std::vector<Tensor> canaries_;
  std::string slack_damage_;
  OwnedTensor step_;
  Context context_;
  std::unique_ptr<Tape> tape_;
};

}  // namespace poise
