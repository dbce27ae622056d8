// Layers and training iterations compared with PyTorch (tests/golden/README.md): in f64 with the reference kernels,
// where only a wrong formula can make a difference, and in f32 with the kernels that users run.
#include <array>
#include <functional>

#include "apps/training/gan_step.h"
#include "engine/tape/step_graph.h"
#include "tests/support/golden_file.h"

namespace poise {
namespace {

struct Setup {
  const char* name;
  DType dtype;
  const KernelTable& (*kernels)();
  double layer_limit, training_limit;
  friend std::ostream& operator<<(std::ostream& out, const Setup& setup) { return out << setup.name; }
};
constexpr std::array kSetups{Setup{"reference_f64", DType::f64, cpu_reference_kernels, 1e-9, 1e-9},
                             Setup{"reference_f32", DType::f32, cpu_reference_kernels, 1e-5, 1e-4},
                             Setup{"production_f32", DType::f32, cpu_kernels, 1e-5, 1e-4}};

// An otherwise empty device with a tape.
struct Workbench {
  Workbench(const Setup& setup, size_t mebibytes) : arena(mebibytes << 20, Device::cpu) {
    ctx.kernels = &setup.kernels();
    ctx.arena = &arena;
    ctx.step = &step_state;
  }
  Arena arena;
  StepState step_state;
  Context ctx;
  Tape tape{ctx};

  // Copies a gradient to the arena for backward_from(), which consumes it.
  Tensor in_arena(const OwnedTensor& from) {
    Tensor copy = arena.alloc(from.tensor().shape, from.tensor().dtype);
    copy_from_host(copy, from.tensor().bytes);
    return copy;
  }
};

class GoldenLayers : public testing::TestWithParam<Setup> {
 protected:
  using Op = std::function<Var(Tape&, const std::vector<Var>&)>;

  OwnedTensor load(const std::string& name) { return golden_.tensor(name, GetParam().dtype); }
  void expect_near(const std::string& name, const Tensor& got) {
    golden_.expect_near(name, got, GetParam().layer_limit);
  }

  // Checks both passes of the case `name`: inputs name.<input>, output name.y, gradients name.dy and name.d<input>.
  void check(const std::string& name, const std::vector<std::string>& inputs, const Op& op, Mode mode = Mode::train) {
    SCOPED_TRACE(name);
    Workbench bench(GetParam(), 4);
    bench.tape.mode = mode;
    std::vector<OwnedTensor> memory;
    std::vector<Var> leaves;
    for (const std::string& input : inputs) {
      memory.push_back(load(name + "." + input));
      leaves.push_back(bench.tape.variable(memory.back().tensor()));
    }
    const Var y = op(bench.tape, leaves);
    expect_near(name + ".y", y.value());
    bench.tape.backward_from(y, bench.in_arena(load(name + ".dy")));
    for (size_t i = 0; i < inputs.size(); ++i) {
      expect_near(name + ".d" + inputs[i], bench.tape.gradient(leaves[i]));
    }
  }

  GoldenFile golden_{"layers"};
};

TEST_P(GoldenLayers, Linear) {
  check("linear", {"x", "weight", "bias"}, [](Tape&, const auto& in) { return linear(in[0], in[1], in[2]); });
  check("linear_no_bias", {"x", "weight"}, [](Tape&, const auto& in) { return linear(in[0], in[1], Var{}); });
}

TEST_P(GoldenLayers, Conv2d) {
  const Conv2dOptions one{}, three{.kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1};
  const Conv2dOptions stride2{.kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1};
  const Conv2dOptions rectangle{.kh = 1, .kw = 5, .stride_h = 1, .stride_w = 2, .pad_h = 0, .pad_w = 2};
  const Conv2dOptions three_up{.kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1, .upsample = 2}, one_up{.upsample = 2};
  const std::pair<const char*, Conv2dOptions> cases[] = {
      {"conv2d_3x3", three},          {"conv2d_3x3_wide", three},          {"conv2d_1x1", one},
      {"conv2d_1x1_no_bias", one},    {"conv2d_stride2", stride2},         {"conv2d_rectangle", rectangle},
      {"conv2d_upsampled", three_up}, {"conv2d_upsampled_wide", three_up}, {"conv2d_upsampled_1x1", one_up}};
  for (const auto& [name, options] : cases) {
    std::vector<std::string> inputs{"x", "weight"};
    if (golden_.has(std::string(name) + ".bias")) inputs.push_back("bias");
    check(name, inputs, [&options](Tape&, const std::vector<Var>& in) {
      return conv2d(in[0], in[1], in.size() == 3 ? in[2] : Var{}, options);
    });
  }
}

TEST_P(GoldenLayers, BatchNorm) {
  const struct {
    const char* name;
    Mode mode;
    bool relu, follows;
  } cases[] = {{"batch_norm_train", Mode::train, false, true},
               {"batch_norm_eval", Mode::evaluate_running, false, true},  // running statistics unchanged in the file
               {"batch_norm_relu_train", Mode::train, true, true},
               {"batch_norm_relu_eval", Mode::evaluate_running, true, true},
               {"batch_norm_train", Mode::evaluate_batch, false, false}};
  for (const auto& c : cases) {
    const std::string name = c.name;
    OwnedTensor mean = load(name + ".running_mean"), var = load(name + ".running_var");
    check(
        name, {"x", "gamma", "beta"},
        [&](Tape&, const auto& in) {
          return batch_norm(in[0], in[1], in[2], mean.tensor(), var.tensor(), {.relu = c.relu});
        },
        c.mode);
    expect_near(name + (c.follows ? ".new_running_mean" : ".running_mean"), mean.tensor());
    expect_near(name + (c.follows ? ".new_running_var" : ".running_var"), var.tensor());
  }
}

// Two passes in training mode and one in evaluation: first each alone, then all three on one tape, where each backward
// pass must use the u and v of its own forward pass.
TEST_P(GoldenLayers, SpectralNorm) {
  const std::string name = "spectral_norm.";
  constexpr double kEps = 1e-12;
  const OwnedTensor weight = load(name + "weight"), dy = load(name + "dy");
  OwnedTensor u = load(name + "u"), v = load(name + "v");
  for (const std::string i : {"1", "2", "3"}) {
    SCOPED_TRACE("pass " + i);
    Workbench bench(GetParam(), 4);
    bench.tape.mode = i == "3" ? Mode::evaluate_running : Mode::train;
    const Var w = bench.tape.variable(weight.tensor());
    const Var y = spectral_norm(w, u.tensor(), v.tensor(), kEps);
    expect_near(name + "y" + i, y.value());
    expect_near(name + "u" + i, u.tensor());
    expect_near(name + "v" + i, v.tensor());
    bench.tape.backward_from(y, bench.in_arena(dy));
    expect_near(name + "dweight" + i, bench.tape.gradient(w));

    OwnedTensor u_used = load(name + "u"), v_used = load(name + "v"), y_again = load(name + "y1");
    OwnedTensor sigma = load(name + "sigma1");
    const SpectralNormLayer layer{.eps = kEps,
                                  .weight = weight.tensor(),
                                  .u = u.tensor(),
                                  .v = v.tensor(),
                                  .u_used = u_used.tensor(),
                                  .v_used = v_used.tensor(),
                                  .sigma = sigma.tensor(),
                                  .y = y_again.tensor()};
    Arena::Workspace workspace(bench.arena, spectral_norm_workspace({&layer, 1}));
    bench.ctx.kernels->spectral_norm_forward(bench.ctx, false, {&layer, 1}, workspace.tensor());
    expect_near(name + "sigma" + i, sigma.tensor());
  }

  Workbench bench(GetParam(), 4);
  u = load(name + "u"), v = load(name + "v");
  const Var w = bench.tape.variable(weight.tensor());
  const Var y1 = spectral_norm(w, u.tensor(), v.tensor(), kEps), y2 = spectral_norm(w, u.tensor(), v.tensor(), kEps);
  bench.tape.mode = Mode::evaluate_running;
  const Var y3 = spectral_norm(w, u.tensor(), v.tensor(), kEps);
  bench.tape.backward_from(add(add(y1, y2), y3), bench.in_arena(dy));
  expect_near(name + "dweight", bench.tape.gradient(w));
}

TEST_P(GoldenLayers, SpaceAndElements) {
  check("upsample_nearest_2x", {"x"}, [](Tape&, const auto& in) { return upsample_nearest_2x(in[0]); });
  check("avg_pool_2x2", {"x"}, [](Tape&, const auto& in) { return avg_pool_2x2(in[0]); });
  check("sum_space", {"x"}, [](Tape&, const auto& in) { return sum_space(in[0]); });
  check("mean_space", {"x"}, [](Tape&, const auto& in) { return mean_space(in[0]); });
  check("relu", {"x"}, [](Tape&, const auto& in) { return relu(in[0]); });
  check("leaky_relu", {"x"}, [](Tape&, const auto& in) { return leaky_relu(in[0], 0.25f); });
  check("tanh", {"x"}, [](Tape&, const auto& in) { return tanh(in[0]); });
  check("add", {"a", "b"}, [](Tape&, const auto& in) { return add(in[0], in[1]); });
  check("concat_batch", {"a", "b"}, [](Tape&, const auto& in) { return concat_batch(in[0], in[1]); });
}

TEST_P(GoldenLayers, GanLosses) {
  const std::pair<const char*, GanLoss> kinds[] = {
      {"hinge", GanLoss::hinge}, {"bce", GanLoss::bce}, {"wasserstein", GanLoss::wasserstein}};
  for (const auto& [name, kind] : kinds) {
    const std::string d = std::string("gan_loss_d_") + name, g = std::string("gan_loss_g_") + name;
    OwnedTensor means({2}, GetParam().dtype, Device::cpu);
    check(d, {"logits"},
          [&, kind = kind](Tape&, const auto& in) { return gan_loss_d(in[0], 5, kind, means.tensor()); });
    expect_near(d + ".means", means.tensor());
    check(g, {"logits"}, [kind = kind](Tape&, const auto& in) { return gan_loss_g(in[0], kind); });
  }
}

TEST_P(GoldenLayers, AdamAndMovingAverage) {
  const std::pair<const char*, AdamOptions> cases[] = {{"adam_0_0.9.", {.beta1 = 0.0, .beta2 = 0.9}},
                                                       {"adam_0.5_0.999.", {.beta1 = 0.5, .beta2 = 0.999}}};
  for (const auto& [prefix, options] : cases) {
    const std::string name = prefix;
    Workbench bench(GetParam(), 4);
    bench.step_state.clocks[static_cast<int>(Network::generator)].learning_rate = 1e-2;
    const OwnedTensor grads = load(name + "grad");  // [steps, parameters]
    OwnedTensor value = load(name + "value"), ema = load(name + "value");
    OwnedTensor m(value.tensor().shape, GetParam().dtype, Device::cpu),
        v(m.tensor().shape, GetParam().dtype, Device::cpu);
    for (int64_t i = 0; i < grads.tensor().shape[0]; ++i) {
      bench.ctx.kernels->begin_step(bench.ctx, Network::generator, options);
      bench.ctx.kernels->adam(bench.ctx, Network::generator, options, 0.9,
                              {.grad = grads.tensor().slice(i, 1).reshaped(value.tensor().shape),
                               .value = value.tensor(),
                               .m = m.tensor(),
                               .v = v.tensor(),
                               .ema = ema.tensor()});
    }
    expect_near(name + "new_value", value.tensor());
    expect_near(name + "new_ema", ema.tensor());
    expect_near(name + "new_m", m.tensor());
    expect_near(name + "new_v", v.tensor());
  }
}

// Three iterations of SNGAN-32 at reduced width with apps/training/gan_step.h, as the Trainer runs them. The numbers
// below must match tests/golden/golden_sngan32.py.
class GoldenTraining : public testing::TestWithParam<Setup> {};

// All tensors of a network that are in the golden files ("G.block2.conv1.weight" and so on), in slab order.
std::vector<std::pair<std::string, Tensor>> state_of(const std::string& network, const ParameterSlab& slab) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& entry : slab.entries()) {
    all.emplace_back(network + "." + entry.path, entry.value);
    all.emplace_back(network + ".adam_v." + entry.path, entry.adam_v);
    if (entry.ema) all.emplace_back(network + ".ema." + entry.path, entry.ema);
  }
  for (const auto& buffer : slab.buffers()) all.emplace_back(network + "." + buffer.path, buffer.value);
  return all;
}

TEST_P(GoldenTraining, ThreeIterations) {
  constexpr int kIterations = 3, kNCritic = 2;
  const auto [name, dtype, kernels, layer_limit, limit] = GetParam();
  const GoldenFile start("sngan32_start");
  GoldenFile end("sngan32_end");

  Workbench bench(GetParam(), 64);
  GanModel model = make_model({.name = "sngan32", .width_g = 16, .width_d = 16, .latent_size = 16});
  ParameterSlab slab_g(*model.generator, dtype, Device::cpu, true);
  ParameterSlab slab_d(*model.discriminator, dtype, Device::cpu, false);
  auto state = state_of("G", slab_g);
  const auto state_d = state_of("D", slab_d);
  state.insert(state.end(), state_d.begin(), state_d.end());
  for (const auto& [path, tensor] : state) {
    ASSERT_EQ(tensor.shape.to_string(), start.shape(path).to_string()) << path;
    GoldenFile::fill(tensor, start.values(path));
  }

  for (const auto& [network, learning_rate] : {std::pair{Network::generator, 2e-3}, {Network::discriminator, 4e-4}}) {
    bench.step_state.clocks[static_cast<int>(network)] = {
        .t = 3, .learning_rate = learning_rate, .beta1_power = 0, .beta2_power = 0.9 * 0.9 * 0.9};
  }
  OwnedTensor results({4}, dtype, Device::cpu);
  GanStep step{.model = &model,
               .slab_g = &slab_g,
               .slab_d = &slab_d,
               .tape = &bench.tape,
               .train = {.adam_beta1 = 0.0, .adam_beta2 = 0.9, .ema_decay = 0.9},
               .loss_d = results.tensor().slice(0, 1),
               .loss_g = results.tensor().slice(1, 1),
               .means_d = results.tensor().slice(2, 2)};

  for (int i = 0; i < kIterations; ++i) {
    for (int k = 0; k < kNCritic; ++k) {
      const std::string at = "." + std::to_string(i) + "." + std::to_string(k);
      OwnedTensor real(start.shape("real" + at), dtype, Device::cpu);
      std::vector<double> pictures = start.values("real" + at);
      for (double& x : pictures) x = x / 128 - 1;
      GoldenFile::fill(real.tensor(), pictures);
      const OwnedTensor z = start.tensor("z_d" + at, dtype);
      StepGraph(bench.tape, [&] { d_step(step, {real.tensor()}, {z.tensor()}); }).launch();
      end.expect_near("loss_d" + at, step.loss_d, limit);
      end.expect_near("means_d" + at, step.means_d, limit);
    }
    const std::string at = "." + std::to_string(i);
    const OwnedTensor z = start.tensor("z_g" + at, dtype);
    StepGraph(bench.tape, [&] { g_step(step, {z.tensor()}); }).launch();
    end.expect_near("loss_g" + at, step.loss_g, limit);
  }
  for (const auto& [path, tensor] : state) end.expect_near(path, tensor, limit);
  end.expect_all_compared();
}

std::string name_of_setup(const testing::TestParamInfo<Setup>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(, GoldenLayers, testing::ValuesIn(kSetups), name_of_setup);
INSTANTIATE_TEST_SUITE_P(, GoldenTraining, testing::Values(kSetups[0], kSetups[2]), name_of_setup);

}  // namespace
}  // namespace poise
