#include "apps/run/run_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "apps/training/sampling.h"
#include "engine/io/png.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

std::vector<uint64_t> first_seeds(int64_t count) {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  std::iota(seeds.begin(), seeds.end(), uint64_t{0});
  return seeds;
}

// Creates the folder if it is missing, for example in a copy of a run.
void write_grid(const std::string& path, const std::vector<uint8_t>& pixels, int64_t count, const Trainer& trainer,
                const OutputOptions& output, const ImageSet& images) {
  make_folders(split_path(path).folder);
  write_image_grid(path, pixels,
                   {.count = count,
                    .height = images.height,
                    .width = images.width,
                    .channels = images.channels,
                    .columns = grid_columns(output.sample_count, trainer.classes()),
                    .scale = output.sample_scale});
}

}  // namespace

std::string draw_fakes(const std::string& run, Trainer& trainer, const OutputOptions& output, const ImageSet& images) {
  const int64_t count = output.sample_count;
  const auto latents = latents_of_seeds(first_seeds(count), trainer.latent_size());
  const std::vector<uint8_t> fakes = trainer.sample(latents, cycling_labels(count, trainer.classes()), Weights::ema,
                                                    Mode::evaluate_batch, std::min(count, kPictureBatch));
  const std::string name = fmt::format("samples/fakes_{:06}.png", trainer.iteration());
  write_grid(run + "/" + name, fakes, count, trainer, output, images);
  return name;
}

std::string draw_reals(const std::string& run, const Trainer& trainer, const OutputOptions& output,
                       const ImageSet& images) {
  const int64_t size = images.height * images.width * images.channels;
  const int64_t count = std::min(output.sample_count, images.count);
  std::vector<uint8_t> reals;
  for (int64_t i = 0; i < count; ++i) {  // the set may be sorted by class
    const uint8_t* first = images.pixels.data() + i * images.count / count * size;
    reals.insert(reals.end(), first, first + size);
  }
  const std::string name = "samples/reals.png";
  write_grid(run + "/" + name, reals, count, trainer, output, images);
  return name;
}

}  // namespace poise
