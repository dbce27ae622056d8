// The shape checks of the ops: every message names the layer (from the Scope), what was expected and what was found.
#pragma once
#include <string>

#include "engine/tape/tape.h"

namespace poise {

[[noreturn]] inline void op_error(const Tape& tape, const std::string& message) {
  fail(ErrorKind::runtime, tape.scope().empty() ? message : tape.scope() + ": " + message);
}

// `message` is only built when the check fails: f() returns it.
template <class F>
void check(const Tape& tape, bool condition, const F& message) {
  if (!condition) op_error(tape, message());
}

// All operands of an op share one tape and one dtype.
inline void check_operands(const char* op, Var x, Var other) {
  check(*x.tape, other.tape == x.tape, [&] { return std::string(op) + ": operands live on different tapes"; });
  check(*x.tape, other.dtype() == x.dtype(), [&] {
    return std::string(op) + " expects operands of one dtype but got " + name_of(x.dtype()) + " and " +
           name_of(other.dtype());
  });
}

// The parameters, statistics and sums over space that go with bf16 activations are f32: bf16 is for large tensors only.
inline DType parameter_dtype(DType activation) { return activation == DType::bf16 ? DType::f32 : activation; }

// A parameter of an op on activations x.
inline void check_parameter(const char* op, Var x, Var parameter) {
  check(*x.tape, parameter.tape == x.tape, [&] { return std::string(op) + ": operands live on different tapes"; });
  check(*x.tape, parameter.dtype() == parameter_dtype(x.dtype()), [&] {
    return std::string(op) + " expects parameters in " + name_of(parameter_dtype(x.dtype())) + " for input in " +
           name_of(x.dtype()) + " but got " + name_of(parameter.dtype());
  });
}

// A bias for each output of the weight [outputs, ..], or none.
inline void check_bias(const char* op, Var x, Var weight, Var bias) {
  if (!bias.tape) return;
  check_parameter(op, x, bias);
  const Shape expected{weight.shape()[0]};
  check(*x.tape, bias.shape() == expected, [&] {
    return std::string(op) + " expects bias " + expected.to_string() + " for weight " + weight.shape().to_string() +
           " but got " + bias.shape().to_string();
  });
}

// The work of a kernel that performs the FLOPs of the op's definition and moves its operands once (Tape::launch).
inline Work arithmetic_work(const char* op, Pass pass, double flops) {
  return {.op = op, .pass = pass, .flops = flops, .executed_flops = flops};
}

// The work of a kernel that moves the bytes of `part` from or to a part of a larger operand.
inline Work moving_work(const char* op, Pass pass, const Tensor& part) {
  return {.op = op, .pass = pass, .bytes = 2 * static_cast<double>(part.size_bytes())};
}

}  // namespace poise
