#include "models/biggan.h"

#include "models/layer_options.h"

namespace poise {
namespace {

constexpr double kEps64 = 1e-6;  // for biggan64's spectral norm
constexpr BatchNormOptions kBatchNormRelu64{.eps = 1e-4, .relu = true};
constexpr LayerOptions kUnmasked{.spectral_norm = true, .maskable = false};
constexpr LayerOptions kSpectral64{.spectral_norm = true, .spectral_norm_eps = kEps64};

ConditionalNormOptions of_class(int64_t classes) { return {.classes = classes, .batch_norm = kBatchNormRelu}; }
ConditionalNormOptions of_vector(int64_t size) {
  return {.vector_size = size, .batch_norm = kBatchNormRelu64, .spectral_norm_eps = kEps64};
}

// The head of a projection discriminator scores how real `features` [N,H,W,C] look and how well they match their class.
Var projection_head(Linear& linear, Embedding& embedding, Var features, const Tensor& labels) {
  Var h = sum_space(relu(features));
  return add(linear(h), row_dot(embedding(*h.tape, labels, h.dtype()), h));
}

}  // namespace

BigGan32Generator::BigGan32Generator(int64_t width, int64_t latent, int64_t class_count)
    : Generator("G"),
      linear(*this, "linear", latent, 4 * 4 * width, kSpectral),
      block1(*this, "block1", width, width, of_class(class_count), kSpectral),
      block2(*this, "block2", width, width, of_class(class_count), kSpectral),
      block3(*this, "block3", width, width, of_class(class_count), kSpectral),
      bn_out(*this, "bn_out", width, kBatchNormRelu),
      conv_out(*this, "conv_out", width, 3, same_padding(3), kSpectral),
      width_(width) {
  latent_size = latent;
  classes = class_count;
  image_shape = {32, 32, 3};
}

Var BigGan32Generator::operator()(Var z, const Tensor& labels) {
  Scope scope(*z.tape, path());
  const NormalisedWeights normalised(*this, *z.tape);
  const Condition condition{.labels = labels};
  Var h = reshape(linear(z), {z.shape()[0], 4, 4, width_});
  h = block3(block2(block1(h, condition), condition), condition);
  return tanh(conv_out(bn_out(spent(h))));
}

BigGan32Discriminator::BigGan32Discriminator(int64_t width, int64_t class_count)
    : Discriminator("D"),
      block1(*this, "block1", 3, width, DisBlockKind::first, kSpectral),
      block2(*this, "block2", width, width, DisBlockKind::down, kSpectral),
      block3(*this, "block3", width, width, DisBlockKind::plain, kSpectral),
      block4(*this, "block4", width, width, DisBlockKind::plain, kSpectral),
      linear(*this, "linear", width, 1, kUnmasked),
      embedding(*this, "embedding", class_count, width, kSpectral) {
  classes = class_count;
}

Var BigGan32Discriminator::operator()(Var x, const Tensor& labels) {
  Scope scope(*x.tape, path());
  const NormalisedWeights normalised(*this, *x.tape);
  for (DisBlock* block : {&block1, &block2, &block3, &block4}) x = (*block)(x, Next::relu);
  return projection_head(linear, embedding, x, labels);
}

BigGan64Generator::BigGan64Generator(int64_t width, int64_t latent, int64_t class_count)
    : Generator("G"),
      shared(*this, "shared", class_count, kSharedDimension),
      linear(*this, "linear", latent / kChunks, 4 * 4 * 16 * width, kSpectral64),
      block1(*this, "block1", 16 * width, 8 * width, of_vector(kSharedDimension + latent / kChunks), kSpectral64),
      block2(*this, "block2", 8 * width, 4 * width, of_vector(kSharedDimension + latent / kChunks), kSpectral64),
      block3(*this, "block3", 4 * width, 2 * width, of_vector(kSharedDimension + latent / kChunks), kSpectral64),
      attention(*this, "attention", 2 * width, kSpectral64),
      block4(*this, "block4", 2 * width, width, of_vector(kSharedDimension + latent / kChunks), kSpectral64),
      bn_out(*this, "bn_out", width, kBatchNormRelu64),
      conv_out(*this, "conv_out", width, 3, same_padding(3), kSpectral64),
      width_(width),
      chunk_(latent / kChunks) {
  latent_size = latent;
  classes = class_count;
  image_shape = {64, 64, 3};
}

Var BigGan64Generator::operator()(Var z, const Tensor& labels) {
  Tape& tape = *z.tape;
  Scope scope(tape, path());
  const NormalisedWeights normalised(*this, tape);
  Var of_class = shared(tape, labels, z.dtype());  // [N,128]
  const auto chunk = [&](int64_t k) { return slice_channels(z, k * chunk_, chunk_); };
  const auto condition = [&](int64_t k) { return Condition{.vector = concat_channels({of_class, chunk(k)})}; };
  Var h = reshape(linear(chunk(0)), {z.shape()[0], 4, 4, 16 * width_});
  h = block1(h, condition(1));
  h = block2(h, condition(2));
  h = attention(block3(h, condition(3)));
  h = block4(h, condition(4));
  return tanh(conv_out(bn_out(spent(h))));
}

BigGan64Discriminator::BigGan64Discriminator(int64_t width, int64_t class_count)
    : Discriminator("D"),
      block1(*this, "block1", 3, width, DisBlockKind::first, kSpectral64),
      attention(*this, "attention", width, kSpectral64),
      block2(*this, "block2", width, 2 * width, DisBlockKind::down, kSpectral64),
      block3(*this, "block3", 2 * width, 4 * width, DisBlockKind::down, kSpectral64),
      block4(*this, "block4", 4 * width, 8 * width, DisBlockKind::down, kSpectral64),
      block5(*this, "block5", 8 * width, 16 * width, DisBlockKind::wide, kSpectral64),
      linear(*this, "linear", 16 * width, 1, kSpectral64),
      embedding(*this, "embedding", class_count, 16 * width, kSpectral64) {
  classes = class_count;
}

Var BigGan64Discriminator::operator()(Var x, const Tensor& labels) {
  Scope scope(*x.tape, path());
  const NormalisedWeights normalised(*this, *x.tape);
  Var h = block5(block4(block3(block2(attention(block1(x))))));
  return projection_head(linear, embedding, h, labels);
}

}  // namespace poise
