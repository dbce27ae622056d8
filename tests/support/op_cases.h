// Every op in every variant, once. A case states its inputs, how the op is called and what it costs; the tests
// (op_test.cpp: gradients, parity, determinism, guards, plans) and the benchmark (bench/op_bench_main.cpp) derive the
// rest. A new op only needs cases here: coverage_test.cpp fails if a model records an op without one.
#pragma once
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "engine/ops/ops.h"

namespace poise {

// How the elements of a tensor are initialised. Central differences must not cross a kink, so most draws avoid kinks.
enum class Draw : uint8_t {
  uniform,         // [-1, 1]
  away_from_zero,  // 0.3 <= |x| <= 1: on either side of a ReLU's kink
  positive,        // [0.5, 1.5]: scales and variances
  small,           // 0.05 <= |x| <= 0.1: an offset too small to carry a normalised value across a kink
  logits,          // [-3, 3], at least 0.1 away from the hinge's kinks at -1 and 1
  wide,            // [-20, 20]
  extreme,         // [-100, 100]: where a careless exp overflows in f32
  unit,            // a random vector of length 1
  undefined,       // NaN: the op writes it and never reads it
};

struct OpTensor {
  Shape shape;
  Draw draw = Draw::uniform;
  bool trainable = true;   // inputs only: has a gradient
  bool parameter = false;  // inputs only: a weight or a logit, f32 even if activations are bf16, as states always are
};

using HostValues = std::vector<std::vector<double>>;  // one vector per tensor
// Computes the value of the op from the host values and updates the states as the op does. See op_definitions.h.
using OpDefinition = std::function<std::vector<double>(const HostValues& inputs, HostValues& states)>;
using OpBuild = std::function<Var(Tape&, const std::vector<Var>& inputs, const std::vector<Tensor>& states)>;

struct OpCase {
  std::string name;  // letters, digits and underscores: "conv2d_3x3_same"
  std::string op;    // the name of the op on the tape
  std::vector<OpTensor> inputs;
  std::vector<OpTensor> states;  // the caller's memory that the op also reads or writes: running statistics, u, v
  OpBuild build;
  OpDefinition definition;
  Mode mode = Mode::train;
  // The textbook cost (a multiply-add is 2, element-wise arithmetic counts as nothing) with every input trainable.
  double forward_flops = 0, backward_flops = 0;
  // Model-sized cases: too large for finite differences, worth a benchmark.
  bool model_sized = false;
  // False if the op's gradient is by definition not the derivative of its value; parity tests still cover it.
  bool gradient_check = true;
  bool reads_every_element = true;  // false if a stride skips pixels or a tap only sees padding
  // The function that finite differences evaluate, if it is not `build`: see the cases of detach.
  OpBuild differentiated;
  // Adjusts the host values after they are drawn.
  std::function<void(HostValues& inputs, HostValues& states)> prepare;
};

inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }  // for GoogleTest

// All cases. `model_batch` is the batch size of the model-sized cases: small in tests, which also run plain f64 loops,
// and the training batch size in benchmarks.
std::vector<OpCase> op_cases(int64_t model_batch);

// The families of cases that op_cases() collects.
void add_elementwise_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_shape_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_linear_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_conv2d_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_normalisation_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_space_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_window_pooling_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_concat_channels_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_augmentation_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_conditional_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_attention_cases(std::vector<OpCase>& cases, int64_t model_batch);
void add_loss_cases(std::vector<OpCase>& cases, int64_t model_batch);

}  // namespace poise
