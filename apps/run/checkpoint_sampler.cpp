#include "apps/run/checkpoint_sampler.h"

#include <cstdio>

#include "apps/run/compact_generator.h"
#include "apps/run/run_state.h"
#include "engine/io/message.h"
#include "engine/io/system_file.h"

namespace poise {

SafetensorsFile load_checkpoint(const std::string& source, const std::string& program) {
  if (!path_exists(source)) fail(ErrorKind::checkpoint, source + ": no such run directory or checkpoint file");
  if (!is_folder(source)) {
    SafetensorsFile file = SafetensorsFile::read(source);
    if (!is_sparse_export(file)) CheckpointStore::verify(file);
    return file;
  }
  const std::string folder = source + "/checkpoints";
  if (!is_folder(folder)) {
    fail(ErrorKind::checkpoint, source + ": not a run directory: it has no checkpoints; give one that train_gan made");
  }
  CheckpointStore::Loaded loaded = CheckpointStore(folder, 1).newest_valid();
  for (const std::string& warning : loaded.warnings) {
    std::fprintf(stderr, "%s: warning: %s\n", program.c_str(), warning.c_str());
  }
  return std::move(loaded.file);
}

std::vector<std::string> checkpoint_files(const std::string& source) {
  if (!is_folder(source)) return {source};
  std::vector<std::string> files;
  const std::string folder = join_path(source, "checkpoints");
  for (const std::string& name : names_in_folder_if_exists(folder)) files.push_back(join_path(folder, name));
  return files;
}

std::unique_ptr<Trainer> sampler_of(const SafetensorsFile& file, std::optional<Device> device) {
  TrainerOptions options = settings_of_checkpoint(file);
  options.train.device = device;
  options.train.batch_size_d = options.train.batch_size_g = options.train.accumulate = 1;
  const int64_t side = image_side_of(options.model.name);
  ImageSet images{.name = "none", .count = options.train.n_critic, .height = side, .width = side, .channels = 3};
  images.pixels.resize(static_cast<size_t>(images.count * side * side * 3));
  images.labels.resize(static_cast<size_t>(images.count));
  auto trainer = std::make_unique<Trainer>(options, std::move(images));
  is_sparse_export(file) ? restore_compact_generator(file, *trainer) : restore_state(file, *trainer);
  return trainer;
}

}  // namespace poise
