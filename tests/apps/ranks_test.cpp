// Several processes that train as one. Under mpirun, each rank trains alone and together with the others on the same
// batches, and the results are compared. Without mpirun there are no other ranks, and the tests say so.
#include "kernels/ranks/ranks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "apps/evaluation/evaluator.h"
#include "engine/ops/ops.h"
#include "kernels/gpu/runtime.h"
#include "tests/support/float_difference.h"
#include "tests/support/test_context.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::State;
using test::state_of;

std::unique_ptr<Ranks> joined;

class Together : public testing::Environment {
 public:
  void SetUp() override {
    joined = join_ranks();
    if (joined) joined->set_limit(60);
  }
  void TearDown() override {
    if (!joined) return;
    joined->wait_for_all();
    joined->leave();
  }
};
[[maybe_unused]] testing::Environment* const environment = testing::AddGlobalTestEnvironment(new Together);

class RanksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!joined)
      GTEST_SKIP() << "needs several ranks: mpirun -n 2 ranks_test (built with " << ranks_built_with() << ")";
  }
  Ranks& ranks() { return *joined; }
};

template <class T>
std::vector<T> drawn(int64_t count, int rank) {
  std::vector<double> values(static_cast<size_t>(count));
  normal_on_host(1, RandomStream::test, static_cast<uint64_t>(rank), count, values.data());
  return {values.begin(), values.end()};
}

template <class T>
void expect_means_in_the_order_of_ranks(Ranks& ranks) {
  TestContext c;
  for (const int64_t n : {1, 7, 16, 4097, 300001}) {
    const OwnedTensor x = tensor_of<T>({n}, drawn<T>(n, ranks.rank()));
    std::vector<T> expected = drawn<T>(n, 0);
    for (int r = 1; r < ranks.size(); ++r) {
      const std::vector<T> other = drawn<T>(n, r);
      for (size_t i = 0; i < other.size(); ++i) expected[i] += other[i];
    }
    for (T& sum : expected) sum *= T{1} / static_cast<T>(ranks.size());
    Arena::Scratch scratch(c.arena, ranks.mean_scratch(x.tensor()));
    ranks.mean(c.ctx, x.tensor(), scratch);
    EXPECT_EQ(values_of<T>(x.tensor()), expected) << n;
  }
}

TEST_F(RanksTest, AMeanIsTakenInTheOrderOfTheRanks) {
  expect_means_in_the_order_of_ranks<float>(ranks());
  expect_means_in_the_order_of_ranks<double>(ranks());
}

// Each rank begins the means at different times, with other collectives in between. The results equal separate means.
TEST_F(RanksTest, MeansBesideEachOther) {
  TestContext c;
  const std::vector<int64_t> sizes = {5, 70000, 1, 4099};
  std::vector<OwnedTensor> all, scratch;
  for (const int64_t n : sizes) {
    all.push_back(tensor_of<float>({n}, drawn<float>(n, ranks().rank())));
    scratch.emplace_back(Shape{static_cast<int64_t>(ranks().mean_scratch(all.back().tensor()))}, DType::u8,
                         Device::cpu);
  }
  const OwnedTensor mine = tensor_of<float>({1}, {static_cast<float>(ranks().rank())});
  const OwnedTensor gathered({ranks().size()}, DType::f32, Device::cpu);
  for (size_t i = 0; i < all.size(); ++i) {
    ::usleep(static_cast<useconds_t>((ranks().rank() + static_cast<int>(i)) % 2 * 3000));
    ranks().begin_mean(c.ctx, all[i].tensor(), scratch[i].tensor());
    ranks().gather(c.ctx, mine.tensor(), gathered.tensor());
    ranks().advance_means(c.ctx);
  }
  ranks().finish_means(c.ctx);
  for (int r = 0; r < ranks().size(); ++r) EXPECT_EQ(gathered.tensor().data<float>()[r], static_cast<float>(r));
  for (size_t i = 0; i < all.size(); ++i) {
    const OwnedTensor alone = tensor_of<float>({sizes[i]}, drawn<float>(sizes[i], ranks().rank()));
    ranks().mean(c.ctx, alone.tensor(), scratch[i].tensor());
    EXPECT_EQ(values_of<float>(all[i].tensor()), values_of<float>(alone.tensor())) << i;
  }
}

// bf16 numbers are summed in f32, and the mean is rounded once.
TEST_F(RanksTest, AMeanOfBf16IsRoundedOnce) {
  TestContext c;
  constexpr int64_t kCount = 3001;
  const auto of_rank = [](int rank) {
    std::vector<bf16> values;
    for (const float x : drawn<float>(kCount, rank)) values.push_back(to_bf16(x));
    return values;
  };
  const OwnedTensor x({kCount}, DType::bf16, Device::cpu);
  copy_from_host(x.tensor(), of_rank(ranks().rank()).data());
  std::vector<float> sums(kCount, 0);
  for (int r = 0; r < ranks().size(); ++r) {
    const std::vector<bf16> values = of_rank(r);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += to_float(values[i]);
  }
  Arena::Scratch scratch(c.arena, ranks().mean_scratch(x.tensor()));
  ranks().mean(c.ctx, x.tensor(), scratch);
  for (size_t i = 0; i < sums.size(); ++i) {
    const float expected = to_float(to_bf16(sums[i] / static_cast<float>(ranks().size())));
    ASSERT_EQ(to_float(x.tensor().data<bf16>()[i]), expected) << i;
  }
}

TEST_F(RanksTest, EverybodyGetsWhatTheOthersHave) {
  TestContext c;
  const OwnedTensor mine = tensor_of<float>({5}, drawn<float>(5, ranks().rank()));
  const OwnedTensor all({5 * ranks().size()}, DType::f32, Device::cpu);
  ranks().gather(c.ctx, mine.tensor(), all.tensor());
  std::vector<float> expected;
  std::vector<std::string> texts;
  for (int r = 0; r < ranks().size(); ++r) {
    const auto of_rank = drawn<float>(5, r);
    expected.insert(expected.end(), of_rank.begin(), of_rank.end());
    texts.push_back(std::string(static_cast<size_t>(3 * r), 'x'));
  }
  EXPECT_EQ(values_of<float>(all.tensor()), expected);
  EXPECT_EQ(ranks().gather_texts(texts[static_cast<size_t>(ranks().rank())]), texts);
  int number = 100 + ranks().rank();
  ranks().broadcast(&number, sizeof number);
  EXPECT_EQ(number, 100);
}

// The results of the layer on the whole batch, or on this rank's share of it.
struct Normalised {
  std::vector<double> y, dx, dgamma, dbeta, running_mean, running_var;
};
Normalised normalise(const std::vector<double>& x, const std::vector<double>& dy, int64_t images, Ranks* ranks) {
  TestContext c(cpu_reference_kernels(), size_t{1} << 24);
  c.tape.batch_norm_ranks = ranks;
  constexpr int64_t kChannels = 5;
  const Shape shape{images, 4, 4, kChannels}, channels{kChannels};
  const OwnedTensor input = tensor_of<double>(shape, x), upstream = tensor_of<double>(shape, dy);
  const OwnedTensor scale = tensor_of<double>(channels, {0.5, 1, 1.5, 2, -1}),
                    offset = tensor_of<double>(channels, {0, 0.1, -0.1, 0.2, 0});
  const OwnedTensor mean = tensor_of<double>(channels, {0, 0, 0, 0, 0}),
                    var = tensor_of<double>(channels, {1, 1, 1, 1, 1});
  const Var vx = c.tape.variable(input.tensor()), gamma = c.tape.variable(scale.tensor()),
            beta = c.tape.variable(offset.tensor());
  const Var y = batch_norm(vx, gamma, beta, mean.tensor(), var.tensor(), {.relu = true});
  c.tape.keep(y);
  const Tensor dy_in_arena = c.tape.alloc(shape, DType::f64);
  std::memcpy(dy_in_arena.bytes, upstream.tensor().bytes, upstream.tensor().size_bytes());
  c.tape.backward_from(y, dy_in_arena);
  return {values_of<double>(y.value()),
          values_of<double>(c.tape.gradient(vx)),
          values_of<double>(c.tape.gradient(gamma)),
          values_of<double>(c.tape.gradient(beta)),
          values_of<double>(mean.tensor()),
          values_of<double>(var.tensor())};
}

void expect_near(const std::vector<double>& got, const std::vector<double>& expected, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << what << " " << i;
}

TEST_F(RanksTest, SynchronisedBatchNormIsThatOfTheWholeBatch) {
  constexpr int64_t kImages = 3, kElements = 4 * 4 * 5;
  const int64_t all = kImages * ranks().size(), first = kImages * ranks().rank() * kElements;
  const std::vector<double> x = drawn<double>(all * kElements, 10), dy = drawn<double>(all * kElements, 11);
  const auto share = [&](const std::vector<double>& whole) {
    return std::vector<double>(whole.begin() + first, whole.begin() + first + kImages * kElements);
  };
  const Normalised alone = normalise(x, dy, all, nullptr);
  Normalised got = normalise(share(x), share(dy), kImages, &ranks());
  expect_near(got.y, share(alone.y), "y");
  expect_near(got.dx, share(alone.dx), "dx");
  expect_near(got.running_mean, alone.running_mean, "running mean");
  expect_near(got.running_var, alone.running_var, "running variance");
  TestContext c;
  for (const auto& [mine, expected] : {std::pair(&got.dgamma, &alone.dgamma), std::pair(&got.dbeta, &alone.dbeta)}) {
    const OwnedTensor sum = tensor_of<double>({5}, *mine);
    Arena::Scratch scratch(c.arena, ranks().mean_scratch(sum.tensor()));
    ranks().mean(c.ctx, sum.tensor(), scratch);
    for (double& value : * mine = values_of<double>(sum.tensor())) value *= ranks().size();
    expect_near(*mine, *expected, "parameters");
  }
}

// Adam's steps are small and smooth, so that rounding is not amplified.
const test::OptionTexts kSmall = {{"width_g", "8"},
                                  {"width_d", "8"},
                                  {"latent_size", "6"},
                                  {"batch_size_d", "8"},
                                  {"batch_size_g", "16"},
                                  {"n_critic", "2"},
                                  {"iterations", "40"},
                                  {"adam_eps", "0.001"},
                                  {"learning_rate_g", "2e-5"},
                                  {"learning_rate_d", "2e-5"},
                                  {"sync_batch_norm", "true"},
                                  {"diff_augment", "color,cutout"}};

// The masks of both networks change at 10 and 20, where D's density increases.
Settings controlled(const test::OptionTexts& more = {}) {
  test::OptionTexts texts = {{"method", "ddst-relaxed"}, {"density_g", "0.3"},     {"density_d", "0.5"},
                             {"update_every_g", "10"},   {"update_every_d", "10"}, {"br_every", "1"},
                             {"br_window", "5"},         {"band_low", "0.001"},    {"band_high", "0.002"},
                             {"density_step", "0.1"},    {"execution", "dense"}};
  texts.insert(kSmall.begin(), kSmall.end());
  return test::settings_of(texts, more);
}

struct Trained {
  State state;
  std::vector<IterationReport> reports;
  std::vector<MaskEvent> events;
  std::vector<ExchangedBytes> exchanged;
  StepState step;
};
Trained train(Settings settings, Ranks* ranks, int64_t iterations = 30) {
  settings.ranks = ranks;
  Trainer trainer(settings, test::noise_images(24, 60));
  Trained trained;
  while (trainer.iteration() < iterations) {
    trainer.iterate();
    trained.exchanged.push_back(trainer.exchanged());
  }
  trained.state = state_of(trainer);
  trained.reports = trainer.reports(iterations);
  trained.events = trainer.take_mask_events();
  trained.step = trainer.step_state();
  return trained;
}

// The largest difference of f32 tensors, relative to the largest element, or to `floor` if that is larger.
double difference(const std::vector<char>& a, const std::vector<char>& b, double floor = 1e-3) {
  return test::float_difference(std::as_bytes(std::span(a)), std::as_bytes(std::span(b))).relative(floor);
}

// Zeroes the moments of dead weights. They never matter, but a single process updates them with gradients it computes.
void zero_dead_moments(State& state) {
  for (const auto& [name, mask] : state) {
    const size_t at = name.find(".mask.");
    if (at == std::string::npos) continue;
    for (const char* moment : {".adam_m.", ".adam_v."}) {
      std::vector<char>& bytes = state.at(name.substr(0, at) + moment + name.substr(at + 6));
      for (size_t i = 0; i < mask.size(); ++i) {
        if (!mask[i]) std::memset(&bytes[i * sizeof(float)], 0, sizeof(float));
      }
    }
  }
}

// Limits for rounding in thirty iterations of a hundred sums each, by the element type of exchanged gradients.
constexpr double kF32Limit = 1e-4, kBf16Limit = 2e-3;

void expect_the_same_training(Trained got_all, Trained alone, double limit = kF32Limit) {
  // If rounding decides the sign of a ReLU's input, gradients differ by the whole contribution of that pixel: moments
  // at once, weights by a learning rate. If the gradients of one rank are left out, they differ by 0.03 to 19.
  constexpr double kMomentLimit = 0.02;
  ASSERT_EQ(got_all.reports.size(), alone.reports.size());
  for (size_t i = 0; i < alone.reports.size(); ++i) {
    const IterationReport &got = got_all.reports[i], &expected = alone.reports[i];
    EXPECT_NEAR(got.loss_d, expected.loss_d, limit) << i;
    EXPECT_NEAR(got.loss_g, expected.loss_g, limit) << i;
    EXPECT_NEAR(got.mean_real, expected.mean_real, limit) << i;
    EXPECT_NEAR(got.mean_fake, expected.mean_fake, limit) << i;
  }
  ASSERT_EQ(got_all.state.size(), alone.state.size());
  zero_dead_moments(got_all.state);
  zero_dead_moments(alone.state);
  for (const auto& [name, bytes] : alone.state) {
    const std::vector<char>& got = got_all.state.at(name);
    const bool of_network = name.starts_with("G.") || name.starts_with("D.");
    if (name == "balance.triples" || name.ends_with(".execution")) continue;
    if (of_network && name.find(".mask.") == std::string::npos) {
      // The gradient of a bias before batch norm is pure rounding.
      const bool moment = name.find(".adam_") != std::string::npos;
      const double found = difference(got, bytes, moment ? 0.1 : 1e-3);
      EXPECT_FALSE(!(found <= (moment ? kMomentLimit : limit))) << name << " differs by " << found;
    } else {
      EXPECT_EQ(got, bytes) << name;
    }
  }
  ASSERT_EQ(got_all.events.size(), alone.events.size());
  for (size_t i = 0; i < alone.events.size(); ++i) {
    EXPECT_EQ(got_all.events[i].kind, alone.events[i].kind) << i;
    EXPECT_EQ(got_all.events[i].alive, alone.events[i].alive) << i;
  }
}

TEST_F(RanksTest, TogetherTheyTrainAsOneProcessDoes) {
  const Trained alone = train(controlled(), nullptr), with_others = train(controlled(), &ranks());
  int raises = 0, rewirings = 0;
  for (const MaskEvent& event : alone.events) {
    raises += event.kind == "raise";
    rewirings += event.kind == "drop_grow";
  }
  EXPECT_GE(raises, 2);
  EXPECT_GE(rewirings, 2);
  expect_the_same_training(with_others, alone);
}

// For single weights, the seed is one at which rounding decides no ReLU in 12 iterations: 3 to 6, but not 1, 2 and 7.
TEST_F(RanksTest, AlsoInMicroBatchesAndOnSparseKernels) {
  for (const Settings& settings :
       {controlled({{"accumulate", "2"}}), controlled({{"execution", "weights"}, {"seed", "3"}}),
        controlled({{"moment_policy", "keep"}})}) {
    expect_the_same_training(train(settings, &ranks(), 12), train(settings, nullptr, 12));
  }
}

TEST_F(RanksTest, AlsoDenseAndStreamed) {
  for (const char* placement : {"device", "stream"}) {
    const Settings settings = test::settings_of(kSmall, {{"data_placement", placement}});
    expect_the_same_training(train(settings, &ranks(), 4), train(settings, nullptr, 4));
  }
}

// A backward pass of a discriminator whose gradients are exchanged in several buckets, with other images on each rank.
struct OneBackward {
  TestContext c{kernels_of(Device::cpu), size_t{1} << 26};
  GanModel model = make_model({.width_g = 16, .width_d = 64});
  Discriminator& d = *model.discriminator;
  ParameterSlab slab{d, DType::f32, Device::cpu, /*with_ema=*/false};
  NetworkMasks masks{d, slab, Cell{}, MaskableHead::dense, Device::cpu};

  explicit OneBackward(double density) {
    initialise(d, InitScheme::pytorch, 1);
    masks.draw(c.ctx, RandomStream::mask_d,
               layer_densities(maskable_layers(d, MaskableHead::dense), DensityRule::erk, density, Cell{}));
  }
  void run(int rank, GradientExchange* exchange) {
    c.tape.reset();
    c.arena.reset();
    c.tape.mode = Mode::evaluate_batch;  // otherwise the spectral norm would change between runs
    c.tape.in_batches = false;
    const OwnedTensor images = tensor_of<float>({2, 32, 32, 3}, drawn<float>(2 * 32 * 32 * 3, 20 + rank));
    const Var loss = gan_loss_g(d(c.tape.constant(images.tensor()), {}), GanLoss::bce);
    if (exchange) exchange->begin_with(c.tape);
    c.tape.backward(loss);
    if (exchange) exchange->finish(c.tape);
  }
};

TEST_F(RanksTest, GradientsThatTravelDuringTheBackwardPassAreTheMeans) {
  OneBackward one(0.5);
  one.run(ranks().rank(), nullptr);
  const std::vector<float> own = values_of<float>(one.slab.grad);
  const std::vector<uint8_t> alive = alive_of(one.masks.bytes(), one.slab.value);
  for (const ExchangePrecision precision : {ExchangePrecision::fp32, ExchangePrecision::bf16}) {
    const bool rounds = precision == ExchangePrecision::bf16;
    const auto rounded = [=](float x) { return rounds ? to_float(to_bf16(x)) : x; };
    std::vector<float> mine = own;
    std::transform(mine.begin(), mine.end(), mine.begin(), rounded);
    const OwnedTensor mean = tensor_of<float>(one.slab.grad.shape, mine);
    Arena::Scratch scratch(one.c.arena, ranks().mean_scratch(mean.tensor()));
    ranks().mean(one.c.ctx, mean.tensor(), scratch);
    GradientExchange exchange(ranks(), one.slab, &one.masks, "D", precision, Device::cpu);
    for (const bool everything : {true, false}) {
      exchange.follow_masks(everything);
      std::vector<float> expected = values_of<float>(mean.tensor());
      for (size_t i = 0; i < expected.size(); ++i) expected[i] = everything || alive[i] ? rounded(expected[i]) : 0;
      one.run(ranks().rank(), &exchange);
      EXPECT_EQ(values_of<float>(one.slab.grad), expected) << rounds << everything;
    }
  }
}

TEST_F(RanksTest, BucketsBeginBeforeTheBackwardPassEnds) {
  OneBackward one(0.5);
  GradientExchange exchange(ranks(), one.slab, nullptr, "exchange", ExchangePrecision::fp32, Device::cpu);
  Profile profile;
  one.c.ctx.profile = &profile;
  one.run(ranks().rank(), &exchange);
  int64_t exchanges = 0, layers_to_come = 0;
  for (const Profile::Row& row : profile.rows()) {
    if (row.work.op == std::string("average_gradients")) exchanges += row.calls;
    layers_to_come += exchanges > 0 && row.work.pass == Pass::backward_weight;
  }
  EXPECT_GE(exchanges, 2);
  EXPECT_LE(exchanges, 3);
  EXPECT_GE(layers_to_come, 3);
}

TEST_F(RanksTest, GradientsTravelInBf16IfAsked) {
  const test::OptionTexts bf16 = {{"exchange_precision", "bf16"}};
  // Only until the masks change, because bf16 may change the order of gradients.
  const Trained got = train(controlled(bf16), &ranks(), 9), alone = train(controlled(), nullptr, 9),
                in_f32 = train(controlled(), &ranks(), 9);
  EXPECT_EQ(2 * got.exchanged[0].bytes, in_f32.exchanged[0].bytes);
  EXPECT_EQ(got.exchanged[0].dense, in_f32.exchanged[0].dense);
  EXPECT_NE(got.state.at("G.block2.conv1.weight"), in_f32.state.at("G.block2.conv1.weight"));
  expect_the_same_training(got, alone, kBf16Limit);
}

// Each rank computes images and features for its share. The result equals that of a single process bit for bit.
TEST_F(RanksTest, AnEvaluationTogetherGivesTheSameNumber) {
  const auto images = std::make_shared<const ImageSet>(test::noise_images(24, 330));
  Trainer trainer(controlled(), images);
  const DataOptions data{.split = "train"};
  const std::string cache = testing::TempDir() + "ranks_test_reference.npz";
  if (ranks().is_first()) ::unlink(cache.c_str());
  ranks().wait_for_all();
  const auto never = [] { return false; };
  const auto nothing = [](const std::string&) {};
  for (const char* metric : {"frechet-random", "precision-recall-random", "swd"}) {
    const EvaluationOptions options{.eval_metric = metric,
                                    .eval_images = 730};  // more than one round, with partial chunks
    Evaluator together(options, data, Device::cpu, *images, &ranks());
    for (int turn = 0; turn < 2; ++turn) {
      const auto got = together.evaluate(trainer, *images, cache, nothing, never);
      EXPECT_EQ(got.has_value(), ranks().is_first()) << metric;
      EXPECT_FALSE(together.needs_images());
      if (!got) continue;
      Evaluator alone(options, data, Device::cpu, *images, nullptr);
      const auto expected = alone.evaluate(trainer, *images, cache + ".alone", nothing, never);
      EXPECT_EQ(json_line(got->record), json_line(expected->record)) << metric << " " << turn;
    }
    // If one rank is asked to stop, none continues alone.
    const auto stop = [&] { return ranks().rank() == ranks().size() - 1; };
    EXPECT_EQ(together.evaluate(trainer, *images, cache, nothing, stop).has_value(),
              ranks().is_first() && together.label() == "swd");
  }
  if (!ranks().is_first()) return;
  ::unlink(cache.c_str());
  ::unlink((cache + ".alone").c_str());
}

TEST_F(RanksTest, WhatFailsOnOneRankInAnEvaluationFailsOnAll) {
  const auto images = std::make_shared<const ImageSet>(test::noise_images(24, 330));
  Trainer trainer(controlled(), images);
  const EvaluationOptions options{.eval_metric = "frechet-random", .eval_images = 300};
  Evaluator evaluator(options, {.split = "train"}, Device::cpu, *images, &ranks());
  const auto fails = [&]() -> bool { return ranks().rank() == 1 && (fail(ErrorKind::data, "one of many"), true); };
  const auto cache = testing::TempDir() + "ranks_test_failed.npz";
  try {
    evaluator.evaluate(
        trainer, *images, cache, [](const std::string&) {}, fails);
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("one of many"), std::string::npos) << error.what();
  }
  ranks().wait_for_all();
}

TEST_F(RanksTest, AsManyRanksGiveTheSameBitsAgain) {
  for (const char* synchronised : {"true", "false"}) {
    const test::OptionTexts more = {{"sync_batch_norm", synchronised}};
    const Trained first = train(controlled(more), &ranks()), second = train(controlled(more), &ranks());
    EXPECT_EQ(test::differences(first.state, second.state), std::vector<std::string>{}) << synchronised;
  }
}

TEST_F(RanksTest, WithoutSynchronisationBatchNormIsEachRanksOwn) {
  const Trained own = train(controlled({{"sync_batch_norm", "false"}}), &ranks(), 2),
                alone = train(controlled(), nullptr, 2);
  EXPECT_GT(difference(own.state.at("G.block2.conv1.weight"), alone.state.at("G.block2.conv1.weight")), 1e-4);
}

// Gradients of alive weights are exchanged, and all gradients in iterations in which the masks are ranked by gradients.
TEST_F(RanksTest, OnlyAliveGradientsTravel) {
  const Settings settings = test::settings_of(kSmall, {{"method", "sdst-rigl"},
                                                       {"density_g", "0.1"},
                                                       {"density_d", "0.1"},
                                                       {"update_every_g", "10"},
                                                       {"update_every_d", "10"},
                                                       {"width_g", "64"},
                                                       {"width_d", "64"},
                                                       {"batch_size_d", "4"},
                                                       {"batch_size_g", "4"},
                                                       {"n_critic", "1"}});
  const Trained trained = train(settings, &ranks(), 11);
  for (size_t i = 0; i < trained.exchanged.size(); ++i) {
    const double share =
        static_cast<double>(trained.exchanged[i].bytes) / static_cast<double>(trained.exchanged[i].dense);
    if (i + 1 == 10) {
      EXPECT_GT(share, 0.5);  // all of G's; D's masks are not ranked by gradients
    } else {
      EXPECT_LE(share, 0.13) << i + 1;
    }
  }
  RecordProperty("share_of_dense", std::to_string(static_cast<double>(trained.exchanged[0].bytes) /
                                                  static_cast<double>(trained.exchanged[0].dense)));
}

TEST_F(RanksTest, ADifferenceBetweenRanksIsAnErrorThatNamesTheTensor) {
  Settings settings = controlled();
  settings.ranks = &ranks();
  Trainer trainer(settings, test::noise_images(24, 60));
  trainer.iterate();
  trainer.check_ranks_agree();
  for (const NamedTensor& t : trainer.state()) {
    if (t.name == "D.block1.conv1.weight" && ranks().rank() == 1) t.tensor.data<float>()[3] += 1e-6f;
  }
  try {
    trainer.check_ranks_agree();
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::ranks);
    EXPECT_NE(std::string(error.what()).find("D.block1.conv1.weight differs between rank 0"), std::string::npos)
        << error.what();
  }
  trainer.take_state_of_first_rank();
  trainer.check_ranks_agree();
}

TEST_F(RanksTest, BatchesThatRanksDoNotDivideAreRefused) {
  Settings settings = controlled({{"batch_size_d", "7"}});
  settings.ranks = &ranks();
  try {
    Trainer::plan(settings, 60);
    FAIL() << "7 images were divided";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
  }
}

// Includes a mask update of each network. On GPUs, the last iterations are replays of captured steps.
Settings on_device(const std::string& device, const test::OptionTexts& more = {}) {
  test::OptionTexts texts = {{"method", "sdst-rigl"}, {"density_g", "0.3"},    {"density_d", "0.5"},
                             {"update_every_g", "3"}, {"update_every_d", "3"}, {"width_g", "4"},
                             {"width_d", "4"},        {"batch_size_d", "4"},   {"batch_size_g", "4"},
                             {"n_critic", "1"},       {"execution", "dense"},  {"device", device},
                             {"precision", "fp32"}};
  texts.insert(kSmall.begin(), kSmall.end());
  return test::settings_of(texts, more);
}

TEST_F(RanksTest, OnTheEmulatedDeviceToo) {
  const Settings settings = on_device("emulated");
  expect_the_same_training(train(settings, &ranks(), 5), train(settings, nullptr, 5));
}

TEST_F(RanksTest, OnGpusToo) {
  if (const std::string why = gpu::why_unavailable(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const Settings settings = on_device("cuda");
  const Trained together = train(settings, &ranks(), 6);
  expect_the_same_training(together, train(settings, nullptr, 6));
  const Trained again = train(on_device("cuda", {{"graph", "false"}}), &ranks(), 6);
  EXPECT_EQ(test::differences(together.state, again.state), std::vector<std::string>{}) << "without graphs";
  const Settings bf16 = on_device("cuda", {{"exchange_precision", "bf16"}});
  expect_the_same_training(train(bf16, &ranks(), 2), train(settings, nullptr, 2), kBf16Limit);
}

}  // namespace
}  // namespace poise
