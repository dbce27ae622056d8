// Mask changes over whole networks, compared with an independent, slow implementation that sorts all weights.
#include "engine/sparse/prune_grow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "engine/nn/layers.h"
#include "kernels/core/parallel.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

// A network of layers that are never called, since masks only depend on weights and gradients.
struct Layers : Module {
  Layers() : Module("N") {}
  std::vector<std::unique_ptr<Linear>> linear;
  std::vector<std::unique_ptr<Conv2d>> conv;
  void add(const Shape& s) {
    const std::string name = "l" + std::to_string(linear.size() + conv.size());
    if (s.rank() == 2)
      linear.push_back(std::make_unique<Linear>(*this, name, s[1], s[0]));
    else
      conv.push_back(std::make_unique<Conv2d>(*this, name, s[3], s[0], Conv2dOptions{.kh = s[1], .kw = s[2]}));
  }
};

// A network with its parameters and masks.
struct Fixture {
  TestContext c;
  Layers network;
  std::unique_ptr<ParameterSlab> slab;
  std::unique_ptr<NetworkMasks> masks;
  Cell cell;

  Fixture(const std::vector<Shape>& shapes, const Cell& cell_of_all, uint64_t seed, int64_t distinct)
      : cell(cell_of_all) {
    for (const Shape& s : shapes) network.add(s);
    slab = std::make_unique<ParameterSlab>(network, DType::f32, Device::cpu, true);
    std::mt19937_64 random(seed);
    // Few distinct magnitudes cause ties, and zeros among the gradients.
    const auto draw = [&] {
      return static_cast<float>(static_cast<int64_t>(random() % (2 * distinct + 1)) - distinct);
    };
    for (const auto& e : slab->entries()) {
      for (const Tensor& t : {e.value, e.grad, e.adam_m, e.adam_v, e.ema}) {
        std::vector<float> x(static_cast<size_t>(t.elements()));
        for (float& v : x) v = draw() / static_cast<float>(distinct);
        copy_from_host(t, x.data());
      }
    }
    c.step.seed = seed;
    c.step.step = seed % 5;
    masks = std::make_unique<NetworkMasks>(network, *slab, cell, MaskableHead::dense, Device::cpu);
  }
  void draw(double density) {
    masks->draw(c.ctx, RandomStream::mask_d,
                layer_densities(maskable_layers(network), DensityRule::erk, density, cell));
    c.arena.reset();
  }
};

struct SlowCell {
  size_t layer;
  std::vector<size_t> weights;  // indices in the layer's tensor
  bool alive;
  float magnitude, gradient;
};

// All cells of the masked layers, in the order of their numbers.
std::vector<SlowCell> cells_of(const Fixture& f) {
  std::vector<SlowCell> cells;
  for (size_t l = 0; l < f.masks->layers().size(); ++l) {
    const MaskedLayer& layer = f.masks->layers()[l];
    const Shape& s = layer.weight.value.shape;
    const int64_t taps = s.rank() == 4 ? s[1] * s[2] : 1, in_blocks = s.back() / f.cell.in;
    const size_t first = cells.size();
    cells.resize(first + static_cast<size_t>(f.cell.cells_in(s)), {.layer = l});
    const auto w = values_of<float>(layer.weight.value), g = values_of<float>(layer.weight.grad);
    const auto alive = alive_of(layer.bytes, layer.weight.value);
    for (size_t at = 0; at < w.size(); ++at) {
      const auto position = static_cast<int64_t>(at);
      const int64_t i = position % s.back(), tap = position / s.back() % taps, o = position / (s.back() * taps);
      const int64_t row = f.cell.all_taps ? o / f.cell.out : o / f.cell.out * taps + tap;
      SlowCell& cell = cells[first + static_cast<size_t>(row * in_blocks + i / f.cell.in)];
      cell.weights.push_back(at);
      cell.alive = alive[at] == 1;
    }
    for (size_t k = first; k < cells.size(); ++k) {
      double of_w = 0, of_g = 0;
      for (const size_t at : cells[k].weights) {
        of_w += double{w[at]} * double{w[at]};
        of_g += double{g[at]} * double{g[at]};
      }
      const auto n = static_cast<double>(cells[k].weights.size());
      cells[k].magnitude = static_cast<float>(std::sqrt(of_w / n));
      cells[k].gradient = static_cast<float>(std::sqrt(of_g / n));
    }
  }
  return cells;
}

int64_t alive_weights(const std::vector<SlowCell>& cells, int layer = -1) {
  int64_t sum = 0;
  for (const SlowCell& cell : cells) {
    if (cell.alive && (layer < 0 || cell.layer == static_cast<size_t>(layer)))
      sum += static_cast<int64_t>(cell.weights.size());
  }
  return sum;
}

// The cells of one layer (or of all) by decreasing score; equal scores by number.
std::vector<size_t> ranking(const std::vector<SlowCell>& cells, const std::vector<float>& scores, int layer) {
  std::vector<size_t> order(cells.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t k) { return layer >= 0 && cells[k].layer != static_cast<size_t>(layer); });
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

void keep_slowly(std::vector<SlowCell>& cells, int64_t budget, int layer) {
  std::vector<float> scores;
  std::map<size_t, size_t> best;  // of each layer; always kept, whatever the budget
  for (size_t k = 0; k < cells.size(); ++k) {
    scores.push_back(cells[k].magnitude);
    if (!cells[k].alive) continue;
    const auto [found, first] = best.emplace(cells[k].layer, k);
    if (!first && scores[k] > scores[found->second]) found->second = k;
  }
  for (const auto& [l, k] : best) scores[k] = INFINITY;
  for (const size_t k : ranking(cells, scores, layer)) {
    if (!cells[k].alive) continue;
    budget -= static_cast<int64_t>(cells[k].weights.size());
    if (budget < 0 && scores[k] != INFINITY) cells[k].alive = false;
  }
}

void grow_slowly(std::vector<SlowCell>& cells, const std::vector<float>& scores, int64_t budget, int layer) {
  for (const size_t k : ranking(cells, scores, layer)) {
    if (cells[k].alive || scores[k] <= 0) continue;
    budget -= static_cast<int64_t>(cells[k].weights.size());
    if (budget >= 0) cells[k].alive = true;
  }
}

struct Snapshot {
  std::vector<std::vector<float>> value, m, v, ema, grad;
  std::vector<std::vector<uint8_t>> alive;
  explicit Snapshot(const Fixture& f) {
    for (const MaskedLayer& l : f.masks->layers()) {
      value.push_back(values_of<float>(l.weight.value));
      m.push_back(values_of<float>(l.weight.adam_m));
      v.push_back(values_of<float>(l.weight.adam_v));
      ema.push_back(values_of<float>(l.weight.ema));
      grad.push_back(values_of<float>(l.weight.grad));
      alive.push_back(alive_of(l.bytes, l.weight.value));
    }
  }
};

// Masks are as expected, dead weights are zero, others are unchanged, and moments of grown weights follow the policy.
void expect_state(const Fixture& f, const Snapshot& before, const std::vector<SlowCell>& expected,
                  MomentPolicy policy) {
  const Snapshot now(f);
  for (const SlowCell& cell : expected) {
    const size_t l = cell.layer;
    for (const size_t at : cell.weights) {
      ASSERT_EQ(now.alive[l][at], cell.alive ? 1 : 0) << "layer " << l << ", weight " << at;
      const bool grown = cell.alive && !before.alive[l][at], moved = grown && policy != MomentPolicy::keep;
      ASSERT_EQ(now.value[l][at], cell.alive ? before.value[l][at] : 0);
      ASSERT_EQ(now.ema[l][at], cell.alive ? before.ema[l][at] : 0);
      ASSERT_EQ(now.m[l][at], moved ? 0 : before.m[l][at]);
      const float g = before.grad[l][at];
      ASSERT_EQ(now.v[l][at], !moved ? before.v[l][at] : policy == MomentPolicy::seed ? g * g : 0);
    }
  }
  EXPECT_EQ(f.masks->alive_weights(), alive_weights(expected) + f.masks->undivided());
  for (size_t l = 0; l < f.masks->layers().size(); ++l) {
    EXPECT_EQ(f.masks->layers()[l].mask.alive_count, alive_weights(expected, static_cast<int>(l)));
  }
  // Biases, padding and layers that the cell does not divide are always alive.
  const auto alive = alive_of(f.masks->bytes(), f.slab->value);
  const int64_t dead = std::count(alive.begin(), alive.end(), 0);
  EXPECT_EQ(dead, f.masks->total() - f.masks->alive_weights());
}

struct Random {
  std::mt19937_64 engine;
  int64_t pick(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(engine() % static_cast<uint64_t>(most - least + 1));
  }
};

std::vector<Shape> random_shapes(Random& random, const Cell& cell) {
  std::vector<Shape> shapes;
  for (int64_t n = random.pick(1, 4); n > 0; --n) {
    const int64_t kernel = random.pick(0, 2) ? 3 : 1;
    const int64_t out = cell.out * random.pick(1, 4), in = cell.in * random.pick(1, 4);
    shapes.push_back(random.pick(0, 2) ? Shape{out, kernel, kernel, in} : Shape{out + 1 - out % 2, in});
  }
  shapes.push_back({4 * cell.out, 4 * cell.in});  // one layer that every cell divides and that is not the head
  return shapes;
}

const Cell kCells[] = {{}, {}, {2, 2, false}, {4, 2, false}, {2, 2, true}};

TEST(PruneGrow, AgreesWithASlowImplementationForRandomNetworksCellsTiesAndThreads) {
  Random random{std::mt19937_64(3)};
  const int threads = thread_count();
  for (int trial = 0; trial < 150; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    set_thread_count(trial % 2 ? 1 : 3);
    const Cell cell = kCells[random.pick(0, 4)];
    Fixture f(random_shapes(random, cell), cell, static_cast<uint64_t>(trial), trial % 3 ? 3 : 1000);
    const double density = static_cast<double>(random.pick(60, 95)) / 100;
    f.draw(density);
    const bool one_size = !cell.all_taps;
    const int64_t start = f.masks->alive_weights();
    if (cell.unstructured()) {
      EXPECT_EQ(start, weights_at(*f.masks, density));
    }
    std::vector<SlowCell> expected = cells_of(f);
    for (const SlowCell& slow : expected) {  // dead weights start at zero
      for (const size_t at : slow.weights) {
        ASSERT_TRUE(slow.alive || values_of<float>(f.masks->layers()[slow.layer].weight.value)[at] == 0);
      }
    }

    const auto scope = static_cast<SelectionScope>(random.pick(0, 1));
    const auto growth = static_cast<Growth>(random.pick(0, 1));
    const auto policy = static_cast<MomentPolicy>(random.pick(0, 2));
    const double fraction = static_cast<double>(random.pick(0, 100)) / 100;
    const Snapshot before(f);
    const MaskChange change =
        drop_and_grow(f.c.ctx, *f.masks, {growth, scope, policy, RandomStream::mask_d}, fraction, start);

    std::vector<float> scores;
    for (size_t k = 0; k < expected.size(); ++k) {
      const Philox4 bits = philox4x32(f.c.step.seed, k / 4, static_cast<uint32_t>(RandomStream::mask_d), f.c.step.step);
      scores.push_back(growth == Growth::gradient ? expected[k].gradient : uniform_open(bits.x[k % 4]));
    }
    const int layers = static_cast<int>(f.masks->layers().size());
    int64_t kept = 0;
    for (int l = scope == SelectionScope::global ? -1 : 0; l < (scope == SelectionScope::global ? 0 : layers); ++l) {
      const int64_t alive = alive_weights(expected, l);
      keep_slowly(expected, alive - static_cast<int64_t>(std::floor(static_cast<double>(alive) * fraction)), l);
      const int64_t left = alive_weights(expected, l);
      kept += left;
      grow_slowly(expected, scores, alive - left, l);
    }
    expect_state(f, before, expected, policy);
    EXPECT_EQ(change.dropped, start - f.masks->undivided() - kept);
    EXPECT_EQ(change.grown, f.masks->alive_weights() - f.masks->undivided() - kept);
    // Exact, unless there were too few cells to grow.
    if (one_size && growth == Growth::random) {
      EXPECT_EQ(f.masks->alive_weights(), start);
    }
    EXPECT_LE(f.masks->alive_weights(), start);
  }
  set_thread_count(threads);
}

TEST(PruneGrow, RaisesAndLowersToExactCounts) {
  Random random{std::mt19937_64(4)};
  for (int trial = 0; trial < 80; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    const Cell cell = kCells[random.pick(0, 4)];
    Fixture f(random_shapes(random, cell), cell, static_cast<uint64_t>(trial), trial % 3 ? 2 : 1000);
    f.draw(0.7);
    std::vector<SlowCell> expected = cells_of(f);
    const Snapshot before(f);
    if (trial % 2) {
      const int64_t target = random.pick(f.masks->alive_weights(), f.masks->total());
      std::vector<float> scores;
      for (const SlowCell& slow : expected) scores.push_back(slow.gradient);
      grow_slowly(expected, scores, target - f.masks->alive_weights(), -1);
      const MaskChange change = grow_to(f.c.ctx, *f.masks, MomentPolicy::seed, target);
      EXPECT_EQ(change.dropped, 0);
      expect_state(f, before, expected, MomentPolicy::seed);
    } else {
      const int64_t target = random.pick(f.masks->undivided(), f.masks->alive_weights());
      keep_slowly(expected, target - f.masks->undivided(), -1);
      const MaskChange change = prune_to(f.c.ctx, *f.masks, target);
      EXPECT_EQ(change.grown, 0);
      expect_state(f, before, expected, MomentPolicy::keep);
      if (cell.unstructured()) {
        EXPECT_EQ(f.masks->alive_weights(), std::max(target, f.masks->undivided() + std::ssize(f.masks->layers())));
      }
    }
  }
}

// Cells are as large as half a layer, and the target has fewer cells than there are layers. A layer of zeros would
// block the signal, and its spectral norm would be 0.
TEST(PruneGrow, NoLayerDiesWhateverTheTarget) {
  const Cell halves{2, 4, true};
  Fixture f({{4, 3, 3, 4}, {4, 3, 3, 4}, {4, 3, 3, 4}}, halves, 1, 10);
  f.draw(1);
  prune_to(f.c.ctx, *f.masks, 72);
  for (const MaskedLayer& layer : f.masks->layers()) EXPECT_EQ(layer.mask.alive_count, 72) << layer.path;
  drop_and_grow(f.c.ctx, *f.masks, {}, 1.0, 72);
  for (const MaskedLayer& layer : f.masks->layers()) EXPECT_EQ(layer.mask.alive_count, 72) << layer.path;
}

TEST(PruneGrow, HealsACountThatCouldNotBeReachedBefore) {
  Fixture f({{8, 8}}, {}, 1, 1000);
  f.draw(0.5);
  std::vector<float> none(64, 0.0f);
  copy_from_host(f.masks->layers()[0].weight.grad, none.data());
  drop_and_grow(f.c.ctx, *f.masks, {}, 0.5, 32);
  EXPECT_EQ(f.masks->alive_weights(), 16);  // nothing grows where the gradient is zero
  std::vector<float> some(64, 1.0f);
  copy_from_host(f.masks->layers()[0].weight.grad, some.data());
  drop_and_grow(f.c.ctx, *f.masks, {}, 0.25, 32);
  EXPECT_EQ(f.masks->alive_weights(), 32);
}

TEST(NetworkMasks, LeaveOutHeadsAndWhatTheCellDoesNotDivideAndSaySo) {
  Fixture f({{8, 3, 3, 8}, {8, 3, 3, 3}, {1, 8}}, {4, 4, false}, 1, 10);
  ASSERT_EQ(f.masks->layers().size(), 1u);
  EXPECT_EQ(f.masks->layers()[0].mask.alive.shape, (Shape{2, 3, 3, 2}));
  ASSERT_EQ(f.masks->dense_layers().size(), 2u);
  std::string reasons;
  for (const DenseLayer& layer : f.masks->dense_layers()) reasons += layer.path + ": " + layer.reason + "; ";
  EXPECT_NE(reasons.find("cell 4x4 does not divide it"), std::string::npos) << reasons;
  EXPECT_NE(reasons.find("the head of D"), std::string::npos) << reasons;
  EXPECT_EQ(f.masks->total(), 576 + 216);
  EXPECT_EQ(f.masks->undivided(), 216);
  const uint64_t version = f.masks->layers()[0].mask.version;
  f.draw(0.5);
  EXPECT_EQ(f.masks->alive_weights(), 216 + 11 * 16);  // nearest to 396 in whole cells
  EXPECT_GT(f.masks->layers()[0].mask.version, version);
}

}  // namespace
}  // namespace poise
