// The kernels of sparse training against plain definitions: scores, exact selection, mask changes, the balance ratio.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "engine/sparse/mask.h"
#include "kernels/core/parallel.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

// Weight shapes and cells that divide them.
struct Case {
  Shape shape;
  Cell cell;
};
const Case kCases[] = {{{6, 10}, {}},
                       {{8, 3, 3, 4}, {}},
                       {{8, 3, 3, 4}, {4, 2, false}},
                       {{8, 3, 3, 4}, {2, 4, true}},
                       {{12, 20}, {4, 5, false}},
                       {{12, 20}, {3, 2, true}},
                       {{32, 1, 1, 32}, {16, 16, false}},
                       {{1, 7}, {}}};

// The cell of a weight, from the documented numbering: (output block, tap, input block).
int64_t cell_at(const Shape& s, const Cell& c, int64_t o, int64_t tap, int64_t i) {
  const int64_t taps = s.rank() == 4 ? s[1] * s[2] : 1, in_blocks = s.back() / c.in;
  if (c.all_taps) return o / c.out * in_blocks + i / c.in;
  return (o / c.out * taps + tap) * in_blocks + i / c.in;
}

template <class F>
void for_each_weight(const Shape& s, const Cell& c, const F& f) {
  const int64_t taps = s.rank() == 4 ? s[1] * s[2] : 1;
  size_t at = 0;
  for (int64_t o = 0; o < s[0]; ++o)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t i = 0; i < s.back(); ++i) f(at++, static_cast<size_t>(cell_at(s, c, o, tap, i)));
}

template <class T>
std::vector<T> random_values(int64_t count, uint64_t seed) {
  std::vector<double> normal(static_cast<size_t>(count));
  normal_on_host(seed, RandomStream::test, 0, count, normal.data());
  return {normal.begin(), normal.end()};
}

TEST(Cell, NumbersAndCounts) {
  for (const Case& c : kCases) {
    std::vector<int64_t> weights(static_cast<size_t>(c.cell.cells_in(c.shape)));
    for_each_weight(c.shape, c.cell, [&](size_t, size_t cell) { weights.at(cell) += 1; });
    for (const int64_t w : weights) EXPECT_EQ(w, c.cell.weights_per_cell(c.shape));
    const CellGrid grid = grid_of(c.shape, c.cell);
    EXPECT_EQ(grid.cells(), c.cell.cells_in(c.shape));
    EXPECT_EQ(grid.weights_per_cell(), c.cell.weights_per_cell(c.shape));
    EXPECT_EQ(grid.weights(), c.shape.elements());
  }
}

TEST(Cell, TextReadsBackAndNothingElseDoes) {
  for (const char* text : {"1x1", "16x16", "16x16-all-taps", "2x64"}) {
    const auto cell = cell_of(text);
    ASSERT_TRUE(cell) << text;
    EXPECT_EQ(to_string(*cell), text);
  }
  for (const char* text : {"", "x", "1", "1x", "x1", "0x1", "1x0", "-1x1", "16 x16", "016x16", "16x16x16", "16x16-all",
                           "16x16-all-taps ", "99999x1", "1x99999999999999999999"}) {
    EXPECT_FALSE(cell_of(text)) << text;
  }
}

TEST(CellScores, AreNormsDividedByTheRootOfTheSize) {
  TestContext c;
  for (const Case& k : kCases) {
    const auto x = random_values<float>(k.shape.elements(), 5);
    std::vector<double> sum(static_cast<size_t>(k.cell.cells_in(k.shape)));
    for_each_weight(k.shape, k.cell, [&](size_t at, size_t cell) { sum[cell] += double{x[at]} * double{x[at]}; });
    OwnedTensor scores({static_cast<int64_t>(sum.size())}, DType::f32, Device::cpu);
    c.ctx.kernels->cell_scores(c.ctx, grid_of(k.shape, k.cell), tensor_of(k.shape, x).tensor(), scores.tensor());
    const auto got = values_of<float>(scores.tensor());
    for (size_t i = 0; i < sum.size(); ++i) {
      EXPECT_NEAR(got[i], std::sqrt(sum[i] / static_cast<double>(k.cell.weights_per_cell(k.shape))), 1e-6);
      if (k.cell.unstructured()) {
        EXPECT_EQ(got[i], std::abs(x[i]));
      }
    }
  }
}

TEST(RandomScores, DependOnSeedStreamStepAndIndexAlone) {
  const auto draw = [](uint64_t seed, RandomStream stream, uint64_t step, int64_t count) {
    TestContext c;
    c.step.seed = seed;
    c.step.step = step;
    OwnedTensor scores({count}, DType::f32, Device::cpu);
    c.ctx.kernels->random_scores(c.ctx, stream, scores.tensor());
    return values_of<float>(scores.tensor());
  };
  const auto reference = draw(1, RandomStream::mask_g, 7, 100001);
  for (const float x : reference) ASSERT_TRUE(x > 0 && x < 1);
  auto shorter = draw(1, RandomStream::mask_g, 7, 50);
  EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), reference.begin()));
  EXPECT_NE(shorter, draw(2, RandomStream::mask_g, 7, 50));
  EXPECT_NE(shorter, draw(1, RandomStream::mask_d, 7, 50));
  EXPECT_NE(shorter, draw(1, RandomStream::mask_g, 8, 50));
}

// The definition, implemented naively: rank, walk down, stop at the first candidate that does not fit.
std::vector<uint8_t> select_slowly(Selection selection, const std::vector<CellSegment>& segments, int64_t budget,
                                   const std::vector<float>& scores, std::vector<uint8_t> alive) {
  struct Candidate {
    float score;
    int64_t cell, weights;
  };
  std::vector<Candidate> ranking;
  for (const CellSegment& s : segments) {
    const size_t first = ranking.size();
    for (int64_t cell = s.first; cell < s.first + s.cells; ++cell) {
      const auto at = static_cast<size_t>(cell);
      const bool wanted = selection == Selection::keep ? alive[at] == 1 : alive[at] == 0 && scores[at] > 0;
      if (wanted) ranking.push_back({scores[at], cell, s.weights_per_cell});
    }
    if (selection == Selection::keep && ranking.size() > first) {  // the best of each segment ranks before all others
      std::max_element(ranking.begin() + static_cast<int64_t>(first), ranking.end(), [](const auto& a, const auto& b) {
        return a.score < b.score;
      })->score = INFINITY;
    }
  }
  std::stable_sort(ranking.begin(), ranking.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  if (selection == Selection::keep) {
    for (const Candidate& candidate : ranking) alive[static_cast<size_t>(candidate.cell)] = 0;
  }
  for (const Candidate& candidate : ranking) {
    budget -= candidate.weights;
    if (budget < 0) break;
    alive[static_cast<size_t>(candidate.cell)] = 1;
  }
  return alive;
}

TEST(SelectCells, AgreesWithTheDefinitionForAnyTiesSizesBudgetsAndThreads) {
  std::mt19937 random(1);
  const auto pick = [&](int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random);
  };
  const int threads = thread_count();
  for (int trial = 0; trial < 400; ++trial) {
    // Some trials span several tasks of the kernel; most are small.
    const int64_t longest = trial % 40 == 0 ? 150000 : 60;
    std::vector<CellSegment> segments;
    int64_t cells = 0, weights = 0;
    const bool mixed = trial % 3 == 0;
    for (int64_t layer = pick(1, 4); layer > 0; --layer) {
      cells += pick(0, 3);  // cells of other layers in between
      segments.push_back({cells, pick(1, longest), mixed ? pick(1, 9) : 4});
      cells += segments.back().cells;
      weights += segments.back().cells * segments.back().weights_per_cell;
    }
    std::vector<float> scores(static_cast<size_t>(cells));
    std::vector<uint8_t> alive(scores.size());
    const int64_t values = trial % 2 ? 3 : 1000000;  // few values: many ties
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i] = static_cast<float>(pick(0, values)) * (trial % 5 ? 1.0f : 1e-42f);  // and denormal ones
      alive[i] = static_cast<uint8_t>(pick(0, 1));
    }
    const int64_t budget = trial % 7 ? pick(0, weights) : trial % 2 ? 0 : weights;
    for (const Selection selection : {Selection::keep, Selection::grow}) {
      const auto expected = select_slowly(selection, segments, budget, scores, alive);
      for (const int count : {1, 3}) {
        set_thread_count(count);
        TestContext c;
        OwnedTensor state = tensor_of({cells}, alive);
        Tensor unused;
        c.ctx.kernels->select_cells(c.ctx, selection, segments, budget, tensor_of({cells}, scores).tensor(), unused,
                                    state.tensor());
        ASSERT_EQ(values_of<uint8_t>(state.tensor()), expected) << "trial " << trial << ", " << count << " threads";
        OwnedTensor counts({static_cast<int64_t>(segments.size())}, DType::u64, Device::cpu);
        c.ctx.kernels->count_alive(c.ctx, segments, state.tensor(), counts.tensor());
        for (size_t s = 0; s < segments.size(); ++s) {
          const auto first = expected.begin() + segments[s].first;
          EXPECT_EQ(values_of<uint64_t>(counts.tensor())[s],
                    static_cast<uint64_t>(std::count(first, first + segments[s].cells, 1)));
        }
      }
    }
  }
  set_thread_count(threads);
}

TEST(SelectCells, NeverGrowsOntoZeroOrNotANumber) {
  TestContext c;
  const auto scores = tensor_of<float>({5}, {0.0f, NAN, 1.0f, -0.0f, 2.0f});
  OwnedTensor alive = tensor_of<uint8_t>({5}, {0, 0, 0, 0, 0});
  const CellSegment all{0, 5, 1};
  Tensor unused;
  c.ctx.kernels->select_cells(c.ctx, Selection::grow, std::span(&all, 1), 5, scores.tensor(), unused, alive.tensor());
  EXPECT_EQ(values_of<uint8_t>(alive.tensor()), (std::vector<uint8_t>{0, 0, 1, 0, 1}));
}

template <class T>
void change_mask_follows_the_table() {
  for (const Case& k : kCases) {
    for (const MomentPolicy policy : {MomentPolicy::seed, MomentPolicy::keep, MomentPolicy::zero}) {
      TestContext c;
      const int64_t n = k.shape.elements();
      const auto g = random_values<T>(n, 1), m = random_values<T>(n, 2), v = random_values<T>(n, 3);
      auto w = random_values<T>(n, 4), average = random_values<T>(n, 5);
      const auto coin = random_values<double>(n, 6), cells = random_values<double>(k.cell.cells_in(k.shape), 7);
      const int64_t run = mask_run(k.cell.in, dtype_of<T>());
      std::vector<uint8_t> was(static_cast<size_t>(n)), bytes, alive;
      for (const double x : cells) alive.push_back(x > 0 ? 1 : 0);
      for (size_t i = 0; i < was.size(); ++i) {
        const auto first_of_run = static_cast<int64_t>(i) / run * run;
        was[i] = coin[static_cast<size_t>(first_of_run)] > 0 ? 1 : 0;
        if (!was[i]) w[i] = average[i] = 0;
        if (first_of_run == static_cast<int64_t>(i)) bytes.push_back(was[i]);
      }
      OwnedTensor mask = tensor_of({n / run}, bytes), value = tensor_of(k.shape, w), ema = tensor_of(k.shape, average);
      OwnedTensor first = tensor_of(k.shape, m), second = tensor_of(k.shape, v);
      const OwnedTensor choice = tensor_of({static_cast<int64_t>(alive.size())}, alive), grad = tensor_of(k.shape, g);
      c.ctx.kernels->change_mask(c.ctx, policy, grid_of(k.shape, k.cell),
                                 {.alive = choice.tensor(),
                                  .mask = mask.tensor(),
                                  .grad = grad.tensor(),
                                  .value = value.tensor(),
                                  .m = first.tensor(),
                                  .v = second.tensor(),
                                  .ema = ema.tensor()});
      for_each_weight(k.shape, k.cell, [&](size_t at, size_t cell) {
        const bool lives = alive[cell] == 1, grown = lives && !was[at], moved = grown && policy != MomentPolicy::keep;
        EXPECT_EQ(values_of<uint8_t>(mask.tensor())[at / static_cast<size_t>(run)], alive[cell]);
        EXPECT_EQ(value.tensor().template data<T>()[at], lives ? w[at] : 0);
        EXPECT_EQ(ema.tensor().template data<T>()[at], lives ? average[at] : 0);
        EXPECT_EQ(first.tensor().template data<T>()[at], moved ? 0 : m[at]);
        EXPECT_EQ(second.tensor().template data<T>()[at], !moved                         ? v[at]
                                                          : policy == MomentPolicy::seed ? g[at] * g[at]
                                                                                         : 0);
      });
    }
  }
}

TEST(ChangeMask, FollowsItsTable) {
  change_mask_follows_the_table<float>();
  change_mask_follows_the_table<double>();
}

template <class T>
void packed_runs_are_the_alive_part() {
  for (const int64_t run : {1, 4, 16}) {
    for (const double share : {0.0, 0.1, 0.5, 1.0}) {
      TestContext c;
      constexpr int64_t kRuns = 5000;  // several tasks
      const auto all = random_values<T>(kRuns * run, 1), coin = random_values<double>(kRuns, 2);
      std::vector<int32_t> runs;
      std::vector<T> packed, alive(all.size(), T{0});
      for (int32_t r = 0; r < kRuns; ++r) {
        if ((coin[static_cast<size_t>(r)] + 1) / 2 >= share) continue;
        runs.push_back(r);
        for (int64_t i = r * run; i < (r + 1) * run; ++i) {
          packed.push_back(alive[static_cast<size_t>(i)] = all[static_cast<size_t>(i)]);
        }
      }
      const OwnedTensor list = tensor_of({static_cast<int64_t>(runs.size())}, runs),
                        from = tensor_of({kRuns * run}, all);
      OwnedTensor got = tensor_of({static_cast<int64_t>(packed.size())}, std::vector<T>(packed.size())),
                  to = tensor_of({kRuns * run}, all);
      c.ctx.kernels->pack_runs(c.ctx, run, list.tensor(), from.tensor(), got.tensor());
      EXPECT_EQ(values_of<T>(got.tensor()), packed) << run << ", " << share;
      c.ctx.kernels->unpack_runs(c.ctx, run, list.tensor(), got.tensor(), to.tensor());
      EXPECT_EQ(values_of<T>(to.tensor()), alive) << run << ", " << share;
    }
  }
}

TEST(PackedRuns, AreTheAlivePartAndComeBackBetweenZeros) {
  packed_runs_are_the_alive_part<float>();
  packed_runs_are_the_alive_part<double>();
}

TEST(Adam, UnderAMaskZeroesDeadWeightsAndTheirAverageAndNothingElse) {
  constexpr int64_t kWeights = 9008;  // several chunks, the last one short
  const Shape shape{kWeights};
  const auto w = random_values<float>(kWeights, 1), g = random_values<float>(kWeights, 2);
  const auto coin = random_values<double>(kWeights, 3);
  const auto update = [&](const std::vector<uint8_t>& mask, bool dead_moments = true) {
    TestContext c;
    c.step.clocks[0].learning_rate = 0.01;
    OwnedTensor x = tensor_of(shape, w), ema(shape, DType::f32, Device::cpu);
    OwnedTensor m(shape, DType::f32, Device::cpu), v(shape, DType::f32, Device::cpu);
    const OwnedTensor grad = tensor_of(shape, g);
    OwnedTensor bytes = mask.empty() ? OwnedTensor() : tensor_of({static_cast<int64_t>(mask.size())}, mask);
    c.ctx.kernels->begin_step(c.ctx, Network::generator, {});
    if (!dead_moments) {  // dead weights hold zeros
      for (size_t i = 0; i < w.size(); ++i) x.tensor().data<float>()[i] *= mask[i * mask.size() / w.size()];
    }
    c.ctx.kernels->adam(c.ctx, Network::generator, {.dead_moments = dead_moments}, 0.5,
                        {.grad = grad.tensor(),
                         .mask = bytes.tensor(),
                         .value = x.tensor(),
                         .m = m.tensor(),
                         .v = v.tensor(),
                         .ema = ema.tensor()});
    return std::array{values_of<float>(x.tensor()), values_of<float>(ema.tensor()), values_of<float>(m.tensor()),
                      values_of<float>(v.tensor())};
  };
  const auto [value, average, first, second] = update({});
  for (const int64_t run : {1, 2, 4, 8, 16}) {
    std::vector<uint8_t> alive;
    for (int64_t i = 0; i < kWeights / run; ++i) alive.push_back(coin[static_cast<size_t>(i)] > 0 ? 1 : 0);
    const std::vector<uint8_t> all(alive.size(), 1);
    EXPECT_EQ(update(all), update({})) << "all alive is no mask, bit for bit";
    const auto masked = update(alive);
    EXPECT_EQ(masked[2], first) << "the moments of dead weights follow their gradients";
    EXPECT_EQ(masked[3], second);
    const auto without = update(alive, /*dead_moments=*/false);
    EXPECT_EQ(without[0], masked[0]) << "whatever becomes of dead moments";
    EXPECT_EQ(without[1], masked[1]);
    for (size_t i = 0; i < w.size(); ++i) {
      if (alive[i / static_cast<size_t>(run)] == 0) continue;
      ASSERT_EQ(without[2][i], first[i]);
      ASSERT_EQ(without[3][i], second[i]);
    }
    for (size_t i = 0; i < w.size(); ++i) {
      const bool lives = alive[i / static_cast<size_t>(run)] != 0;
      ASSERT_EQ(masked[0][i], lives ? value[i] : 0) << "weight " << i << ", runs of " << run;
      ASSERT_EQ(masked[1][i], lives ? average[i] : 0);
    }
  }
}

std::vector<double> summary_of(int64_t capacity, const std::vector<std::array<float, 3>>& triples) {
  TestContext c;
  OwnedTensor queue({capacity, 3}, DType::f64, Device::cpu), pushed({1}, DType::u64, Device::cpu);
  OwnedTensor summary({kBalanceSummary}, DType::f64, Device::cpu);
  for (const auto& [post, pre, r] : triples) {
    c.ctx.kernels->push_balance(c.ctx, tensor_of<float>({1}, {post}).tensor(), tensor_of<float>({1}, {pre}).tensor(),
                                tensor_of<float>({1}, {r}).tensor(), queue.tensor(), pushed.tensor());
  }
  c.ctx.kernels->summarise_balance(c.ctx, queue.tensor(), pushed.tensor(), summary.tensor());
  return values_of<double>(summary.tensor());
}

TEST(BalanceQueue, ReadsMeanOfRatiosAndRatioOfSumsOverTheNewest) {
  // {a_post, a_pre, r}: ratios 0.5, 0.25, and 1.5; the first falls out of the window of three.
  const auto s = summary_of(3, {{9, 1, 2}, {0.5f, 0, 1}, {0, -1, 3}, {2.5f, 1, 2}});
  EXPECT_NEAR(s[kLatestRatio], 1.5, 1e-6);
  EXPECT_NEAR(s[kMeanOfRatios], (0.5 + 0.25 + 1.5) / 3, 1e-6);
  EXPECT_NEAR(s[kRatioOfSums], (0.5 + 1 + 1.5) / (1 + 4 + 1), 1e-6);
  EXPECT_EQ(s[kBalanceEntries], 3);
  EXPECT_EQ(s[kBalanceUnusable], 0);
}

TEST(BalanceQueue, SurvivesUnusableDenominatorsAndReportsThem) {
  const auto empty = summary_of(4, {});
  EXPECT_TRUE(std::isnan(empty[kLatestRatio]) && std::isnan(empty[kMeanOfRatios]) && std::isnan(empty[kRatioOfSums]));
  EXPECT_EQ(empty[kBalanceEntries], 0);
  // A zero gap has no ratio; a negative gap has one, which counts, as in the paper's mean.
  const auto s = summary_of(4, {{0.5f, 0, 1}, {1, 0, 0}, {1, 0, -2}});
  EXPECT_NEAR(s[kMeanOfRatios], (0.5 - 0.5) / 2, 1e-6);
  EXPECT_EQ(s[kBalanceUnusable], 2);
  EXPECT_TRUE(std::isnan(s[kRatioOfSums]));  // the gaps add up to -1
  const auto broken = summary_of(4, {{NAN, 0, 1}, {0.5f, 0, 1}, {1, 0, NAN}});
  EXPECT_NEAR(broken[kMeanOfRatios], 0.5, 1e-6);
  EXPECT_TRUE(std::isnan(broken[kLatestRatio]) && std::isnan(broken[kRatioOfSums]));
  EXPECT_EQ(broken[kBalanceUnusable], 1);
}

// A mask may kill exactly the rows that the power iteration has converged to; it must then find the others.
TEST(SpectralNorm, StartsAnewWhenAMaskHasTakenItsVectorAway) {
  TestContext c;
  const auto empty = [](const Shape& shape) { return OwnedTensor(shape, DType::f64, Device::cpu); };
  const OwnedTensor w = tensor_of<double>({3, 2}, {0, 0, 0, 0, 3, 4});  // sigma 5, all of it in the last row
  const OwnedTensor u = tensor_of<double>({3}, {1, 0, 0}), v = tensor_of<double>({2}, {1, 0});
  const OwnedTensor u_used = empty({3}), v_used = empty({2}), sigma = empty({1}), y = empty({3, 2});
  const SpectralNormLayer layer{.weight = w.tensor(),
                                .u = u.tensor(),
                                .v = v.tensor(),
                                .u_used = u_used.tensor(),
                                .v_used = v_used.tensor(),
                                .sigma = sigma.tensor(),
                                .y = y.tensor()};
  Arena::Workspace workspace(c.arena, spectral_norm_workspace({&layer, 1}));
  for (int i = 0; i < 2; ++i) {
    c.ctx.kernels->spectral_norm_forward(c.ctx, true, {&layer, 1}, workspace.tensor());
    for (const double x : values_of<double>(y.tensor())) ASSERT_TRUE(std::isfinite(x));
  }
  EXPECT_NEAR(values_of<double>(sigma.tensor())[0], 5, 1e-12);
}

TEST(MeanLogit, IsTheMean) {
  TestContext c;
  OwnedTensor mean({1}, DType::f32, Device::cpu);
  c.ctx.kernels->mean_logit(c.ctx, tensor_of<float>({4, 1}, {1, 2, 3, 4.5f}).tensor(), mean.tensor());
  EXPECT_EQ(values_of<float>(mean.tensor())[0], 2.625f);
}

}  // namespace
}  // namespace poise
