#include "tests/op_fixture.h"

#include <cmath>
#include <cstring>

namespace poise {
namespace {

constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;  // 0xFFFF...: NaN in f32 and f64
constexpr size_t kGuardBytes = 4 * kAlignment;
constexpr int kHolesPerSize = 3;

bool all_bytes_are(const void* bytes, size_t count, unsigned char value) {
  const auto* p = static_cast<const unsigned char*>(bytes);
  for (size_t i = 0; i < count; ++i) {
    if (p[i] != value) return false;
  }
  return true;
}

// Leaves as the tape wants them: parameters or variables where trainable, constants elsewhere.
bool is_trainable(const OpCase& c, const RunOptions& options, size_t input) {
  return c.inputs[input].trainable && options.frozen != static_cast<int>(input);
}

std::vector<Var> leaves_of(Tape& tape, const OpCase& c, const RunOptions& options, const std::vector<Tensor>& inputs,
                           std::vector<Parameter>& parameters) {
  std::vector<Var> leaves;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (c.inputs[i].trainable && options.parameters) {
      parameters[i].requires_grad = is_trainable(c, options, i);
      leaves.push_back(tape.parameter(parameters[i]));
    } else {
      leaves.push_back(is_trainable(c, options, i) ? tape.variable(inputs[i]) : tape.constant(inputs[i]));
    }
  }
  return leaves;
}

}  // namespace

GuardedTensor::GuardedTensor(const Shape& shape, DType dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  buffer_ = Buffer(bytes + 2 * kGuardBytes, Device::cpu);
  std::memset(buffer_.bytes(), kCanary, buffer_.size());
  tensor_ = {.bytes = static_cast<char*>(buffer_.bytes()) + kGuardBytes, .shape = shape, .dtype = dtype};
  std::memset(tensor_.bytes, kPoison, bytes);
}

bool GuardedTensor::intact() const {
  const char* end = static_cast<char*>(tensor_.bytes) + tensor_.size_bytes();
  return all_bytes_are(buffer_.bytes(), kGuardBytes, kCanary) && all_bytes_are(end, kGuardBytes, kCanary);
}

std::vector<double> to_host(const Tensor& tensor) {
  if (!tensor) return {};
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.dtype == DType::f32 ? tensor.data<float>()[i] : tensor.data<double>()[i];
  }
  return values;
}

void from_host(const Tensor& tensor, const std::vector<double>& values) {
  require(static_cast<size_t>(tensor.elements()) == values.size(), "as many values as elements");
  for (size_t i = 0; i < values.size(); ++i) {
    if (tensor.dtype == DType::f32) {
      tensor.data<float>()[i] = static_cast<float>(values[i]);
    } else {
      tensor.data<double>()[i] = values[i];
    }
  }
}

std::vector<double> drawn_values(const OpTensor& spec, const std::string& case_name, uint64_t index) {
  const int64_t count = spec.shape.elements();
  if (spec.draw == Draw::undefined) return std::vector<double>(static_cast<size_t>(count), std::nan(""));
  uint64_t seed = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : case_name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::vector<double> values(static_cast<size_t>(count));
  uniform_on_host(seed, RandomStream::test, index, count, values.data());
  double square = 0;
  for (double& value : values) {
    const double t = 2 * value - 1, sign = t < 0 ? -1 : 1, size = std::abs(t);
    switch (spec.draw) {
      case Draw::uniform:
      case Draw::unit:
        value = t;
        break;
      case Draw::away_from_zero:
        value = sign * (0.3 + 0.7 * size);
        break;
      case Draw::positive:
        value = 1 + 0.5 * t;
        break;
      case Draw::small:
        value = sign * (0.05 + 0.05 * size);
        break;
      case Draw::logits:
        value = sign * (size < 0.45 ? 2 * size : 1.1 + (size - 0.45) / 0.55 * 1.9);
        break;
      case Draw::wide:
        value = 20 * t;
        break;
      case Draw::extreme:
        value = 100 * t;
        break;
      case Draw::undefined:
        break;
    }
    square += value * value;
  }
  for (double& value : values) {
    if (spec.draw == Draw::unit) value /= std::sqrt(square);
    value = static_cast<float>(value);
  }
  return values;
}

OpPlan plan_of(const OpCase& c, const RunOptions& options) {
  const KernelTable kernels = planning_kernels(*options.kernels);
  Arena callers = Arena::for_planning(Device::cpu), arena = Arena::for_planning(Device::cpu);
  StepState step;
  Profile profile;
  Context context{.kernels = &kernels, .arena = &arena, .step = &step, .profile = &profile, .planning = true};
  Tape tape(context);
  tape.mode = c.mode;
  std::vector<Tensor> inputs, states;
  std::vector<Parameter> parameters(c.inputs.size());
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(callers.alloc(c.inputs[i].shape, options.dtype));
    parameters[i].shape = c.inputs[i].shape;
    parameters[i].value = inputs[i];
    parameters[i].grad = callers.alloc(c.inputs[i].shape, options.dtype);
  }
  for (const OpTensor& state : c.states) states.push_back(callers.alloc(state.shape, options.dtype));

  OpPlan plan;
  const Var y = c.build(tape, leaves_of(tape, c, options, inputs, parameters), states);
  plan.output = y.shape();
  plan.forward = profile.total().work;
  profile.clear();
  if (y.requires_grad()) tape.backward_from(y, tape.alloc(y.shape(), y.dtype()));
  plan.backward = profile.total().work;
  plan.arena_bytes = arena.peak();
  for (const Node& node : tape.nodes()) plan.ops.emplace_back(node.name);
  return plan;
}

OpFixture::OpFixture(const OpCase& c, const RunOptions& run_options)
    : op_case(c), options(run_options), plan(plan_of(c, run_options)), parameters_(c.inputs.size()) {
  uint64_t index = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(drawn_values(c.inputs[i], c.name, index++));
    input_memory_.emplace_back(c.inputs[i].shape, options.dtype);
    gradient_memory_.emplace_back(c.inputs[i].shape, options.dtype);
    parameters_[i].path = "input" + std::to_string(i);
    parameters_[i].shape = c.inputs[i].shape;
    parameters_[i].value = input_memory_[i].tensor();
    parameters_[i].grad = gradient_memory_[i].tensor();
  }
  for (const OpTensor& state : c.states) {
    states.push_back(drawn_values(state, c.name, index++));
    state_memory_.emplace_back(state.shape, options.dtype);
  }
  dy = drawn_values({plan.output, Draw::uniform}, c.name, index++);
  if (c.prepare) c.prepare(inputs, states);

  // Exactly what the plan asked for: a run that needs more than its plan fails. With guards, room for the holes and for
  // what fits into none of them.
  size_t bytes = plan.arena_bytes;
  if (options.guards) {
    for (const int64_t elements : likely_sizes()) {
      bytes += kHolesPerSize * (align_up(static_cast<size_t>(elements) * size_of(options.dtype)) + kGuardBytes);
    }
    bytes += plan.arena_bytes + 2 * kGuardBytes;
  }
  arena_ = std::make_unique<Arena>(bytes, Device::cpu);
  context_ = {.kernels = options.kernels, .arena = arena_.get(), .step = &step_};
  tape_ = std::make_unique<Tape>(context_);
  tape_->mode = c.mode;
}

void OpFixture::load() {
  for (size_t i = 0; i < inputs.size(); ++i) from_host(input_memory_[i].tensor(), inputs[i]);
  for (size_t i = 0; i < states.size(); ++i) from_host(state_memory_[i].tensor(), states[i]);
}

void OpFixture::poison() {
  tape_->reset();
  top_guard_.reset();
  arena_->reset();
  {
    Arena::Scratch end(*arena_, 0);  // finds the memory without counting as use of it
    std::memset(static_cast<char*>(end.tensor().bytes) - arena_->capacity(), kPoison, arena_->capacity());
  }
  for (GuardedTensor& gradient : gradient_memory_) {
    std::memset(gradient.tensor().bytes, kPoison, gradient.tensor().size_bytes());
  }
  if (options.guards) lay_out_holes();
}

// Elements of the tensors that an op allocates: outputs, gradients, copies of states.
std::set<int64_t> OpFixture::likely_sizes() const {
  std::set<int64_t> sizes{plan.output.elements()};
  for (const OpTensor& t : op_case.inputs) sizes.insert(t.shape.elements());
  for (const OpTensor& t : op_case.states) sizes.insert(t.shape.elements());
  return sizes;
}

void OpFixture::lay_out_holes() {
  canaries_.clear();
  auto canary = [&](const Tensor& tensor) {
    std::memset(tensor.bytes, kCanary, tensor.size_bytes());
    canaries_.push_back(tensor);
  };
  top_guard_ = std::make_unique<Arena::Scratch>(*arena_, kGuardBytes);  // the kernels' scratch lies right below
  canary(top_guard_->tensor());
  std::vector<Tensor> holes;
  for (int i = 0; i < kHolesPerSize; ++i) {
    for (const int64_t elements : likely_sizes()) {
      canary(arena_->alloc({static_cast<int64_t>(kGuardBytes)}, DType::u8));
      holes.push_back(arena_->alloc({elements}, options.dtype));
    }
  }
  canary(arena_->alloc({static_cast<int64_t>(kGuardBytes)}, DType::u8));
  for (const Tensor& hole : holes) arena_->recycle(hole);
}

// A block is rounded up to a cache line: the bytes between a tensor's end and the line's are nobody's either. (Only the
// forward pass: afterwards a block may have had another, larger tenant.)
void OpFixture::check_slack() {
  for (const Node& node : tape_->nodes()) {
    if (node.is_view) continue;
    const char* end = static_cast<char*>(node.output.bytes) + node.output.size_bytes();
    const size_t slack = align_up(node.output.size_bytes()) - node.output.size_bytes();
    if (!all_bytes_are(end, slack, kPoison)) {
      slack_damage_ += std::string("past the output of ") + node.name + "; ";
    }
  }
}

std::string OpFixture::damaged() const {
  std::string damage = slack_damage_;
  auto look = [&](const std::vector<GuardedTensor>& tensors, const char* what) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].intact()) damage += std::string("around ") + what + " " + std::to_string(i) + "; ";
    }
  };
  look(input_memory_, "input");
  look(gradient_memory_, "gradient");
  look(state_memory_, "state");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& gradient = gradient_memory_[i].tensor();
    if (!is_trainable(op_case, options, i) && !all_bytes_are(gradient.bytes, gradient.size_bytes(), kPoison)) {
      damage += "the gradient of input " + std::to_string(i) + ", which wants none; ";
    }
    const std::vector<double> now = to_host(input_memory_[i].tensor());
    for (size_t j = 0; j < now.size(); ++j) {
      if (now[j] != (options.dtype == DType::f32 ? static_cast<float>(inputs[i][j]) : inputs[i][j])) {
        damage += "input " + std::to_string(i) + " itself; ";
        break;
      }
    }
  }
  if (options.guards) {
    for (size_t i = 0; i < canaries_.size(); ++i) {
      if (!all_bytes_are(canaries_[i].bytes, canaries_[i].size_bytes(), kCanary)) {
        damage += i == 0 ? "past the end of the scratch memory; " : "between tensors of the arena; ";
      }
    }
  }
  return damage;
}

void OpFixture::forward(const OpBuild& build) {
  std::vector<Tensor> input_tensors, state_tensors;
  for (GuardedTensor& t : input_memory_) input_tensors.push_back(t.tensor());
  for (GuardedTensor& t : state_memory_) state_tensors.push_back(t.tensor());
  if (!options.guards) arena_->reset();
  tape_->reset();
  leaves_ = leaves_of(*tape_, op_case, options, input_tensors, parameters_);
  output_ = build(*tape_, leaves_, state_tensors);
}

void OpFixture::prepare_backward() {
  if (!output_.requires_grad()) return;
  gradient_ = tape_->alloc(output_.shape(), output_.dtype());
  from_host(gradient_, dy);
}

void OpFixture::backward() {
  if (output_.requires_grad()) tape_->backward_from(output_, gradient_);
}

std::vector<double> OpFixture::evaluate(const OpBuild& build) {
  poison();
  load();
  forward(build);
  return to_host(output_.value());
}

OpResult OpFixture::run() {
  slack_damage_.clear();
  profile.clear();
  poison();
  load();
  context_.profile = &profile;
  forward(op_case.build);
  check_slack();
  OpResult result{.output = to_host(output_.value())};
  prepare_backward();
  backward();
  context_.profile = nullptr;
  for (const Var leaf : leaves_) result.gradients.push_back(to_host(tape_->gradient(leaf)));
  for (const GuardedTensor& state : state_memory_) result.states.push_back(to_host(state.tensor()));
  result.damage = damaged();
  return result;
}

}  // namespace poise
