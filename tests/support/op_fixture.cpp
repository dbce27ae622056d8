#include "tests/support/op_fixture.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/hash.h"

namespace poise {
namespace {

constexpr unsigned char kCanary = 0xA5, kPoison = 0xFF;  // 0xFFFF...: NaN in f32 and f64
constexpr size_t kGuardBytes = 5 * kAlignment;           // odd multiple: no better alignment than the arena guarantees
constexpr int kHolesPerSize = 3;

// `count` bytes of the memory that contains `inside`, starting `offset` bytes after the start of `inside`.
Tensor bytes_at(const Tensor& inside, int64_t offset, size_t count) {
  return {.bytes = static_cast<char*>(inside.bytes) + offset,
          .shape = {static_cast<int64_t>(count)},
          .dtype = DType::u8,
          .device = inside.device};
}

void fill_bytes(const Tensor& tensor, unsigned char value) {
  const std::vector<unsigned char> bytes(tensor.size_bytes(), value);
  copy_from_host(tensor, bytes.data());
}

bool all_bytes_are(const Tensor& tensor, unsigned char value) {
  std::vector<unsigned char> bytes(tensor.size_bytes());
  copy_to_host(bytes.data(), tensor);
  return std::all_of(bytes.begin(), bytes.end(), [value](unsigned char byte) { return byte == value; });
}

template <class T>
std::vector<double> values_of(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  copy_to_host(values.data(), tensor);
  std::vector<double> result;
  for (const T value : values) {
    if constexpr (std::is_same_v<T, bf16>) {
      result.push_back(to_float(value));
    } else {
      result.push_back(value);
    }
  }
  return result;
}

// Trainable inputs become parameters or variables on the tape, the others constants.
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

GuardedTensor::GuardedTensor(const Shape& shape, DType dtype, Device device) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  buffer_ = Buffer(bytes + 2 * kGuardBytes, device);
  tensor_ = {
      .bytes = static_cast<char*>(buffer_.bytes()) + kGuardBytes, .shape = shape, .dtype = dtype, .device = device};
  fill_bytes(bytes_at(tensor_, -static_cast<int64_t>(kGuardBytes), buffer_.size()), kCanary);
  fill_bytes(tensor_, kPoison);
}

bool GuardedTensor::intact() const {
  const auto guard = static_cast<int64_t>(kGuardBytes), bytes = static_cast<int64_t>(tensor_.size_bytes());
  return all_bytes_are(bytes_at(tensor_, -guard, kGuardBytes), kCanary) &&
         all_bytes_are(bytes_at(tensor_, bytes, kGuardBytes), kCanary);
}

std::vector<double> to_host(const Tensor& tensor) {
  if (!tensor) return {};
  switch (tensor.dtype) {
    case DType::f32:
      return values_of<float>(tensor);
    case DType::bf16:
      return values_of<bf16>(tensor);
    default:
      return values_of<double>(tensor);
  }
}

void from_host(const Tensor& tensor, const std::vector<double>& values) {
  require(static_cast<size_t>(tensor.elements()) == values.size(), "expected one value per element");
  auto copy_as = [&]<class T>(auto convert) {
    std::vector<T> converted;
    for (const double value : values) converted.push_back(convert(value));
    copy_from_host(tensor, converted.data());
  };
  switch (tensor.dtype) {
    case DType::f32:
      return copy_as.operator()<float>([](double value) { return static_cast<float>(value); });
    case DType::bf16:
      return copy_as.operator()<bf16>([](double value) { return to_bf16(static_cast<float>(value)); });
    default:
      return copy_from_host(tensor, values.data());
  }
}

std::vector<double> drawn_values(const OpTensor& spec, const std::string& case_name, uint64_t index) {
  const int64_t count = spec.shape.elements();
  if (spec.draw == Draw::undefined) return std::vector<double>(static_cast<size_t>(count), std::nan(""));
  std::vector<double> values(static_cast<size_t>(count));
  uniform_on_host(fnv1a(case_name), RandomStream::test, index, count, values.data());
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

namespace {

DType parameter_dtype(DType activation) { return activation == DType::bf16 ? DType::f32 : activation; }

DType input_dtype(const OpTensor& input, DType activation) {
  return input.parameter ? parameter_dtype(activation) : activation;
}

}  // namespace

OpPlan plan_of(const OpCase& c, const RunOptions& options) {
  const KernelTable kernels = planning_kernels(*options.kernels);
  Arena callers = Arena::for_planning(options.device), arena = Arena::for_planning(options.device);
  StepState step;
  Profile profile;
  Context context{.device = options.device,
                  .precision = options.precision,
                  .kernels = &kernels,
                  .arena = &arena,
                  .step = &step,
                  .profile = &profile,
                  .gemm = options.gemm,
                  .planning = true};
  Tape tape(context);
  tape.mode = c.mode;
  std::vector<Tensor> inputs, states;
  std::vector<Parameter> parameters(c.inputs.size());
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const DType dtype = input_dtype(c.inputs[i], options.dtype);
    inputs.push_back(callers.alloc(c.inputs[i].shape, dtype));
    parameters[i].shape = c.inputs[i].shape;
    parameters[i].value = inputs[i];
    parameters[i].grad = callers.alloc(c.inputs[i].shape, dtype);
  }
  for (const OpTensor& state : c.states) {
    states.push_back(callers.alloc(state.shape, parameter_dtype(options.dtype)));
  }

  OpPlan plan;
  const Var y = c.build(tape, leaves_of(tape, c, options, inputs, parameters), states);
  plan.output = y.shape();
  y.value();  // as in a run; reading the value may be what computes it
  plan.forward = profile.total().work;
  profile.clear();
  if (y.requires_grad()) tape.backward_from(y, tape.alloc(y.shape(), y.dtype()));
  plan.backward = profile.total().work;
  plan.arena_bytes = arena.peak();
  for (const Node& node : tape.nodes()) plan.ops.emplace_back(node.name);
  return plan;
}

// Activations of a bf16 run, and of the run that it is compared with, are rounded to bf16.
std::vector<double> OpFixture::drawn(const OpTensor& spec, uint64_t index, bool activation) const {
  std::vector<double> values = drawn_values(spec, op_case.name, index);
  if (activation && options.precision == Precision::bf16) {
    for (double& value : values) value = to_float(to_bf16(static_cast<float>(value)));
  }
  return values;
}

OpFixture::OpFixture(const OpCase& c, const RunOptions& run_options)
    : op_case(c),
      options(run_options),
      plan(plan_of(c, run_options)),
      parameters_(c.inputs.size()),
      step_(Shape{static_cast<int64_t>(sizeof(StepState))}, DType::u8, run_options.device) {
  uint64_t index = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(drawn(c.inputs[i], index++, !c.inputs[i].parameter));
    const DType dtype = input_dtype(c.inputs[i], options.dtype);
    input_memory_.emplace_back(c.inputs[i].shape, dtype, options.device);
    gradient_memory_.emplace_back(c.inputs[i].shape, dtype, options.device);
    parameters_[i].path = "input" + std::to_string(i);
    parameters_[i].shape = c.inputs[i].shape;
    parameters_[i].value = input_memory_[i].tensor();
    parameters_[i].grad = gradient_memory_[i].tensor();
  }
  for (const OpTensor& state : c.states) {
    states.push_back(drawn(state, index++, false));
    state_memory_.emplace_back(state.shape, parameter_dtype(options.dtype), options.device);
  }
  dy = drawn({plan.output, Draw::uniform}, index++, true);
  if (c.prepare) c.prepare(inputs, states);

  // Exactly as much as planned, so a run that needs more than its plan fails. Guards need additional room for the holes
  // and for tensors that fit into none of them.
  size_t bytes = plan.arena_bytes;
  if (options.guards) {
    for (const size_t size : likely_sizes()) bytes += kHolesPerSize * (align_up(size) + kGuardBytes);
    bytes += plan.arena_bytes + 2 * kGuardBytes;
  }
  arena_ = std::make_unique<Arena>(bytes, options.device);
  const StepState step;
  copy_from_host(step_.tensor(), &step);
  context_ = {.device = options.device,
              .precision = options.precision,
              .kernels = options.kernels,
              .arena = arena_.get(),
              .step = static_cast<StepState*>(step_.tensor().bytes),
              .gemm = options.gemm};
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
    Arena::Scratch end(*arena_, 0);  // locates the memory without counting as usage
    const auto capacity = static_cast<int64_t>(arena_->capacity() / kAlignment * kAlignment);
    fill_bytes(bytes_at(end.tensor(), -capacity, static_cast<size_t>(capacity)), kPoison);
  }
  for (GuardedTensor& gradient : gradient_memory_) fill_bytes(gradient.tensor(), kPoison);
  if (options.guards) lay_out_holes();
}

// Bytes of the tensors that an op allocates: outputs, gradients, copies of states.
std::set<size_t> OpFixture::likely_sizes() const {
  std::set<size_t> sizes;
  for (const DType dtype : {options.dtype, parameter_dtype(options.dtype)}) {
    auto insert = [&](const Shape& shape) { sizes.insert(static_cast<size_t>(shape.elements()) * size_of(dtype)); };
    insert(plan.output);
    for (const OpTensor& t : op_case.inputs) insert(t.shape);
    for (const OpTensor& t : op_case.states) insert(t.shape);
  }
  return sizes;
}

void OpFixture::lay_out_holes() {
  canaries_.clear();
  auto canary = [&](const Tensor& tensor) {
    fill_bytes(tensor, kCanary);
    canaries_.push_back(tensor);
  };
  top_guard_ = std::make_unique<Arena::Scratch>(*arena_, kGuardBytes);  // the kernels' scratch is right below
  canary(top_guard_->tensor());
  std::vector<Tensor> holes;
  for (int i = 0; i < kHolesPerSize; ++i) {
    for (const size_t size : likely_sizes()) {
      canary(arena_->alloc({static_cast<int64_t>(kGuardBytes)}, DType::u8));
      holes.push_back(arena_->alloc({static_cast<int64_t>(size)}, DType::u8));
    }
  }
  canary(arena_->alloc({static_cast<int64_t>(kGuardBytes)}, DType::u8));
  for (const Tensor& hole : holes) arena_->recycle(hole);
}

// Blocks are rounded up to cache lines, and the bytes between the end of a tensor and the end of its block must stay
// untouched. Only checked after the forward pass; after the backward pass, a larger tensor may have used the block.
void OpFixture::check_slack() {
  for (const Node& node : tape_->nodes()) {
    if (node.is_view) continue;
    const size_t bytes = node.output.size_bytes(), slack = align_up(bytes) - bytes;
    if (!all_bytes_are(bytes_at(node.output, static_cast<int64_t>(bytes), slack), kPoison)) {
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
    if (!is_trainable(op_case, options, i) && !all_bytes_are(gradient, kPoison)) {
      damage += "the gradient of input " + std::to_string(i) + ", which needs none; ";
    }
    const std::vector<double> now = to_host(input_memory_[i].tensor());
    for (size_t j = 0; j < now.size(); ++j) {
      if (now[j] != (options.dtype == DType::f64 ? inputs[i][j] : static_cast<float>(inputs[i][j]))) {
        damage += "input " + std::to_string(i) + " itself; ";
        break;
      }
    }
  }
  if (options.guards) {
    for (size_t i = 0; i < canaries_.size(); ++i) {
      if (!all_bytes_are(canaries_[i], kCanary)) {
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
