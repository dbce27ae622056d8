// Sparse training on a device. With the CPU's dense kernels in the stand-in runtime (deferred_kernels.h) and the GPU
// kernels of sparse training, every mask, weight and moment must equal the CPU's bit for bit, for any method and any
// number of mask changes under captured steps. With GPU kernels only, dense arithmetic rounds differently; then counts
// are exact and masks agree except for cells at the threshold.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "apps/run/run_state.h"
#include "kernels/gpu/emulated/runtime.h"
#include "tests/support/deferred_kernels.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::differences;
using test::noise_images;
using test::State;
using test::state_of;
using test::write_state;

// The smallest SNGAN-32, with frequent mask changes. Dense, because only the CPU can skip single weights.
TrainerOptions small(const std::string& method, const test::OptionTexts& more = {}) {
  const test::OptionTexts texts = {{"method", method},       {"density_g", "0.3"},    {"width_g", "4"},
                                   {"width_d", "4"},         {"latent_size", "8"},    {"batch_size_d", "2"},
                                   {"batch_size_g", "2"},    {"n_critic", "1"},       {"br_every", "1"},
                                   {"br_window", "5"},       {"update_every_g", "5"}, {"iterations", "30"},
                                   {"update_every_d", "10"}, {"execution", "dense"}};
  return test::settings_of(texts, more);
}

TrainerOptions on_device(TrainerOptions o, const KernelTable* kernels = nullptr) {
  o.train.device = Device::emulated;
  o.kernels = kernels;
  return o;
}

void iterate_to(Trainer& trainer, int64_t iteration) {
  while (trainer.iteration() < iteration) trainer.iterate();
}

// The kinds of mask changes and how often each happened.
std::map<std::string, int> changes_of(Trainer& trainer) {
  std::map<std::string, int> kinds;
  for (const MaskEvent& event : trainer.take_mask_events()) kinds[event.network + " " + event.kind] += 1;
  return kinds;
}

// The deferred CPU kernels, except that the kernels of sparse training are the GPU's. Counts the calls of Adam, which
// replayed steps do not call.
int adam_calls;
const KernelTable& sparse_gpu_kernels() {
  static const KernelTable table = [] {
    KernelTable t = test::deferred_kernels();
    const KernelTable& gpu = emulated::kernels();
    t.cell_scores = gpu.cell_scores;
    t.random_scores = gpu.random_scores;
    t.select_cells = gpu.select_cells;
    t.count_alive = gpu.count_alive;
    t.change_mask = gpu.change_mask;
    t.mean_logit = gpu.mean_logit;
    t.push_balance = gpu.push_balance;
    t.summarise_balance = gpu.summarise_balance;
    t.build_block_index = gpu.build_block_index;
    t.adam = [](Context& ctx, auto... args) {
      ++adam_calls;
      static const KernelTable deferred = test::deferred_kernels();
      deferred.adam(ctx, args...);
    };
    return t;
  }();
  return table;
}

struct Variant {
  std::string name, method;
  test::OptionTexts more;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string& method : method_names()) {
    if (method == "dense") continue;
    std::string name = method;
    std::erase(name, '-');
    all.push_back({name, method, {}});
  }
  all.push_back({"ddststrict_cells_by_layer", "ddst-strict", {{"cell", "2x2"}, {"selection_scope", "layer"}}});
  all.push_back({"ddstrelaxed_all_taps_keep", "ddst-relaxed", {{"cell", "2x2-all-taps"}, {"moment_policy", "keep"}}});
  all.push_back({"ddststrict_blocks",
                 "ddst-strict",
                 {{"cell", "16x16"}, {"execution", "block"}, {"width_g", "16"}, {"width_d", "16"}, {"n_critic", "2"}}});
  return all;
}

class SparseTrainingOnADevice : public testing::TestWithParam<Variant> {
 protected:
  TrainerOptions options() const { return small(GetParam().method, GetParam().more); }
};
INSTANTIATE_TEST_SUITE_P(Methods, SparseTrainingOnADevice, testing::ValuesIn(variants()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(SparseTrainingOnADevice, EqualsTheCpuBitForBitAcrossMaskUpdatesUnderReplayedSteps) {
  emulator::runtime().seed(3);
  Trainer cpu(options(), noise_images()), device(on_device(options(), &sparse_gpu_kernels()), noise_images());
  adam_calls = 0;
  iterate_to(cpu, 29);
  iterate_to(device, 29);
  EXPECT_EQ(differences(state_of(cpu), state_of(device)), std::vector<std::string>());
  EXPECT_EQ(changes_of(cpu), changes_of(device));
  EXPECT_LT(adam_calls, 29 * (1 + device.options().train.n_critic)) << "some steps were replayed";
  const SparseReport a = cpu.sparse_report(), b = device.sparse_report();
  const double x = a.balance.mean_of_ratios, y = b.balance.mean_of_ratios;
  EXPECT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << x << " and " << y;
  EXPECT_EQ(a.density_d, b.density_d);
  EXPECT_TRUE(cpu.report().finite());
}

// Stops right after a mask update and between two; starts on the CPU and ends on the device, and vice versa.
TEST_P(SparseTrainingOnADevice, ResumesBitForBitOnEitherDevice) {
  Trainer whole(options(), noise_images());
  for (const int64_t stop : {10, 13}) {
    iterate_to(whole, stop);
    const State state = state_of(whole);
    const StepState step = whole.step_state();
    Trainer resumed(on_device(options(), &sparse_gpu_kernels()), noise_images());
    iterate_to(resumed, 4);  // has captured steps, which must not survive with its masks
    write_state(resumed, state, step);
    iterate_to(resumed, 22);
    iterate_to(whole, 22);
    EXPECT_EQ(differences(state_of(whole), state_of(resumed)), std::vector<std::string>()) << "from " << stop;
    write_state(whole, state, step);
  }
}

// The engine and the trainer never access device memory directly, only through copies and kernels.
TEST(SparseTrainingOnADeviceAlone, TheHostNeverLooksAtTheDevice) {
  Trainer device(on_device(small("ddst-strict"), &sparse_gpu_kernels()), noise_images());
  emulator::runtime().protect_memory(true);
  iterate_to(device, 11);
  device.sparse_report();
  write_state(device, state_of(device), device.step_state());
  emulator::runtime().protect_memory(false);
  EXPECT_EQ(device.iteration(), 11);
}

// --- with GPU kernels only ---

// The share of cells that differ. At the threshold, rounding decides the rank of a cell.
double mask_difference(const State& a, const State& b) {
  int64_t cells = 0, different = 0;
  for (const auto& [name, bytes] : a) {
    if (name.find(".mask.") == std::string::npos) continue;
    const std::vector<char>& other = b.at(name);
    for (size_t i = 0; i < bytes.size(); ++i) different += bytes[i] != other[i];
    cells += static_cast<int64_t>(bytes.size());
  }
  return static_cast<double>(different) / static_cast<double>(cells);
}

int64_t dead_weights_that_are_not_zero(const State& state) {
  int64_t count = 0;
  for (const auto& [name, mask] : state) {
    const size_t at = name.find(".mask.");
    if (at == std::string::npos) continue;
    const std::string network = name.substr(0, at), path = name.substr(at + 6);
    for (const std::string& of : {network + "." + path, network + ".ema." + path}) {
      const auto found = state.find(of);
      if (found == state.end()) continue;
      std::vector<float> w(found->second.size() / sizeof(float));
      std::memcpy(w.data(), found->second.data(), found->second.size());
      for (size_t i = 0; i < w.size(); ++i) count += mask[i] == 0 && w[i] != 0;
    }
  }
  return count;
}

struct Full {
  std::string method;
  Precision precision;
};
void PrintTo(const Full& full, std::ostream* out) { *out << full.method << " " << name_of(full.precision); }

class SparseTrainingOnTheGpuKernels : public testing::TestWithParam<Full> {
 protected:
  static TrainerOptions options() {
    TrainerOptions o = small(GetParam().method, {{"iterations", "9"}, {"update_every_g", "2"}});
    o.train.precision = GetParam().precision;
    o.train.adam_eps =
        1e-2;  // above rounding, so that a gradient of pure rounding cannot decide the direction of a step
    return o;
  }
};

TEST_P(SparseTrainingOnTheGpuKernels, MasksAreTheCpusAndDeadWeightsZero) {
  TrainerOptions cpu_options = options();
  cpu_options.train.precision = Precision::fp32;
  Trainer cpu(cpu_options, noise_images()), device(on_device(options()), noise_images());
  EXPECT_EQ(mask_difference(state_of(cpu), state_of(device)), 0) << "the first masks depend on the seed alone";
  for (const int64_t update : {2, 4}) {
    iterate_to(cpu, update - 1);
    write_state(device, state_of(cpu), cpu.step_state());
    cpu.iterate();
    device.iterate();
    const State a = state_of(cpu), b = state_of(device);
    EXPECT_LE(mask_difference(a, b), GetParam().precision == Precision::bf16 ? 0.02 : 5e-4) << "iteration " << update;
    EXPECT_EQ(dead_weights_that_are_not_zero(b), 0);
    const auto x = cpu.take_mask_events(), y = device.take_mask_events();
    ASSERT_FALSE(y.empty());
    EXPECT_EQ(x.back().kind, y.back().kind);
    EXPECT_EQ(x.back().alive, y.back().alive) << "counts are exact";
    EXPECT_TRUE(device.report().finite());
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, SparseTrainingOnTheGpuKernels,
                         testing::Values(Full{"sdst-set", Precision::fp32}, Full{"sdst-rigl", Precision::fp32},
                                         Full{"ddst-relaxed", Precision::bf16}),
                         [](const auto& tested) {
                           std::string name = tested.param.method + "_" + name_of(tested.param.precision);
                           std::erase(name, '-');
                           return name;
                         });

TEST(SparseTrainingEmulated, ResumesBitForBitAcrossAMaskUpdateWithReplayedSteps) {
  const TrainerOptions o = on_device(small("ddst-strict", {{"iterations", "9"}, {"update_every_g", "2"}}));
  Trainer whole(o, noise_images()), resumed(o, noise_images());
  iterate_to(whole, 2);
  write_state(resumed, state_of(whole), whole.step_state());
  TrainerOptions plain = o;
  plain.train.graph = false;
  Trainer unreplayed(plain, noise_images());
  iterate_to(whole, 5);
  iterate_to(resumed, 5);
  iterate_to(unreplayed, 5);
  EXPECT_EQ(differences(state_of(whole), state_of(resumed)), std::vector<std::string>());
  EXPECT_EQ(differences(state_of(whole), state_of(unreplayed)), std::vector<std::string>());
}

}  // namespace
}  // namespace poise
