// Cases of the matrix products: linear and conv2d.
#include "tests/support/op_definitions.h"

namespace poise {
namespace {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

OpTensor parameter(const Shape& shape) { return {.shape = shape, .parameter = true}; }

OpCase linear_case(const std::string& name, int64_t n, int64_t in, int64_t out, bool bias, bool model_sized = false) {
  OpCase c{.name = name,
           .op = "linear",
           .inputs = {{{n, in}}, parameter({out, in})},
           .build = [bias](Tape&, const Vars& v, const Tensors&) { return linear(v[0], v[1], bias ? v[2] : Var{}); },
           .definition = define_linear(n, in, out),
           .model_sized = model_sized};
  if (bias) c.inputs.push_back(parameter({out}));
  c.forward_flops = 2.0 * static_cast<double>(n * in * out);
  c.backward_flops = 2 * c.forward_flops;
  return c;
}

struct Image {
  int64_t n, h, w, c;
};

// `expected_out` [H', W'] is given, not computed, so it pins the output size and the number of operations.
OpCase conv_case(const std::string& name, const Image& x, int64_t c_out, const Conv2dOptions& o,
                 const std::array<int64_t, 2>& expected_out, bool bias = true, bool model_sized = false) {
  OpCase c{.name = "conv2d_" + name,
           .op = "conv2d",
           .inputs = {{{x.n, x.h, x.w, x.c}}, parameter({c_out, o.kh, o.kw, x.c})},
           .build =
               [=](Tape&, const Vars& v, const Tensors&) {
                 const Var y = conv2d(v[0], v[1], bias ? v[2] : Var{}, o);
                 const Shape expected{x.n, expected_out[0], expected_out[1], c_out};
                 require(y.shape() == expected, "conv2d has the output size that the case states");
                 return y;
               },
           .definition = define_conv2d({x.n, x.h, x.w, x.c}, c_out, o),
           .model_sized = model_sized};
  if (bias) c.inputs.push_back(parameter({c_out}));
  const int64_t sums = o.pool == 1 ? expected_out[0] * expected_out[1] : x.h * x.w;  // per channel of an image
  c.forward_flops = 2.0 * static_cast<double>(x.n * sums) * static_cast<double>(c_out * o.kh * o.kw * x.c);
  c.backward_flops = 2 * c.forward_flops;
  return c;
}

// With a ReLU, and inputs that keep all sums away from its kink: all summands of an output have the same sign, the
// product of the signs of its image and its channel. Both sides of the kink therefore occur.
OpCase relu_case(const std::string& name, const Image& x, int64_t c_out, Conv2dOptions o,
                 const std::array<int64_t, 2>& expected_out, bool bias = true, bool model_sized = false) {
  o.relu = true;
  OpCase c = conv_case(name + "_relu", x, c_out, o, expected_out, bias, model_sized);
  c.inputs[0].draw = c.inputs[1].draw = Draw::positive;
  if (bias) c.inputs[2].draw = Draw::small;
  c.prepare = [=](HostValues& inputs, HostValues&) {
    const auto negate_every_other = [](std::vector<double>& values, int64_t slices, int64_t first) {
      const size_t size = values.size() / static_cast<size_t>(slices);
      for (auto i = static_cast<size_t>(first) * size; i < values.size(); ++i) {
        if ((i / size - static_cast<size_t>(first)) % 2 == 0) values[i] = -values[i];
      }
    };
    negate_every_other(inputs[0], x.n, 1);
    negate_every_other(inputs[1], c_out, 0);
  };
  return c;
}

// With a residual [N,H',W',C_out] that is the sum of the last two inputs, so no other op reads it.
OpCase residual_case(const std::string& name, const Image& x, int64_t c_out, const Conv2dOptions& o,
                     const std::array<int64_t, 2>& expected_out) {
  OpCase c = conv_case(name + "_residual", x, c_out, o, expected_out);
  const Shape shape{x.n, expected_out[0], expected_out[1], c_out};
  for (int i = 0; i < 2; ++i) c.inputs.push_back({shape});
  c.build = [=](Tape&, const Vars& v, const Tensors&) { return conv2d(v[0], v[1], v[2], o, nullptr, add(v[3], v[4])); };
  c.definition = [sums = c.definition](const HostValues& inputs, HostValues& states) {
    std::vector<double> y = sums({inputs.begin(), inputs.begin() + 3}, states);
    for (size_t i = 0; i < y.size(); ++i) y[i] += inputs[3][i] + inputs[4][i];
    return y;
  };
  return c;
}

Conv2dOptions same(int64_t kernel, int64_t upsample = 1) {
  return {.kh = kernel, .kw = kernel, .pad_h = kernel / 2, .pad_w = kernel / 2, .upsample = upsample};
}

Conv2dOptions pooled(Conv2dOptions o) {
  o.pool = 2;
  return o;
}

// The convolutions of SNGAN-32, generator width 256 and discriminator width 128, each shape once.
void add_sngan32_convolutions(std::vector<OpCase>& cases, int64_t n) {
  auto add = [&](const std::string& name, int64_t size, int64_t c_in, int64_t c_out, const Conv2dOptions& o) {
    const int64_t out = size * o.upsample / o.pool;
    cases.push_back(conv_case("model_" + name, {n, size, size, c_in}, c_out, o, {out, out}, true, true));
  };
  for (const int64_t size : {4, 8, 16}) {
    const std::string to = std::to_string(2 * size);
    add("g" + to + "_conv1", size, 256, 256, same(3, 2));
    add("g" + to + "_conv2", 2 * size, 256, 256, same(3));
    add("g" + to + "_shortcut", size, 256, 256, same(1, 2));
  }
  add("g_out", 32, 256, 3, same(3));
  add("d32_conv1", 32, 3, 128, same(3));
  add("d32_conv2", 32, 128, 128, pooled(same(3)));
  add("d32_shortcut", 16, 3, 128, same(1));
  add("d16_conv1", 16, 128, 128, same(3));
  add("d16_conv2", 16, 128, 128, pooled(same(3)));
  add("d16_shortcut", 16, 128, 128, pooled(same(1)));
  add("d8_conv", 8, 128, 128, same(3));
}

// Marks the cases in which the stride skips a pixel or a tap only sees padding.
void note_unread_elements(std::vector<OpCase>& cases) {
  for (OpCase& c : cases) {
    for (const char* name :
         {"conv2d_3x3_on_pixel", "conv2d_1x1_stride2", "conv2d_3x3_stride2_unread_edge", "conv2d_1x1_pooled_odd"}) {
      if (c.name == name) c.reads_every_element = false;
    }
  }
}

}  // namespace

void add_linear_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  cases.push_back(linear_case("linear", 3, 5, 7, true));
  cases.push_back(linear_case("linear_no_bias", 3, 5, 7, false));
  cases.push_back(linear_case("linear_one_output", 5, 9, 1, true));
  cases.push_back(linear_case("linear_one_output_no_bias", 5, 9, 1, false));
  cases.push_back(linear_case("linear_one_input", 4, 1, 3, true));
  cases.push_back(linear_case("linear_one_row", 1, 6, 5, true));
  cases.push_back(linear_case("linear_tails", 17, 33, 19, true));
  cases.push_back(linear_case("linear_model_g", model_batch, 128, 4096, true, true));
  cases.push_back(linear_case("linear_model_d", 2 * model_batch, 128, 1, false, true));

  OpCase shared = linear_case("linear_weight_used_twice", 3, 5, 5, true);
  shared.build = [](Tape&, const Vars& v, const Tensors&) {
    return linear(tanh(linear(v[0], v[1], v[2])), v[1], v[2]);
  };
  shared.definition = nullptr;
  shared.forward_flops *= 2;
  shared.backward_flops *= 2;
  cases.push_back(shared);
}

void add_conv2d_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  auto add = [&](const std::string& name, const Image& x, int64_t c_out, const Conv2dOptions& o,
                 const std::array<int64_t, 2>& out,
                 bool bias = true) { cases.push_back(conv_case(name, x, c_out, o, out, bias)); };
  add("1x1", {2, 3, 5, 4}, 6, same(1), {3, 5});
  add("1x1_no_bias", {3, 3, 5, 4}, 6, same(1), {3, 5}, false);
  add("1x1_padded", {1, 2, 3, 4}, 3, {.pad_h = 1, .pad_w = 2}, {4, 7});
  add("3x3_same", {2, 4, 5, 3}, 5, same(3), {4, 5});
  add("3x3_same_no_bias", {2, 4, 5, 3}, 5, same(3), {4, 5}, false);
  cases.push_back(residual_case("3x3_same", {2, 4, 5, 3}, 5, same(3), {4, 5}));
  cases.push_back(residual_case("3x3_pooled", {2, 4, 6, 3}, 5, pooled(same(3)), {2, 3}));
  cases.push_back(residual_case("1x1_upsampled", {2, 3, 2, 4}, 3, same(1, 2), {6, 4}));
  add("3x3_rgb_out", {1, 5, 4, 7}, 3, same(3), {5, 4});
  add("3x3_rgb_of_many", {3, 5, 4, 30}, 3, same(3), {5, 4});
  add("3x3_rgb_of_many_no_bias", {2, 3, 6, 27}, 3, same(3), {3, 6}, false);
  add("3x3_one_of_many", {1, 2, 5, 11}, 1, same(3), {2, 5});
  add("3x3_many_of_rgb", {2, 5, 4, 3}, 30, same(3), {5, 4});
  add("3x3_one_channel", {3, 5, 4, 1}, 1, same(3), {5, 4});
  add("3x3_channel_tails", {1, 3, 4, 17}, 19, same(3), {3, 4});
  add("3x3_valid", {2, 5, 6, 3}, 4, {.kh = 3, .kw = 3}, {3, 4});
  add("3x3_valid_to_pixel", {3, 3, 3, 2}, 4, {.kh = 3, .kw = 3}, {1, 1});
  add("3x3_on_pixel", {3, 1, 1, 4}, 2, same(3), {1, 1});
  add("3x3_pad_uneven", {2, 4, 5, 3}, 4, {.kh = 3, .kw = 3, .pad_h = 2}, {6, 3});
  add("5x5_same", {1, 6, 5, 2}, 3, same(5), {6, 5});
  add("3x3_stride2", {2, 5, 7, 3}, 4, {.kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}, {3, 4});
  // The last row and column of this input are never read, but their zero gradient still has to be written.
  add("3x3_stride2_unread_edge", {2, 6, 8, 3}, 4, {.kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, {2, 3});
  add("3x3_stride2_by_1", {2, 5, 4, 3}, 4, {.kh = 3, .kw = 3, .stride_h = 2, .pad_h = 1, .pad_w = 1}, {3, 4});
  add("1x1_stride2", {2, 4, 5, 3}, 4, {.stride_h = 2, .stride_w = 2}, {2, 3});
  add("4x4_stride2", {2, 6, 4, 3}, 4, {.kh = 4, .kw = 4, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1}, {3, 2});
  add("1x7", {2, 3, 8, 2}, 3, {.kh = 1, .kw = 7, .pad_w = 3}, {3, 8});
  add("7x1", {2, 8, 3, 2}, 3, {.kh = 7, .kw = 1, .pad_h = 3}, {8, 3});
  add("3x5", {1, 4, 6, 3}, 2, {.kh = 3, .kw = 5, .pad_h = 1, .pad_w = 2}, {4, 6});
  add("3x3_upsampled", {2, 3, 4, 3}, 5, same(3, 2), {6, 8});
  add("3x3_upsampled_no_bias", {2, 3, 4, 3}, 5, same(3, 2), {6, 8}, false);
  add("3x3_upsampled_odd", {1, 5, 3, 2}, 3, same(3, 2), {10, 6});
  add("3x3_upsampled_pixel", {3, 1, 1, 4}, 3, same(3, 2), {2, 2});
  add("1x1_upsampled", {2, 3, 5, 3}, 4, same(1, 2), {6, 10});
  add("1x1_upsampled_no_bias", {1, 3, 5, 3}, 4, same(1, 2), {6, 10}, false);
  add("3x3_pooled", {2, 4, 6, 3}, 5, pooled(same(3)), {2, 3});
  add("3x3_pooled_no_bias", {2, 4, 6, 3}, 5, pooled(same(3)), {2, 3}, false);
  add("3x3_pooled_odd", {1, 5, 7, 4}, 3, pooled(same(3)), {2, 3});
  add("3x3_pooled_to_pixel", {3, 2, 2, 17}, 19, pooled(same(3)), {1, 1});
  add("1x1_pooled", {2, 4, 6, 3}, 4, pooled(same(1)), {2, 3});
  add("1x1_pooled_no_bias", {2, 4, 6, 3}, 4, pooled(same(1)), {2, 3}, false);
  add("1x1_pooled_odd", {1, 5, 3, 3}, 4, pooled(same(1)), {2, 1});
  // A ReLU after each variant of the kernel: plain, few outputs, split sums, upsampled input.
  cases.push_back(relu_case("3x3_same", {2, 4, 5, 3}, 5, same(3), {4, 5}));
  cases.push_back(relu_case("3x3_same_no_bias", {2, 4, 5, 3}, 12, same(3), {4, 5}, false));
  cases.push_back(relu_case("3x3_rgb_of_many", {2, 5, 4, 30}, 3, same(3), {5, 4}));
  cases.push_back(relu_case("1x1", {3, 3, 5, 4}, 18, same(1), {3, 5}));
  cases.push_back(relu_case("1x7_channel_tails", {2, 3, 8, 17}, 19, {.kh = 1, .kw = 7, .pad_w = 3}, {3, 8}));
  cases.push_back(relu_case("3x3_stride2", {3, 5, 7, 3}, 10, {.kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, {2, 3}));
  cases.push_back(relu_case("3x3_upsampled", {2, 3, 4, 3}, 5, same(3, 2), {6, 8}));
  cases.push_back(relu_case("1x1_upsampled", {2, 3, 5, 3}, 4, same(1, 2), {6, 10}));
  note_unread_elements(cases);
  // Convolutions of Inception-v3.
  const auto inception = [&](const std::string& name, int64_t size, int64_t c_in, int64_t c_out, const Conv2dOptions& o,
                             int64_t out) {
    cases.push_back(
        relu_case("model_inception_" + name, {model_batch, size, size, c_in}, c_out, o, {out, out}, true, true));
  };
  inception("3x3_stride2", 35, 96, 96, {.kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2}, 17);
  inception("7x1", 17, 160, 192, {.kh = 7, .kw = 1, .pad_h = 3}, 17);
  inception("1x3", 8, 384, 384, {.kh = 1, .kw = 3, .pad_w = 1}, 8);
  inception("1x1", 8, 2048, 192, {}, 8);
  add_sngan32_convolutions(cases, model_batch);
}

}  // namespace poise
