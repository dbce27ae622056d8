// Generates images in batches, outside of training steps: for grids, metrics and sample_gan.
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/optim/parameter_slab.h"
#include "engine/sparse/compact_weights.h"
#include "models/registry.h"

namespace poise {

enum class Weights : uint8_t { ema, live };

// How x in [-1, 1] becomes a byte: x * 127.5 + 127.5, clamped to 0..255, is rounded to nearest, as in every picture
// that Poise writes, or truncated, as the paper's code does for metrics.
enum class Quantisation : uint8_t { round, truncate };

// Batch size for pictures: in Mode::evaluate_batch, batch norm normalises this many images together.
constexpr int64_t kPictureBatch = 64;

struct SampleRequest {
  const std::vector<float>& latents;   // [N, latent], row-major
  const std::vector<int32_t>& labels;  // [N] classes for a conditional G; else empty
  Weights weights = Weights::ema;
  Mode mode = Mode::evaluate_batch;  // or evaluate_running
  int64_t batch = 1;                 // at most this many images at a time
  Quantisation quantisation = Quantisation::round;
};

// Returns the images as uint8 [N,H,W,C], computed between the steps of `ctx`: in its arena if that is large enough,
// which is usual during training, otherwise in a temporary one. Does not change the training state. Error(usage) for a
// class that G does not have, or for missing or surplus labels; Error(runtime) if there is not enough memory.
std::vector<uint8_t> sample_images(Generator& generator, ParameterSlab& slab, const Context& ctx,
                                   const SampleRequest& request);

// Returns every parameter and buffer of G, by path, as sample_images uses them in Mode::evaluate_running: with running
// statistics measured for these weights and the spectral norm vectors that result. Does not change the training state.
std::vector<NamedWeights> weights_for_sampling(Generator& generator, ParameterSlab& slab, const Context& outer,
                                               Weights weights);

// 0, 1, .. classes-1, 0, 1, .. for `count` images; none if classes is 0.
std::vector<int32_t> cycling_labels(int64_t count, int64_t classes);

// How many columns a grid of `count` images should have: one per class if there are 2 to 16, else for about a square.
int64_t grid_columns(int64_t count, int64_t classes);

uint8_t to_byte(float x, Quantisation quantisation = Quantisation::round);

// One latent row per seed, which depends on that seed alone. Elements whose magnitude exceeds `truncation` are redrawn
// until it does not (the truncation trick of Brock et al., 2019: fewer surprises, less variety).
std::vector<float> latents_of_seeds(const std::vector<uint64_t>& seeds, int64_t latent_size,
                                    double truncation = std::numeric_limits<double>::infinity());

// `steps` >= 2 rows from row a to row b, inclusive, at equal angles (slerp, Shoemake 1985). Unlike on a straight line,
// the latents in between have about the length that G was trained on.
std::vector<float> interpolated_latents(const std::vector<float>& a, const std::vector<float>& b, int64_t steps);

}  // namespace poise
