#include "apps/run/checkpoint_sampler.h"

#include <cstdio>

#include "apps/options/trainer_options.h"
#include "apps/run/run_state.h"
#include "engine/io/system_file.h"

namespace poise {

SafetensorsFile load_checkpoint(const std::string& source, const std::string& program) {
  if (!path_exists(source)) fail(ErrorKind::checkpoint, source + ": no such run directory or checkpoint file");
  if (!is_folder(source)) return CheckpointStore::load(source);
  const std::string folder = source + "/checkpoints";
  if (!is_folder(folder)) {
    fail(ErrorKind::checkpoint, source + ": no run directory: it has no checkpoints; give one that train_gan made");
  }
  CheckpointStore::Loaded loaded = CheckpointStore(folder, 1).newest_valid();
  for (const std::string& warning : loaded.warnings) {
    std::fprintf(stderr, "%s: warning: %s\n", program.c_str(), warning.c_str());
  }
  return std::move(loaded.file);
}

std::unique_ptr<Trainer> sampler_of(const SafetensorsFile& file, const std::string& device) {
  Settings settings = settings_of_checkpoint(file);
  settings.device = device;
  const Shape image = make_model(trainer_options(settings).model).generator->image_shape;
  TrainerOptions options = trainer_options(settings);
  options.batch_size_d = options.batch_size_g = options.accumulate = 1;
  ImageSet images{
      .name = "none", .count = options.n_critic, .height = image[0], .width = image[1], .channels = image[2]};
  images.pixels.resize(static_cast<size_t>(images.count * image.elements()));
  images.labels.resize(static_cast<size_t>(images.count));
  auto trainer = std::make_unique<Trainer>(options, std::move(images));
  restore_state(file, *trainer);
  return trainer;
}

}  // namespace poise
