// Training iterations of every model at reduced width, compared with PyTorch (tests/golden/golden_models.py).
#include <cmath>
#include <map>

#include "apps/training/gan_step.h"
#include "engine/tape/step_graph.h"
#include "kernels/core/hash.h"
#include "kernels/train/random.h"
#include "tests/support/golden_file.h"
#include "tests/support/op_fixture.h"

namespace poise {
namespace {

// These numbers must match golden_models.py.
constexpr int64_t kBatch = 4, kClasses = 3;
constexpr double kLearningRateG = 4e-4, kLearningRateD = 2e-4, kEmaDecay = 0.9;
constexpr AdamOptions kAdam{.beta1 = 0.0, .beta2 = 0.9};
constexpr uint64_t kAdamStepsTaken = 3;
constexpr int kProbes = 3;

struct ModelSetup {
  const char* name;
  DType dtype;
  const KernelTable& (*kernels)();
  double limit;
  friend std::ostream& operator<<(std::ostream& out, const ModelSetup& setup) { return out << setup.name; }
};
constexpr ModelSetup kSetups[] = {{"reference_f64", DType::f64, cpu_reference_kernels, 1e-9},
                                  {"production_f32", DType::f32, cpu_kernels, 1e-4}};

struct ModelRun {
  const char* model;
  int64_t width_g, width_d, latent_size, classes;
  int iterations;
  friend std::ostream& operator<<(std::ostream& out, const ModelRun& run) { return out << run.model; }
};
// The latent size of biggan64 is chosen so that no activation or maximum is close enough to a tie for f32 and f64 to
// decide differently. With 20 latents, some of oneDNN's instruction sets do, and a gradient differs by one per cent.
constexpr ModelRun kRuns[] = {{"sngan32-resnet", 8, 8, 8, 0, 1},  {"sngan48", 4, 4, 8, 0, 1},
                              {"sngan64", 4, 4, 8, 0, 1},         {"dcgan32", 4, 4, 8, 0, 1},
                              {"biggan32", 8, 8, 8, kClasses, 3}, {"biggan64", 8, 8, 25, kClasses, 3}};

std::vector<double> uniform(const std::string& name, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  uniform_on_host(fnv1a(name), RandomStream::test, 0, count, values.data());
  for (double& x : values) x = 2 * x - 1;
  return values;
}

std::vector<double> exact(std::vector<double> values) {
  for (double& x : values) x = static_cast<double>(static_cast<float>(x));
  return values;
}

std::vector<double> initial(const std::string& name, const Shape& shape) {
  std::vector<double> values = uniform(name, shape.elements());
  const std::string key = name.substr(name.rfind('.') + 1);
  const double fan_in = static_cast<double>(shape.elements()) / static_cast<double>(shape[0]);
  for (double& x : values) {
    if (key == "weight") x = x / std::sqrt(fan_in);
    if (key == "gamma") x = 1 + 0.25 * x;
    if (key == "running_var") x = 1 + 0.5 * x;
    if (key == "bias" || key == "beta" || key == "running_mean" || key == "gate") x = 0.25 * x;
  }
  return exact(values);
}

using Summary = std::array<double, 4>;

Summary summary(const std::string& name, const Tensor& t) {
  const std::vector<double> values = to_host(t);
  Summary s{};
  for (const double x : values) s[0] += x * x;
  s[0] = std::sqrt(s[0]);
  for (size_t k = 0; k < 3; ++k) {
    const std::vector<double> direction = uniform(name + ".projection" + std::to_string(k), t.elements());
    for (size_t i = 0; i < values.size(); ++i) s[k + 1] += values[i] * direction[i];
  }
  return s;
}

class GoldenModels : public testing::TestWithParam<std::tuple<ModelSetup, ModelRun>> {
 protected:
  const ModelSetup setup_ = std::get<0>(GetParam());
  const ModelRun run_ = std::get<1>(GetParam());
  const std::string name_ = run_.model;

  OwnedTensor drawn(const Shape& shape, const std::vector<double>& values) {
    OwnedTensor t(shape, setup_.dtype, Device::cpu);
    GoldenFile::fill(t.tensor(), values);
    return t;
  }
  OwnedTensor latents(const std::string& name) {
    std::vector<double> z = uniform(name, kBatch * run_.latent_size);
    for (double& x : z) x = 1.5 * x;
    return drawn({kBatch, run_.latent_size}, exact(z));
  }
  OwnedTensor images(const std::string& name, const Shape& image) {
    return drawn({kBatch, image[0], image[1], image[2]}, exact(uniform(name, kBatch * image.elements())));
  }
  OwnedTensor labels(const std::string& name) {
    if (run_.classes == 0) return {};
    OwnedTensor t({kBatch}, DType::i32, Device::cpu);
    const std::vector<double> u = uniform(name, kBatch);
    for (size_t i = 0; i < u.size(); ++i) {
      t.tensor().data<int32_t>()[i] = static_cast<int32_t>((u[i] + 1) / 2 * static_cast<double>(run_.classes));
    }
    return t;
  }

  // Rows are in the order of names. Gradients that should be zero (of biases before a batch norm) are rounding errors,
  // so a difference is relative to the largest entry of its row or, if larger, a hundredth of the largest of all.
  void compare(const std::string& key, const std::map<std::string, Summary>& rows) {
    const std::vector<double> expected = golden_.values(key);
    ASSERT_EQ(expected.size(), 4 * rows.size()) << key;
    double largest = 0;
    for (const double x : expected) largest = std::max(largest, std::abs(x));
    size_t i = 0;
    for (const auto& [name, got] : rows) {
      double scale = largest / 100, difference = 0;
      for (size_t k = 0; k < 4; ++k) {
        const double d = std::abs(got[k] - expected[4 * i + k]);
        scale = std::max(scale, std::abs(expected[4 * i + k]));
        difference = d <= difference ? difference : d;  // keeps a NaN
      }
      EXPECT_TRUE(difference <= setup_.limit * scale) << key << ": " << name << " differs by " << difference / scale;
      if (!(difference / scale <= worst_)) worst_ = difference / scale, worst_name_ = key + ": " + name;
      ++i;
    }
  }
  void TearDown() override { std::cout << "worst: " << worst_name_ << " differs by " << worst_ << "\n"; }

  // The names are as in the file, and the gradients are those of the last step.
  void compare_gradients(const char* network, const ParameterSlab& slab, const std::string& at) {
    std::map<std::string, Summary> rows;
    for (const auto& e : slab.entries()) {
      const std::string name = name_ + "." + network + "." + e.path;
      rows[name] = summary(name + ".gradient", e.grad);
    }
    compare(name_ + ".gradients_" + network + at, rows);
  }

  GoldenFile golden_{"models"};
  double worst_ = -1;
  std::string worst_name_;
};

TEST_P(GoldenModels, TrainAsPyTorchDoes) {
  Arena arena(size_t{256} << 20, Device::cpu);
  StepState step_state;
  Context ctx{.kernels = &setup_.kernels(), .arena = &arena, .step = &step_state};
  Tape tape(ctx);
  GanModel model = make_model({.name = name_,
                               .width_g = run_.width_g,
                               .width_d = run_.width_d,
                               .latent_size = run_.latent_size,
                               .classes = run_.classes});
  ParameterSlab slab_g(*model.generator, setup_.dtype, Device::cpu, true);
  ParameterSlab slab_d(*model.discriminator, setup_.dtype, Device::cpu, false);
  std::map<std::string, Tensor> state;
  for (const auto& [root, slab] : {std::pair{"G", &slab_g}, {"D", &slab_d}}) {
    const std::string prefix = name_ + "." + root + ".";
    for (const auto& e : slab->entries()) {
      const std::string name = prefix + e.path;
      state[name] = e.value;
      state[name + ".adam_v"] = e.adam_v;
      GoldenFile::fill(e.value, initial(name, e.value.shape));
      std::vector<double> v = uniform(name + ".adam_v", e.value.elements());
      for (double& x : v) x = 0.01 * (1 + 0.5 * x);
      GoldenFile::fill(e.adam_v, exact(v));
      if (!e.ema) continue;
      state[name + ".ema"] = e.ema;
      GoldenFile::fill(e.ema, initial(name, e.value.shape));
    }
    for (const auto& b : slab->buffers()) {
      state[prefix + b.path] = b.value;
      GoldenFile::fill(b.value, initial(prefix + b.path, b.value.shape));
    }
  }
  for (const auto& [network, rate] :
       {std::pair{Network::generator, kLearningRateG}, {Network::discriminator, kLearningRateD}}) {
    step_state.clocks[static_cast<int>(network)] = {
        .t = kAdamStepsTaken, .learning_rate = rate, .beta1_power = 0, .beta2_power = std::pow(kAdam.beta2, 3)};
  }
  OwnedTensor results({4}, setup_.dtype, Device::cpu);
  const Tensor& r = results.tensor();
  GanStep step{
      .model = &model,
      .slab_g = &slab_g,
      .slab_d = &slab_d,
      .tape = &tape,
      .train = {.adam_beta1 = kAdam.beta1, .adam_beta2 = kAdam.beta2, .adam_eps = kAdam.eps, .ema_decay = kEmaDecay},
      .loss_d = r.slice(0, 1),
      .loss_g = r.slice(3, 1),
      .means_d = r.slice(1, 2)};

  {
    const std::string d = name_ + ".d0", g = name_ + ".g0";
    const OwnedTensor real = images(d, model.generator->image_shape), z = latents(g);
    const OwnedTensor y_real = labels(d + ".real"), y = labels(g);
    Tensor a_post = r.slice(0, 1), mean_real = r.slice(1, 1);
    const auto probe = [&] {
      balance_probe(step, {real.tensor(), y_real.tensor()}, {z.tensor(), y.tensor()}, a_post, mean_real);
    };
    for (int i = 0; i < kProbes; ++i) StepGraph(tape, probe).launch();
    golden_.expect_near(name_ + ".probe", r.slice(0, 2), setup_.limit);
  }
  for (int i = 0; i < run_.iterations; ++i) {
    const std::string at = std::to_string(i), d = name_ + ".d" + at, g = name_ + ".g" + at;
    const OwnedTensor real = images(d, model.generator->image_shape), z_d = latents(d), z_g = latents(g);
    const OwnedTensor y_real = labels(d + ".real"), y_fake = labels(d + ".fake"), y_g = labels(g);
    StepGraph(tape, [&] { d_step(step, {real.tensor(), y_real.tensor()}, {z_d.tensor(), y_fake.tensor()}); }).launch();
    golden_.expect_near(d + ".losses", r.slice(0, 3), setup_.limit);
    compare_gradients("D", slab_d, at);
    StepGraph(tape, [&] { g_step(step, {z_g.tensor(), y_g.tensor()}); }).launch();
    golden_.expect_near(g + ".losses", r.slice(3, 1), setup_.limit);
    compare_gradients("G", slab_g, at);
  }
  std::map<std::string, Summary> rows;
  for (const auto& [name, tensor] : state) rows[name] = summary(name, tensor);
  compare(name_ + ".state", rows);
}

std::string name_of(const testing::TestParamInfo<std::tuple<ModelSetup, ModelRun>>& info) {
  std::string name = std::string(std::get<1>(info.param).model) + "_" + std::get<0>(info.param).name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(, GoldenModels, testing::Combine(testing::ValuesIn(kSetups), testing::ValuesIn(kRuns)),
                         name_of);

}  // namespace
}  // namespace poise
