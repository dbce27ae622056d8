// Cases of batch normalisation and spectral normalisation.
#include <algorithm>
#include <cmath>

#include "tests/support/op_definitions.h"

namespace poise {
namespace {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

const char* name_of(Mode mode) {
  return mode == Mode::train ? "train" : mode == Mode::evaluate_batch ? "evaluate_batch" : "evaluate_running";
}

// With x away from zero, a scale near 1 and a small offset, no normalised value comes near the kink of the ReLU.
OpCase batch_norm_case(const std::string& name, const Shape& x, Mode mode, const BatchNormOptions& options,
                       bool model_sized = false) {
  const Shape c{x.back()};
  return {
      .name = "batch_norm_" + name,
      .op = "batch_norm",
      .inputs = {{x, Draw::away_from_zero},
                 {.shape = c, .draw = Draw::positive, .parameter = true},
                 {.shape = c, .draw = Draw::small, .parameter = true}},
      .states = {{c, Draw::small}, {c, Draw::positive}},
      .build = [options](Tape&, const Vars& v,
                         const Tensors& states) { return batch_norm(v[0], v[1], v[2], states[0], states[1], options); },
      .definition = define_batch_norm(x, mode, options),
      .mode = mode,
      .model_sized = model_sized};
}

// Without parameters: the scale is 1 and the offset is 0.
OpCase batch_norm_without_affine_case(const std::string& name, const Shape& x, Mode mode, bool model_sized = false) {
  OpCase c = batch_norm_case("without_affine_" + name, x, mode, {.eps = 1e-4}, model_sized);
  c.op = kBatchNormWithoutAffine;
  c.inputs.resize(1);
  c.build = [](Tape&, const Vars& v, const Tensors& states) {
    return batch_norm(v[0], Var{}, Var{}, states[0], states[1], {.eps = 1e-4});
  };
  const auto channels = static_cast<size_t>(x.back());
  c.definition = [=, affine = c.definition](const HostValues& inputs, HostValues& states) {
    return affine({inputs[0], std::vector<double>(channels, 1), std::vector<double>(channels, 0)}, states);
  };
  return c;
}

void scale_to_length_one(std::vector<double>& x) {
  double square = 0;
  for (const double value : x) square += value * value;
  for (double& value : x) value /= std::sqrt(square);
}

// Runs `count` power iterations from the drawn u, for weight inputs[0] with u = states[0] and v = states[1].
std::function<void(HostValues&, HostValues&)> power_iterations(int count) {
  return [count](HostValues& inputs, HostValues& states) {
    const std::vector<double>& weight = inputs[0];
    std::vector<double>&u = states[0], &v = states[1];
    for (int i = 0; i < count; ++i) {
      v.assign(v.size(), 0);
      for (size_t row = 0; row < u.size(); ++row) {
        for (size_t col = 0; col < v.size(); ++col) v[col] += weight[row * v.size() + col] * u[row];
      }
      scale_to_length_one(v);
      u.assign(u.size(), 0);
      for (size_t row = 0; row < u.size(); ++row) {
        for (size_t col = 0; col < v.size(); ++col) u[row] += weight[row * v.size() + col] * v[col];
      }
      scale_to_length_one(u);
    }
  };
}

OpCase spectral_norm_case(const std::string& name, const Shape& weight, Mode mode, int iterations,
                          bool model_sized = false) {
  const int64_t out = weight[0], rest = weight.elements() / out;
  OpCase c{.name = "spectral_norm_" + name,
           .op = "spectral_norm",
           .inputs = {{.shape = weight, .parameter = true}},
           .states = {{{out}, Draw::unit}, {{rest}, Draw::unit}},
           .build = [](Tape&, const Vars& v, const Tensors& s) { return spectral_norm(v[0], s[0], s[1], 1e-12); },
           .definition = define_spectral_norm(weight, mode),
           .mode = mode,
           .model_sized = model_sized,
           .prepare = power_iterations(iterations)};
  const double matrix_vector = 2.0 * static_cast<double>(weight.elements());
  c.forward_flops = (mode == Mode::train ? 3 : 1) * matrix_vector;
  c.backward_flops = 2 * matrix_vector;
  return c;
}

// A mask has killed the only row that u selects, so v restarts. The gradient treats u and v as constants, see below.
OpCase spectral_norm_restart_case(const std::string& name, const Shape& weight) {
  OpCase c = spectral_norm_case(name, weight, Mode::train, 0);
  c.gradient_check = false;
  c.prepare = [](HostValues& inputs, HostValues& states) {
    std::fill(states[0].begin(), states[0].end(), 0.0);
    states[0][1] = 1;
    const auto rest = static_cast<int64_t>(states[1].size());
    std::fill_n(inputs[0].begin() + rest, rest, 0.0);
  };
  return c;
}

// Several weights in one call, concatenated in the output. The gradient is checked in evaluation, where it is exact.
OpCase spectral_norm_many_case(const std::string& name, const std::vector<Shape>& weights, Mode mode) {
  OpCase c{
      .name = "spectral_norm_" + name,
      .op = "spectral_norm",
      .build =
          [](Tape& tape, const Vars& in, const Tensors& states) {
            std::vector<SpectralNormOperand> operands;
            for (size_t i = 0; i < in.size(); ++i) {
              operands.push_back({.weight = in[i], .u = states[2 * i], .v = states[2 * i + 1], .layer = &tape.scope()});
            }
            spectral_norm(tape, operands);
            auto column = [&](size_t i) { return reshape(operands[i].y, {in[i].shape().elements(), 1}); };
            Var all = column(0);
            for (size_t i = 1; i < in.size(); ++i) all = concat_batch(all, column(i));
            return all;
          },
      .definition =
          [=](const HostValues& inputs, HostValues& states) {
            std::vector<double> all;
            for (size_t i = 0; i < weights.size(); ++i) {
              HostValues own = {states[2 * i], states[2 * i + 1]};
              const std::vector<double> y = define_spectral_norm(weights[i], mode)({inputs[i]}, own);
              states[2 * i] = own[0];
              states[2 * i + 1] = own[1];
              all.insert(all.end(), y.begin(), y.end());
            }
            return all;
          },
      .mode = mode,
      .gradient_check = mode != Mode::train};
  double elements = 0;
  for (const Shape& weight : weights) {
    c.inputs.push_back({.shape = weight, .parameter = true});
    c.states.push_back({{weight[0]}, Draw::unit});
    c.states.push_back({{weight.elements() / weight[0]}, Draw::unit});
    elements += static_cast<double>(weight.elements());
  }
  c.forward_flops = (mode == Mode::train ? 6 : 2) * elements;
  c.backward_flops = 4 * elements;
  return c;
}

}  // namespace

void add_normalisation_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  for (const Mode mode : {Mode::train, Mode::evaluate_batch, Mode::evaluate_running}) {
    const std::string suffix = name_of(mode);
    cases.push_back(batch_norm_case(suffix, {2, 3, 5, 7}, mode, {}));
    cases.push_back(batch_norm_case("relu_" + suffix, {2, 3, 5, 7}, mode, {.relu = true}));
    cases.push_back(batch_norm_case("matrix_" + suffix, {9, 3}, mode, {}));
    cases.push_back(batch_norm_case("matrix_relu_" + suffix, {9, 3}, mode, {.relu = true}));
    cases.push_back(batch_norm_case("options_" + suffix, {3, 2, 2, 5}, mode, {.eps = 0.1, .momentum = 0.7}));
  }
  cases.push_back(batch_norm_case("one_channel", {3, 4, 3, 1}, Mode::train, {}));
  cases.push_back(batch_norm_case("one_image", {1, 3, 3, 17}, Mode::train, {.relu = true}));
  cases.push_back(batch_norm_without_affine_case("train", {2, 3, 5, 7}, Mode::train));
  cases.push_back(batch_norm_without_affine_case("evaluate_running", {2, 3, 5, 7}, Mode::evaluate_running));
  cases.push_back(batch_norm_without_affine_case("model", {model_batch, 16, 16, 320}, Mode::train, true));
  for (const int64_t size : {4, 8, 16, 32}) {
    cases.push_back(batch_norm_case("model_g" + std::to_string(size), {model_batch, size, size, 256}, Mode::train,
                                    {.relu = true}, true));
  }
  cases.push_back(
      batch_norm_case("model_running", {model_batch, 16, 16, 256}, Mode::evaluate_running, {.relu = true}, true));

  // In evaluation, u and v are constants, and the gradient is exact for any u and v. In training, the op by definition
  // differentiates with u and v held fixed, which is the derivative of its value only if the iteration has converged.
  cases.push_back(spectral_norm_case("evaluate", {7, 5}, Mode::evaluate_running, 2));
  cases.push_back(spectral_norm_case("evaluate_conv", {4, 3, 3, 5}, Mode::evaluate_batch, 2));
  cases.push_back(spectral_norm_case("evaluate_one_row", {1, 11}, Mode::evaluate_running, 1));
  cases.push_back(spectral_norm_case("converged", {7, 5}, Mode::train, 20000));
  cases.push_back(spectral_norm_case("converged_conv", {5, 3, 3, 3}, Mode::train, 20000));
  cases.push_back(spectral_norm_case("converged_tall", {19, 3}, Mode::train, 20000));
  cases.push_back(spectral_norm_case("one_row", {1, 13}, Mode::train, 2));
  OpCase iterating = spectral_norm_case("iterating", {17, 3, 3, 5}, Mode::train, 0);
  iterating.gradient_check = false;
  cases.push_back(iterating);
  cases.push_back(spectral_norm_restart_case("restart", {7, 5}));
  cases.push_back(spectral_norm_restart_case("restart_conv", {11, 3, 3, 4}));
  const std::vector<Shape> network = {{4, 3, 3, 8}, {1, 11}, {5, 1, 1, 3}, {19, 4}};
  cases.push_back(spectral_norm_many_case("many_train", network, Mode::train));
  cases.push_back(spectral_norm_many_case("many_evaluate", network, Mode::evaluate_running));
  cases.push_back(spectral_norm_many_case("more_than_fit_one_launch", std::vector<Shape>(35, {3, 5}), Mode::train));
  cases.push_back(spectral_norm_case("model_conv", {128, 3, 3, 128}, Mode::train, 0, true));
  cases.push_back(spectral_norm_case("model_first_conv", {128, 3, 3, 3}, Mode::train, 0, true));
  cases.push_back(spectral_norm_case("model_head", {1, 128}, Mode::train, 1, true));
}

}  // namespace poise
