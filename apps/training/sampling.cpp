#include "apps/training/sampling.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "engine/tape/planning.h"

namespace poise {
namespace {

constexpr int kRecalibrationBatches = 16;
constexpr int64_t kRecalibrationBatch = 64;

// Borrows G for sampling. The destructor restores the live weights and all buffers, including the running statistics,
// even if an exception was thrown in between.
class BorrowedGenerator {
 public:
  BorrowedGenerator(ParameterSlab& slab, Context& ctx, Weights weights)
      : slab_(slab), ctx_(ctx), averaged_(weights == Weights::ema) {
    for (const auto& buffer : slab.buffers()) {
      buffers_.emplace_back(buffer.value.size_bytes());
      copy_to_host(buffers_.back().data(), buffer.value);
    }
    if (averaged_) slab_.swap_value_and_ema(ctx_);
  }
  ~BorrowedGenerator() {
    for (size_t i = 0; i < buffers_.size(); ++i) copy_from_host(slab_.buffers()[i].value, buffers_[i].data());
    if (averaged_) slab_.swap_value_and_ema(ctx_);
  }
  BorrowedGenerator(const BorrowedGenerator&) = delete;
  BorrowedGenerator& operator=(const BorrowedGenerator&) = delete;

 private:
  ParameterSlab& slab_;
  Context& ctx_;
  bool averaged_;
  std::vector<std::vector<char>> buffers_;
};

// Copy floats on the host to a tensor of f32 or bf16, and back.
void write_floats(const Tensor& to, const float* from) {
  if (to.dtype != DType::bf16) return copy_from_host(to, from);
  std::vector<bf16> rounded(static_cast<size_t>(to.elements()));
  std::transform(from, from + to.elements(), rounded.begin(), to_bf16);
  copy_from_host(to, rounded.data());
}
void read_floats(float* to, const Tensor& from) {
  if (from.dtype != DType::bf16) return copy_to_host(to, from);
  std::vector<bf16> stored(static_cast<size_t>(from.elements()));
  copy_to_host(stored.data(), from);
  std::transform(stored.begin(), stored.end(), to, [](bf16 x) { return to_float(x); });
}

// Rows of latents, and their classes if G is conditional.
struct Rows {
  int64_t count = 0;
  const float* latents = nullptr;
  const int32_t* labels = nullptr;
};

// One forward pass of G: writes the rows' images [N,H,W,C] to `images` unless that is null. In a plan no row is read.
void generate(Generator& generator, Context& ctx, const Rows& rows, Mode mode, double momentum, float* images) {
  ctx.arena->reset();
  Tape tape(ctx);
  tape.mode = mode;
  tape.batch_norm_momentum = momentum;
  const Tape::NoGrad no_grad(tape);
  const Tensor z = ctx.arena->alloc({rows.count, generator.latent_size}, activation_dtype(ctx.precision));
  const Tensor labels = generator.classes > 0 ? ctx.arena->alloc({rows.count}, DType::i32) : Tensor{};
  if (!ctx.planning) {
    write_floats(z, rows.latents);
    if (labels) copy_from_host(labels, rows.labels);
  }
  const Var y = generator(tape.constant(z), labels);
  if (images && !ctx.planning) read_floats(images, y.value());
}

// The arena size that generate() needs for the most demanding of these passes.
size_t arena_bytes(Generator& generator, const Context& ctx, std::initializer_list<std::pair<int64_t, Mode>> passes) {
  size_t most = 0;
  for (const auto& [count, mode] : passes) {
    if (count == 0) continue;
    most = std::max(most, arena_bytes_of(ctx, [&, n = count, m = mode](Context& planning) {
                      generate(generator, planning, {.count = n}, m, -1, nullptr);
                    }));
  }
  return most;
}

// A context for passes between the steps of `outer`: uses its arena if that has `needed` bytes, otherwise a new one.
struct ContextBetweenSteps {
  ContextBetweenSteps(const Context& outer, size_t needed)
      : ctx(outer), own(needed <= outer.arena->capacity() ? 0 : needed, outer.device) {
    ctx.profile = nullptr;
    if (needed > outer.arena->capacity()) ctx.arena = &own;
  }

  Context ctx;
  Arena own;
};

void check_labels(const std::vector<int32_t>& labels, int64_t count, int64_t classes) {
  const int64_t expected = classes > 0 ? count : 0;
  if (static_cast<int64_t>(labels.size()) != expected) {
    fail(ErrorKind::usage, "sampling expects " + std::to_string(expected) + " labels for " + std::to_string(count) +
                               " images of a generator of " + std::to_string(classes) + " classes but got " +
                               std::to_string(labels.size()));
  }
  for (const int32_t label : labels) {
    if (label >= 0 && label < classes) continue;
    fail(ErrorKind::usage, "the generator has classes 0 to " + std::to_string(classes - 1) + " but got " +
                               std::to_string(label) + "; choose one of these");
  }
}

// Running statistics from training belong to earlier live weights. This replaces them by plain averages for the current
// weights over batches of fixed latents (classes in turn), which train-mode passes with momentum 1/(k+1) accumulate.
void recalibrate(Generator& generator, Context& ctx) {
  std::vector<double> normal(static_cast<size_t>(kRecalibrationBatch * generator.latent_size));
  const std::vector<int32_t> labels = cycling_labels(kRecalibrationBatches * kRecalibrationBatch, generator.classes);
  for (int k = 0; k < kRecalibrationBatches; ++k) {
    normal_on_host(0, RandomStream::recalibration, static_cast<uint64_t>(k), static_cast<int64_t>(normal.size()),
                   normal.data());
    const std::vector<float> latents(normal.begin(), normal.end());
    const Rows rows{kRecalibrationBatch, latents.data(),
                    labels.data() + (labels.empty() ? 0 : k * kRecalibrationBatch)};
    generate(generator, ctx, rows, Mode::train, 1.0 / (k + 1), nullptr);
  }
}

}  // namespace

std::vector<uint8_t> sample_images(Generator& generator, ParameterSlab& slab, const Context& outer,
                                   const SampleRequest& request) {
  const int64_t count = static_cast<int64_t>(request.latents.size()) / generator.latent_size;
  check_labels(request.labels, count, generator.classes);
  const bool running = request.mode == Mode::evaluate_running;
  const size_t needed = arena_bytes(generator, outer,
                                    {{running ? kRecalibrationBatch : 0, Mode::train},
                                     {std::min(request.batch, count), request.mode},
                                     {count % request.batch, request.mode}});
  ContextBetweenSteps between(outer, needed);
  Context& ctx = between.ctx;
  const BorrowedGenerator borrowed(slab, ctx, request.weights);
  if (running) recalibrate(generator, ctx);

  std::vector<uint8_t> bytes;
  bytes.reserve(static_cast<size_t>(count * generator.image_shape.elements()));
  std::vector<float> images;
  for (int64_t first = 0; first < count; first += request.batch) {
    const int64_t n = std::min(request.batch, count - first);
    images.resize(static_cast<size_t>(n * generator.image_shape.elements()));
    const Rows rows{n, request.latents.data() + first * generator.latent_size,
                    request.labels.data() + (request.labels.empty() ? 0 : first)};
    generate(generator, ctx, rows, request.mode, -1, images.data());
    for (float x : images) bytes.push_back(to_byte(x, request.quantisation));
  }
  return bytes;
}

std::vector<NamedWeights> weights_for_sampling(Generator& generator, ParameterSlab& slab, const Context& outer,
                                               Weights weights) {
  ContextBetweenSteps between(outer, arena_bytes(generator, outer, {{kRecalibrationBatch, Mode::train}}));
  const BorrowedGenerator borrowed(slab, between.ctx, weights);
  recalibrate(generator, between.ctx);
  std::vector<NamedWeights> all;
  const auto add = [&](const std::string& path, const Tensor& tensor) {
    NamedWeights w{.name = path, .shape = {}, .values = std::vector<float>(static_cast<size_t>(tensor.elements()))};
    for (int i = 0; i < tensor.shape.rank(); ++i) w.shape.push_back(tensor.shape[i]);
    read_floats(w.values.data(), tensor);
    all.push_back(std::move(w));
  };
  for (const auto& entry : slab.entries()) add(entry.path, entry.value);
  for (const auto& buffer : slab.buffers()) add(buffer.path, buffer.value);
  return all;
}

std::vector<int32_t> cycling_labels(int64_t count, int64_t classes) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; classes > 0 && i < count; ++i) labels.push_back(static_cast<int32_t>(i % classes));
  return labels;
}

int64_t grid_columns(int64_t count, int64_t classes) {
  constexpr int64_t kMostClassColumns = 16;
  if (classes > 1 && classes <= kMostClassColumns) return std::min(classes, count);
  return static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
}

uint8_t to_byte(float x, Quantisation quantisation) {
  float scaled = x * 127.5f + 127.5f;
  if (quantisation == Quantisation::round) scaled = std::nearbyint(scaled);
  if (!(scaled > 0)) return 0;  // also for NaN: a broken network gives black, not undefined behaviour
  return static_cast<uint8_t>(std::min(scaled, 255.0f));
}

std::vector<float> latents_of_seeds(const std::vector<uint64_t>& seeds, int64_t latent_size, double truncation) {
  std::vector<float> latents;
  std::vector<double> row(static_cast<size_t>(latent_size)), again(row.size());
  const auto outside = [=](double x) { return std::abs(x) > truncation; };
  for (const uint64_t seed : seeds) {
    normal_on_host(seed, RandomStream::fixed_latent, 0, latent_size, row.data());
    for (uint64_t draw = 1; std::any_of(row.begin(), row.end(), outside); ++draw) {
      normal_on_host(seed, RandomStream::fixed_latent, draw, latent_size, again.data());
      for (size_t i = 0; i < row.size(); ++i) {
        if (outside(row[i])) row[i] = again[i];
      }
    }
    latents.insert(latents.end(), row.begin(), row.end());
  }
  return latents;
}

std::vector<float> interpolated_latents(const std::vector<float>& a, const std::vector<float>& b, int64_t steps) {
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    aa += x * x, bb += y * y, ab += x * y;
  }
  const double cosine = aa > 0 && bb > 0 ? std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0) : 1;
  const double angle = std::acos(cosine), sine = std::sin(angle);
  constexpr double kParallel = 1e-6;  // below this, a straight line is the same and avoids 0/0
  std::vector<float> rows;
  for (int64_t step = 0; step < steps; ++step) {
    const double t = static_cast<double>(step) / static_cast<double>(steps - 1);
    const double of_a = sine > kParallel ? std::sin((1 - t) * angle) / sine : 1 - t;
    const double of_b = sine > kParallel ? std::sin(t * angle) / sine : t;
    for (size_t i = 0; i < a.size(); ++i) {
      rows.push_back(static_cast<float>(of_a * static_cast<double>(a[i]) + of_b * static_cast<double>(b[i])));
    }
  }
  return rows;
}

}  // namespace poise
