// Images of a generator, in batches, from outside of training: for grids, metrics and sample_gan.
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/optim/parameter_slab.h"
#include "engine/sparse/compact_weights.h"
#include "models/registry.h"

namespace poise {

enum class Weights : uint8_t { ema, live };

// x in [-1, 1] to a byte, from x * 127.5 + 127.5, clamped to 0..255: to the nearest, as for every picture that Poise
// writes; or, for metrics, without the fraction, as the paper's code does.
enum class Quantisation : uint8_t { round, truncate };

// Of pictures for people: so many images normalise each other in Mode::evaluate_batch.
constexpr int64_t kPictureBatch = 64;

struct SampleRequest {
  const std::vector<float>& latents;   // [N, latent], row-major
  const std::vector<int32_t>& labels;  // [N] classes for a conditional G; else empty
  Weights weights = Weights::ema;
  Mode mode = Mode::evaluate_batch;  // or evaluate_running
  int64_t batch = 1;                 // images at a time, at most
  Quantisation quantisation = Quantisation::round;
};

// The images as uint8 [N,H,W,C], computed between the steps of `ctx`: in its arena if that is large enough, which for a
// run in training it mostly is, else in one that lives as long as the call. Leaves all state of training as it was.
// Error(usage) for a class that G does not know, or for labels that are missing or too many; Error(runtime) if memory
// does not suffice.
std::vector<uint8_t> sample_images(Generator& generator, ParameterSlab& slab, const Context& ctx,
                                   const SampleRequest& request);

// Every parameter and buffer of G, by path, as sample_images computes with them in Mode::evaluate_running: running
// statistics measured for these weights, spectral norm iterated on the way. Leaves all state of training as it was.
std::vector<NamedWeights> weights_for_sampling(Generator& generator, ParameterSlab& slab, const Context& outer,
                                               Weights weights);

// 0, 1, .. classes-1, 0, 1, .. for `count` images; none if classes is 0.
std::vector<int32_t> cycling_labels(int64_t count, int64_t classes);

// How wide a grid of so many images should be: a column per class if these are 2 to 16, else about a square.
int64_t grid_columns(int64_t count, int64_t classes);

uint8_t to_byte(float x, Quantisation quantisation = Quantisation::round);

// A latent row per seed, which depends on that seed alone. Truncated, elements of a larger magnitude are drawn again
// until they are within it (the truncation trick of Brock et al., 2019: fewer surprises, less variety).
std::vector<float> latents_of_seeds(const std::vector<uint64_t>& seeds, int64_t latent_size,
                                    double truncation = std::numeric_limits<double>::infinity());

// `steps` >= 2 rows from row a to row b, both included, in equal angles (slerp, Shoemake 1985): on the way latents keep
// about the length that G knows, which on a straight line they do not.
std::vector<float> interpolated_latents(const std::vector<float>& a, const std::vector<float>& b, int64_t steps);

}  // namespace poise
