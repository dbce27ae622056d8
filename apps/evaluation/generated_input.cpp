#include "apps/evaluation/generated_input.h"
#include "kernels/core/integer.h"

#include <fmt/format.h>

#include <memory>

namespace poise {

ImageInput generated_input(Trainer& trainer, const std::string& source, const GeneratedOptions& o) {
  const Shape image = trainer.image_shape();
  const auto draw = [&trainer, o, image](int64_t first, int64_t n) {
    const int64_t whole = ceil_div(n, kBatchNormBatch) * kBatchNormBatch;
    std::vector<uint64_t> seeds;
    std::vector<int32_t> labels;  // cycles through the classes, for equal shares
    for (int64_t i = 0; i < whole; ++i) {
      seeds.push_back(static_cast<uint64_t>(o.seed + first + i));
      if (trainer.classes() > 0) labels.push_back(static_cast<int32_t>((first + i) % trainer.classes()));
    }
    std::vector<uint8_t> pixels = trainer.sample(latents_of_seeds(seeds, trainer.latent_size()), labels, o.weights,
                                                 o.mode, kBatchNormBatch, o.quantisation);
    pixels.resize(static_cast<size_t>(n * image.elements()));
    return pixels;
  };
  ImageInput input{.protocol = {.source = source,
                                .split = "generated",
                                .images = o.count,
                                .height = image[0],
                                .width = image[1],
                                .image_resize = "none",
                                .weights = o.weights == Weights::ema ? "ema" : "live",
                                .batch_norm = o.mode == Mode::evaluate_batch ? "batch" : "running",
                                .quantisation = o.quantisation == Quantisation::truncate ? "truncate" : "round",
                                .seed = o.seed},
                   .count = o.count,
                   .height = image[0],
                   .width = image[1],
                   .read = draw};
  if (o.mode == Mode::evaluate_running) {
    const auto all = std::make_shared<std::vector<uint8_t>>();
    input.read = [all, draw, o, image](int64_t first, int64_t n) {
      if (all->empty()) *all = draw(0, o.count);
      const auto begin = all->begin() + first * image.elements();
      return std::vector<uint8_t>(begin, begin + n * image.elements());
    };
  }
  return input;
}

}  // namespace poise
