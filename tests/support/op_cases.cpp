// The families of cases without weights: element-wise, shape, space, losses. For layers, see op_cases_layers.cpp and
// op_cases_normalisation.cpp.
#include "tests/support/op_cases.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support/op_definitions.h"

namespace poise {
namespace {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

OpCase unary(const std::string& name, const std::string& op, const OpTensor& x, const std::function<Var(Var)>& f,
             const OpDefinition& definition, bool model_sized = false) {
  return {.name = name,
          .op = op,
          .inputs = {x},
          .build = [f](Tape&, const Vars& in, const Tensors&) { return f(in[0]); },
          .definition = definition,
          .model_sized = model_sized};
}

OpCase binary(const std::string& name, const std::string& op, const OpTensor& a, const OpTensor& b,
              const std::function<Var(Var, Var)>& f, const OpDefinition& definition, bool model_sized = false) {
  return {.name = name,
          .op = op,
          .inputs = {a, b},
          .build = [f](Tape&, const Vars& in, const Tensors&) { return f(in[0], in[1]); },
          .definition = definition,
          .model_sized = model_sized};
}

const char* name_of(GanLoss loss) {
  return loss == GanLoss::hinge ? "hinge" : loss == GanLoss::bce ? "bce" : "wasserstein";
}

OpCase loss_d(const std::string& name, GanLoss loss, int64_t n, int64_t n_real, Draw draw, bool model_sized = false) {
  return {
      .name = name,
      .op = "gan_loss_d",
      .inputs = {{.shape = {n, 1}, .draw = draw, .parameter = true}},
      .states = {{{2}, Draw::undefined}},
      .build = [=](Tape&, const Vars& in, const Tensors& states) { return gan_loss_d(in[0], n_real, loss, states[0]); },
      .definition = define_gan_loss_d(loss, n_real),
      .model_sized = model_sized};
}

double th(double x) { return std::tanh(x); }

// Replaces the values by multiples of 1/128 from -1 to 1 in the same order. bf16 represents these exactly, and up to
// 256 of them are distinct, so rounding cannot change which one is the maximum.
void spread(std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  for (size_t rank = 0; rank < order.size(); ++rank) {
    values[order[rank]] = static_cast<double>(rank * 256 / order.size()) / 128 - 1;
  }
}

// y = max(x, slope x)
OpDefinition define_leaky_relu(float slope) {
  return define_each([=](double x) { return std::max(x, static_cast<double>(slope) * x); });
}

}  // namespace

void add_elementwise_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  const OpTensor awkward{{2, 3, 5, 7}, Draw::away_from_zero};
  const OpTensor model{{model_batch, 32, 32, 256}, Draw::away_from_zero};
  const OpDefinition rectified = define_leaky_relu(0), hyperbolic = define_each(th);
  cases.push_back(unary("relu", "leaky_relu", awkward, relu, rectified));
  cases.push_back(unary(
      "leaky_relu", "leaky_relu", awkward, [](Var x) { return leaky_relu(x, 0.2f); }, define_leaky_relu(0.2f)));
  cases.push_back(unary("relu_model", "leaky_relu", model, relu, rectified, true));
  cases.push_back(unary("tanh", "tanh", {{3, 7}}, tanh, hyperbolic));
  cases.push_back(unary("tanh_wide", "tanh", {{2, 3, 3, 3}, Draw::wide}, tanh, hyperbolic));
  cases.push_back(unary("tanh_model", "tanh", {{model_batch, 32, 32, 3}}, tanh, hyperbolic, true));

  const OpTensor x{{2, 3, 5, 7}};
  const OpDefinition sum = define_each_pair([](double a, double b) { return a + b; });
  cases.push_back(binary("add", "add", x, x, add, sum));
  cases.push_back(binary("add_model", "add", {model.shape}, {model.shape}, add, sum, true));
  // The hard part of add is who owns dy: one value as both inputs, three uses, views, a gradient that already exists.
  cases.push_back(unary(
      "add_self", "add", x, [](Var v) { return add(v, v); }, define_each([](double v) { return 2 * v; })));
  cases.push_back(unary(
      "add_self_of_result", "add", x,
      [](Var v) {
        const Var y = tanh(v);
        return add(y, y);
      },
      define_each([](double v) { return 2 * th(v); })));
  cases.push_back(unary(
      "add_three_uses", "add", x,
      [](Var v) {
        const Var y = tanh(v);
        return add(add(y, tanh(y)), y);
      },
      define_each([](double v) { return 2 * th(v) + th(th(v)); })));
  cases.push_back(binary(
      "add_residual", "add", awkward, x,
      [](Var a, Var b) {
        const Var h = add(tanh(relu(a)), a);
        return add(h, tanh(add(b, h)));
      },
      define_each_pair([](double a, double b) {
        const double h = th(std::max(a, 0.0)) + a;
        return h + th(b + h);
      })));
  cases.push_back(binary(
      "add_one_side_through_kernel", "add", x, x, [](Var a, Var b) { return add(tanh(a), b); },
      define_each_pair([](double a, double b) { return th(a) + b; })));
}

void add_shape_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  const OpTensor x{{2, 3, 5, 7}};
  cases.push_back(unary(
      "reshape", "reshape", x,
      [](Var v) {
        return reshape(v, {6, 35});
      },
      define_each([](double v) { return v; })));
  cases.push_back(unary(
      "reshape_of_result", "reshape", x,
      [](Var v) {
        return tanh(reshape(tanh(v), {7, 5, 3, 2}));
      },
      define_each([](double v) { return th(th(v)); })));
  cases.push_back(unary(
      "reshape_two_views", "reshape", x,
      [](Var v) {
        const Var y = tanh(v);
        return add(reshape(y, {210}), reshape(reshape(y, {2, 105}), {210}));
      },
      define_each([](double v) { return 2 * th(v); })));
  cases.push_back(unary(
      "reshape_view_and_base", "reshape", x,
      [](Var v) {
        const Var y = tanh(v);
        return add(tanh(reshape(reshape(y, {210}), {2, 3, 5, 7})), y);
      },
      define_each([](double v) { return th(th(v)) + th(v); })));
  cases.push_back(unary(
      "reshape_model", "reshape", {{model_batch, 4 * 4 * 256}},
      [=](Var v) {
        return tanh(reshape(v, {model_batch, 4, 4, 256}));
      },
      define_each(th), true));

  // The gradient of tanh(x) + leaky_relu(detach(x)) is that of tanh(x) + leaky_relu(c) with c a constant equal to x.
  OpCase detached = binary(
      "detach", "detach", {x.shape, Draw::away_from_zero}, {x.shape, Draw::away_from_zero, /*trainable=*/false},
      [](Var v, Var) { return add(tanh(v), leaky_relu(detach(v), 0.5f)); },
      define_each([](double v) { return th(v) + std::max(v, v / 2); }));
  detached.differentiated = [](Tape&, const Vars& in, const Tensors&) {
    return add(tanh(in[0]), leaky_relu(in[1], 0.5f));
  };
  detached.prepare = [](HostValues& inputs, HostValues&) { inputs[1] = inputs[0]; };
  cases.push_back(detached);
  detached.name = "detach_of_result";
  detached.build = [](Tape&, const Vars& in, const Tensors&) {
    const Var y = tanh(in[0]);
    return add(detach(y), y);
  };
  detached.definition = define_each([](double v) { return 2 * th(v); });
  detached.differentiated = [](Tape&, const Vars& in, const Tensors&) { return add(tanh(in[1]), tanh(in[0])); };
  cases.push_back(detached);

  const OpDefinition both = define_concat_batch();
  cases.push_back(binary("concat_batch", "concat_batch", {{2, 3, 5, 7}}, {{1, 3, 5, 7}}, concat_batch, both));
  cases.push_back(binary("concat_batch_matrix", "concat_batch", {{1, 3}}, {{4, 3}}, concat_batch, both));
  cases.push_back(unary("concat_batch_self", "concat_batch", {{3, 5}}, [](Var v) { return concat_batch(v, v); }, {}));
  cases.push_back(unary("concat_batch_self_of_result", "concat_batch", {{3, 5}},
                        [](Var v) {
                          const Var y = tanh(v);
                          return tanh(concat_batch(y, y));
                        },
                        {}));
  const OpTensor images{{model_batch, 32, 32, 3}};
  cases.push_back(binary("concat_batch_model", "concat_batch", images, images, concat_batch, both, true));
}

void add_space_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  auto add_case = [&](const std::string& name, const std::string& op, const Shape& x, const std::function<Var(Var)>& f,
                      const OpDefinition& definition, bool model_sized = false) {
    cases.push_back(unary(op + name, op, {x}, f, definition, model_sized));
  };
  auto upsample = [&](const std::string& name, const Shape& x, bool model_sized = false) {
    add_case(name, "upsample_nearest_2x", x, upsample_nearest_2x, define_upsample_nearest_2x(x), model_sized);
  };
  upsample("", {2, 3, 5, 7});
  upsample("_pixel", {1, 1, 1, 3});
  upsample("_model", {model_batch, 16, 16, 256}, true);
  auto pool = [&](const std::string& name, const Shape& x, bool model_sized = false) {
    add_case(name, "avg_pool_2x2", x, avg_pool_2x2, define_avg_pool_2x2(x), model_sized);
  };
  pool("", {2, 6, 10, 3});
  pool("_to_pixel", {3, 2, 2, 5});
  pool("_odd", {2, 5, 7, 3});
  pool("_odd_to_pixel", {3, 3, 3, 8});
  pool("_model", {model_batch, 32, 32, 128}, true);
  for (OpCase& c : cases) {
    if (c.name.starts_with("avg_pool_2x2_odd")) c.reads_every_element = false;
  }
  auto sum_and_mean = [&](const std::string& name, const Shape& x, bool model_sized = false) {
    add_case(name, "sum_space", x, sum_space, define_sum_space(x, 1), model_sized);
    add_case(name, "mean_space", x, mean_space, define_sum_space(x, 1.0 / static_cast<double>(x[1] * x[2])),
             model_sized);
  };
  sum_and_mean("", {2, 3, 5, 7});
  sum_and_mean("_one_image", {1, 5, 1, 3});
  sum_and_mean("_model", {model_batch, 8, 8, 128}, true);
}

void add_window_pooling_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  constexpr PoolWindow reduce{.size = 3, .stride = 2}, keep{.size = 3, .stride = 1, .pad = 1};
  constexpr PoolWindow halves{.size = 2, .stride = 2}, sparse{.size = 2, .stride = 3},
      wide{.size = 4, .stride = 1, .pad = 3};
  const auto add_both = [&](const std::string& name, const Shape& x, const PoolWindow& window, bool reads_all = true,
                            bool model_sized = false) {
    OpCase largest = unary(
        "max_pool" + name, "max_pool", {x}, [=](Var v) { return max_pool(v, window); }, define_max_pool(x, window),
        model_sized);
    largest.prepare = [](HostValues& inputs, HostValues&) { spread(inputs[0]); };
    largest.reads_every_element = reads_all;
    cases.push_back(largest);
    OpCase mean = unary(
        "avg_pool" + name, "avg_pool", {x}, [=](Var v) { return avg_pool(v, window); }, define_avg_pool(x, window),
        model_sized);
    mean.reads_every_element = reads_all;
    cases.push_back(mean);
  };
  add_both("_3x3_keep", {2, 4, 5, 3}, keep);
  add_both("_3x3_reduce", {2, 5, 7, 3}, reduce);
  add_both("_3x3_unread_edge", {1, 6, 8, 4}, reduce, false);
  add_both("_3x3_on_pixel", {3, 1, 1, 4}, keep);
  add_both("_halves", {2, 6, 10, 3}, halves);
  add_both("_halves_odd", {2, 5, 7, 3}, halves, false);
  add_both("_2x2_apart", {1, 5, 8, 3}, sparse);
  add_both("_4x4_pad3", {2, 3, 4, 3}, wide);
  add_both("_model_keep", {model_batch, 17, 17, 768}, keep, true, true);
  add_both("_model_reduce", {model_batch, 35, 35, 288}, reduce, true, true);

  // After a ReLU, many cells of a window hold the maximum; the gradient goes to the first.
  OpCase ties = unary(
      "max_pool_ties", "max_pool", {{2, 5, 5, 4}}, [=](Var v) { return max_pool(v, keep); },
      define_max_pool({2, 5, 5, 4}, keep));
  ties.prepare = [](HostValues& inputs, HostValues&) {
    for (double& x : inputs[0]) x = x > 0.5 ? 1 : 0;
  };
  ties.gradient_check = false;
  cases.push_back(ties);
}

void add_concat_channels_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  const auto add_case = [&](const std::string& name, Shape shape, const std::vector<int64_t>& channels,
                            bool model_sized = false) {
    OpCase c{.name = "concat_channels" + name,
             .op = "concat_channels",
             .build =
                 [](Tape&, const Vars& in, const Tensors&) {
                   switch (in.size()) {
                     case 1:
                       return concat_channels({in[0]});
                     case 2:
                       return concat_channels({in[0], in[1]});
                     case 3:
                       return concat_channels({in[0], in[1], in[2]});
                     default:
                       return concat_channels({in[0], in[1], in[2], in[3]});
                   }
                 },
             .definition = define_concat_channels(channels),
             .model_sized = model_sized};
    for (const int64_t count : channels) {
      shape[shape.rank() - 1] = count;
      c.inputs.push_back({shape});
    }
    cases.push_back(c);
  };
  add_case("", {2, 3, 5, 0}, {7, 2, 1, 3});
  add_case("_one", {2, 3, 5, 0}, {4});
  add_case("_aligned", {2, 3, 5, 0}, {8, 16, 8});
  add_case("_matrix", {3, 0}, {4, 1});
  add_case("_model", {model_batch, 35, 35, 0}, {64, 64, 96, 32}, true);
  cases.push_back(unary("concat_channels_self", "concat_channels", {{3, 5}},
                        [](Var v) {
                          const Var y = tanh(v);
                          return tanh(concat_channels({y, y, v}));
                        },
                        {}));
}

void add_augmentation_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  const auto add_case = [&](const std::string& name, const Shape& x, const DiffAugmentOptions& options,
                            bool model_sized = false) {
    cases.push_back(unary(
        "diff_augment" + name, "diff_augment", {x}, [=](Var v) { return diff_augment(v, options); },
        define_diff_augment(x, options), model_sized));
    cases.back().reads_every_element = options.color && !model_sized;
  };
  const DiffAugmentOptions all{.color = true, .translation = true, .cutout = true};
  add_case("_color", {3, 3, 5, 7}, {.color = true});
  add_case("_translation", {4, 13, 9, 3}, {.translation = true, .first_image = 1});
  add_case("_cutout", {4, 7, 10, 3}, {.cutout = true, .first_image = 5});
  add_case("", {5, 9, 13, 3}, all);
  add_case("_one_channel", {2, 12, 6, 1}, {.color = true, .translation = true, .cutout = true, .first_image = 7});
  add_case("_model", {model_batch, 32, 32, 3}, all, true);
}

void add_loss_cases(std::vector<OpCase>& cases, int64_t model_batch) {
  for (const GanLoss loss : {GanLoss::hinge, GanLoss::bce, GanLoss::wasserstein}) {
    const std::string suffix = std::string("_") + name_of(loss);
    cases.push_back(loss_d("gan_loss_d" + suffix, loss, 7, 3, Draw::logits));
    cases.push_back(loss_d("gan_loss_d_one_real" + suffix, loss, 4, 1, Draw::logits));
    cases.push_back(loss_d("gan_loss_d_one_fake" + suffix, loss, 4, 3, Draw::logits));
    cases.push_back(loss_d("gan_loss_d_extreme" + suffix, loss, 9, 4, Draw::extreme));
    cases.push_back(loss_d("gan_loss_d_model" + suffix, loss, 2 * model_batch, model_batch, Draw::logits, true));
    auto loss_g = [&](const std::string& name, int64_t n, Draw draw, bool model_sized = false) {
      cases.push_back(unary(
          "gan_loss_g" + name + suffix, "gan_loss_g", {.shape = {n, 1}, .draw = draw, .parameter = true},
          [loss](Var logits) { return gan_loss_g(logits, loss); }, define_gan_loss_g(loss), model_sized));
    };
    loss_g("", 7, Draw::logits);
    loss_g("_one", 1, Draw::logits);
    loss_g("_extreme", 9, Draw::extreme);
    loss_g("_model", model_batch, Draw::logits, true);
  }
}

std::vector<OpCase> op_cases(int64_t model_batch) {
  std::vector<OpCase> cases;
  add_elementwise_cases(cases, model_batch);
  add_shape_cases(cases, model_batch);
  add_linear_cases(cases, model_batch);
  add_conv2d_cases(cases, model_batch);
  add_normalisation_cases(cases, model_batch);
  add_space_cases(cases, model_batch);
  add_window_pooling_cases(cases, model_batch);
  add_concat_channels_cases(cases, model_batch);
  add_augmentation_cases(cases, model_batch);
  add_conditional_cases(cases, model_batch);
  add_attention_cases(cases, model_batch);
  add_loss_cases(cases, model_batch);
  return cases;
}

}  // namespace poise
