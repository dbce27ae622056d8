// Cases for the ops of conditional networks and attention, for columns, and for the transposed convolution.
#include "tests/support/op_definitions.h"

namespace poise {
namespace {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

OpTensor parameter(const Shape& shape, Draw draw = Draw::uniform) {
  return {.shape = shape, .draw = draw, .parameter = true};
}

// Copies the labels to the device of the tape. They are allocated in the arena, so the plan includes them.
Tensor labels_on(Tape& tape, const std::vector<int32_t>& labels) {
  Tensor on_device = tape.alloc({static_cast<int64_t>(labels.size())}, DType::i32);
  if (!tape.ctx.planning) copy_from_host(on_device, labels.data());
  return on_device;
}

OpCase embedding_case(const std::string& name, int64_t classes, int64_t columns, const std::vector<int32_t>& labels,
                      bool model_sized = false) {
  return {.name = "embedding" + name,
          .op = "embedding",
          .inputs = {parameter({classes, columns})},
          .build = [=](Tape& t, const Vars& v,
                       const Tensors&) { return embedding(v[0], labels_on(t, labels), v[0].dtype()); },
          .definition = define_embedding(labels, columns),
          .model_sized = model_sized};
}

// The embedding is added to an activation, whose element type it takes (possibly bf16).
OpCase embedding_as_activation_case(const std::vector<int32_t>& labels, int64_t columns) {
  OpCase c = embedding_case("_as_activation", 4, columns, labels);
  c.inputs.push_back({{static_cast<int64_t>(labels.size()), columns}});
  c.build = [=](Tape& t, const Vars& v, const Tensors&) {
    return add(v[1], embedding(v[0], labels_on(t, labels), v[1].dtype()));
  };
  c.definition = [rows = c.definition](const HostValues& inputs, HostValues& states) {
    std::vector<double> y = rows(inputs, states);
    for (size_t i = 0; i < y.size(); ++i) y[i] += inputs[1][i];
    return y;
  };
  return c;
}

// With x away from zero, small gains and small shifts, no value comes near the kink of the ReLU.
OpCase channel_modulation_case(const std::string& name, const Shape& x, bool relu, bool model_sized = false) {
  const Shape each{x[0], x[3]};
  return {.name = "channel_modulation" + name,
          .op = "channel_modulation",
          .inputs = {{x, Draw::away_from_zero}, {each, Draw::small}, {each, Draw::small}},
          .build = [=](Tape&, const Vars& v, const Tensors&) { return channel_modulation(v[0], v[1], v[2], relu); },
          .definition = define_channel_modulation(x, relu),
          .model_sized = model_sized};
}

OpCase row_dot_case(const std::string& name, int64_t rows, int64_t columns, bool model_sized = false) {
  return {.name = "row_dot" + name,
          .op = "row_dot",
          .inputs = {parameter({rows, columns}), parameter({rows, columns})},
          .build = [](Tape&, const Vars& v, const Tensors&) { return row_dot(v[0], v[1]); },
          .definition = define_row_dot(columns),
          .forward_flops = 2 * static_cast<double>(rows * columns),
          .model_sized = model_sized};
}

OpCase slice_case(const std::string& name, const Shape& x, int64_t first, int64_t count) {
  return {.name = "slice_channels" + name,
          .op = "slice_channels",
          .inputs = {{x}},
          .build = [=](Tape&, const Vars& v, const Tensors&) { return slice_channels(v[0], first, count); },
          .definition = define_slice_channels(x.back(), first, count),
          .reads_every_element = count == x.back()};
}

OpCase conv_transpose_case(const std::string& name, const Shape& x, int64_t c_out, const Conv2dOptions& o,
                           bool model_sized = false) {
  const double macs = static_cast<double>(x.elements() * o.kh * o.kw * c_out);
  return {.name = "conv_transpose2d" + name,
          .op = "conv_transpose2d",
          .inputs = {{x}, parameter({x[3], o.kh, o.kw, c_out})},
          .build = [o](Tape&, const Vars& v, const Tensors&) { return conv_transpose2d(v[0], v[1], o); },
          .definition = define_conv_transpose2d(x, c_out, o),
          .forward_flops = 2 * macs,
          .backward_flops = 4 * macs,
          .model_sized = model_sized};
}

OpCase matmul_case(const std::string& name, int64_t n, int64_t rows, int64_t depth, int64_t columns, bool transpose_b,
                   bool model_sized = false) {
  const double flops = 2 * static_cast<double>(n * rows * depth * columns);
  return {.name = "batched_matmul" + name,
          .op = "batched_matmul",
          .inputs = {{{n, rows, depth}}, {transpose_b ? Shape{n, columns, depth} : Shape{n, depth, columns}}},
          .build = [=](Tape&, const Vars& v, const Tensors&) { return batched_matmul(v[0], v[1], transpose_b); },
          .definition = define_batched_matmul(n, rows, depth, columns, transpose_b),
          .forward_flops = flops,
          .backward_flops = 2 * flops,
          .model_sized = model_sized};
}

OpCase softmax_case(const std::string& name, const Shape& x, Draw draw, bool model_sized = false) {
  return {.name = "softmax" + name,
          .op = "softmax",
          .inputs = {{x, draw}},
          .build = [](Tape&, const Vars& v, const Tensors&) { return softmax(v[0]); },
          .definition = define_softmax(x.back()),
          .model_sized = model_sized};
}

OpCase gated_add_case(const std::string& name, const Shape& x, bool model_sized = false) {
  return {.name = "gated_add" + name,
          .op = "gated_add",
          .inputs = {{x}, {x}, parameter({1})},
          .build = [](Tape&, const Vars& v, const Tensors&) { return gated_add(v[0], v[1], v[2]); },
          .definition = define_gated_add(),
          .model_sized = model_sized};
}

std::vector<int32_t> many_labels(int64_t count, int64_t classes) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < count; ++i) labels.push_back(static_cast<int32_t>(i * i % classes));
  return labels;
}

}  // namespace

void add_conditional_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  cases.push_back(embedding_case("", 4, 5, {3, 0, 1, 3, 3}));  // class 2 does not occur, class 3 occurs three times
  cases.push_back(embedding_case("_one_row", 1, 7, {0}));
  cases.push_back(embedding_case("_model", 200, 1280, many_labels(2 * model_batch, 200), true));
  cases.push_back(embedding_as_activation_case({3, 0, 1, 3, 0}, 8));
  for (const bool relu : {false, true}) {
    const std::string suffix = relu ? "_relu" : "";
    cases.push_back(channel_modulation_case(suffix, {2, 3, 5, 7}, relu));
    cases.push_back(channel_modulation_case("_wide" + suffix, {3, 4, 5, 136}, relu));
  }
  cases.push_back(channel_modulation_case("_pixel", {3, 1, 1, 5}, true));
  cases.push_back(channel_modulation_case("_model", {model_batch, 32, 32, 160}, true, true));
  cases.push_back(row_dot_case("", 5, 7));
  cases.push_back(row_dot_case("_one_row", 1, 100));
  cases.push_back(row_dot_case("_model", 2 * model_batch, 1280, true));
  cases.push_back(slice_case("", {3, 10}, 4, 3));
  cases.push_back(slice_case("_first", {3, 10}, 0, 2));
  cases.push_back(slice_case("_all", {4, 5}, 0, 5));
  cases.push_back(slice_case("_image", {2, 3, 4, 8}, 4, 4));
  cases.push_back(slice_case("_model", {model_batch, 100}, 20, 20));
  constexpr Conv2dOptions enlarge{.kh = 4, .kw = 4, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  cases.push_back(conv_transpose_case("_4x4_stride2", {2, 3, 4, 5}, 3, enlarge));
  cases.push_back(conv_transpose_case("_3x3", {1, 4, 3, 2}, 5, {.kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}));
  cases.push_back(conv_transpose_case("_model", {model_batch, 8, 8, 256}, 128, enlarge, true));
}

void add_attention_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  for (const bool transpose_b : {false, true}) {
    const std::string suffix = transpose_b ? "_transposed" : "";
    cases.push_back(matmul_case(suffix, 2, 3, 5, 7, transpose_b));
    cases.push_back(matmul_case("_one" + suffix, 1, 1, 4, 1, transpose_b));
    cases.push_back(matmul_case("_tiles" + suffix, 2, 67, 19, 66, transpose_b));
  }
  cases.push_back(matmul_case("_model_scores", model_batch, 1024, 20, 256, true, true));
  cases.push_back(matmul_case("_model_values", model_batch, 1024, 256, 80, false, true));
  cases.push_back(softmax_case("", {2, 3, 5}, Draw::uniform));
  cases.push_back(softmax_case("_row", {1, 70}, Draw::uniform));
  cases.push_back(softmax_case("_one_column", {4, 1}, Draw::uniform));
  cases.push_back(softmax_case("_model", {model_batch, 1024, 256}, Draw::wide, true));
  cases.push_back(gated_add_case("", {2, 3, 5, 7}));
  cases.push_back(gated_add_case("_large", {3, 17, 16, 8}));
  cases.push_back(gated_add_case("_model", {model_batch, 32, 32, 160}, true));
}

}  // namespace poise
