#include "apps/evaluation/random_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/io/sha256.h"
#include "engine/ops/ops.h"
#include "engine/tape/planning.h"
#include "kernels/gpu/runtime.h"

namespace poise {
namespace {

constexpr uint64_t kWeightSeed = 20260001;  // must never change: keeps values of different versions comparable
constexpr int64_t kBatch = 50;              // fixed, so that an image's bits do not depend on the images with it
constexpr int64_t kMostPixels = kBatch * 128 * 128;  // fewer if images are large: limits a pass to about 1 GiB
constexpr int64_t kLayerChannels[] = {3, 32, 64, 192};
constexpr int kLayers = 3;

}  // namespace

struct RandomFeatureNetwork::Machine {
  std::vector<OwnedTensor> weights, biases;
  std::unique_ptr<gpu::Stream> stream;
  Context ctx;
  std::string hash;

  explicit Machine(Device device) {
    if (device != Device::cpu) stream = gpu::runtime(device).make_stream();
    ctx = {.device = device, .kernels = &kernels_of(device), .stream = stream.get()};
    for (int layer = 0; layer < kLayers; ++layer) {
      const int64_t in = kLayerChannels[layer], out = kLayerChannels[layer + 1];
      weights.push_back(random({out, 3, 3, in}, 2 * layer, std::sqrt(2.0 / static_cast<double>(9 * in))));
      biases.push_back(random({out}, 2 * layer + 1, 0.1));
    }
  }

  OwnedTensor random(const Shape& shape, int stream_step, double scale) {
    OwnedTensor tensor(shape, DType::f32, ctx.device);
    std::vector<double> normal(static_cast<size_t>(shape.elements()));
    normal_on_host(kWeightSeed, RandomStream::metric, static_cast<uint64_t>(stream_step), shape.elements(),
                   normal.data());
    for (double& x : normal) x *= scale;
    const std::vector<float> values(normal.begin(), normal.end());
    hash = sha256({std::as_bytes(std::span(hash)), std::as_bytes(std::span(values))});  // of all tensors so far
    copy_from_host(tensor.tensor(), values.data());
    return tensor;
  }

  // x [N,H,W,3] -> {[N,64], [N,192]}
  std::array<Var, 2> run(Tape& tape, const Tensor& images) {
    Var x = tape.constant(images), early;
    for (int layer = 0; layer < kLayers; ++layer) {
      const auto i = static_cast<size_t>(layer);
      if (layer > 0) x = avg_pool_2x2(x);
      x = relu(conv2d(x, tape.constant(weights[i].tensor()), tape.constant(biases[i].tensor()),
                      {.kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}));
      if (layer == 1) early = mean_space(x);
    }
    return {early, mean_space(x)};
  }

  size_t arena_size(const Tensor& images) {
    return arena_bytes_of(ctx, [&](Context& planning) {
      Tape tape(planning);
      run(tape, images);
    });
  }
};

RandomFeatureNetwork::RandomFeatureNetwork(Device device) : machine_(std::make_unique<Machine>(device)) {}
RandomFeatureNetwork::~RandomFeatureNetwork() = default;

std::string RandomFeatureNetwork::hash() const { return machine_->hash; }

int64_t RandomFeatureNetwork::dims(FeatureTap tap) const { return tap == FeatureTap::pool64 ? 64 : 192; }

std::vector<FeatureRows> RandomFeatureNetwork::features(const std::vector<FeatureTap>& wanted,
                                                        std::span<const uint8_t> images, int64_t count, int64_t h,
                                                        int64_t w) {
  require(static_cast<int64_t>(images.size()) == count * h * w * 3, "images of count x h x w x 3 bytes");
  if (h % 4 != 0 || w % 4 != 0) {
    fail(ErrorKind::data, fmt::format("random-features: expected images whose sides are multiples of 4 but got {}x{}; "
                                      "resize them",
                                      h, w));
  }
  std::vector<FeatureRows> rows;
  for (const FeatureTap tap : wanted) {
    if (tap != FeatureTap::pool64 && tap != FeatureTap::pool192) {
      fail(ErrorKind::usage, "random-features has features of 64 and 192 dimensions only; choose one of these");
    }
    rows.push_back({.tap = tap, .dims = dims(tap)});
  }
  Context& ctx = machine_->ctx;
  const int64_t batch_size = std::clamp<int64_t>(kMostPixels / (h * w), 1, kBatch);
  const OwnedTensor batch({batch_size, h, w, 3}, DType::f32, ctx.device);
  Arena arena(machine_->arena_size(batch.tensor()), ctx.device);
  ctx.arena = &arena;
  const int64_t size = h * w * 3;
  std::vector<float> pixels, values;
  for (int64_t first = 0; first < count; first += batch_size) {
    const int64_t n = std::min(batch_size, count - first);
    pixels.assign(static_cast<size_t>(batch_size * size), 0.0f);
    // Scaled like Inception's input (kernels/dense/space/resize_bilinear.h), not like the input of training.
    for (int64_t i = 0; i < n * size; ++i) pixels[i] = (static_cast<float>(images[first * size + i]) - 128) / 128;
    copy_from_host(batch.tensor(), pixels.data());
    Tape tape(ctx);
    const auto taps = machine_->run(tape, batch.tensor());
    for (FeatureRows& row : rows) {
      values.resize(static_cast<size_t>(batch_size * row.dims));
      copy_to_host(values.data(), taps[row.tap == FeatureTap::pool64 ? 0 : 1].value());
      row.values.insert(row.values.end(), values.begin(), values.begin() + n * row.dims);
    }
    arena.reset();
  }
  ctx.arena = nullptr;
  return rows;
}

}  // namespace poise
