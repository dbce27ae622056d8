#include "apps/run/run_settings.h"

#include "apps/options/option_sources.h"
#include "engine/io/message.h"
#include "engine/io/system_file.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

std::string config_of(const std::string& run) { return join_path(run, "config.toml"); }

}  // namespace

std::string run_of(const std::string& source) {
  if (is_folder(source)) return is_folder(join_path(source, "checkpoints")) ? source : "";
  const std::string run = split_path(split_path(source).folder).folder;
  const std::string above = split_path(source).folder == "." ? ".." : run;
  return is_regular_file(config_of(above)) ? above : "";
}

OptionSet stored_options(const std::string& run) {
  if (!is_regular_file(config_of(run))) {
    fail(ErrorKind::checkpoint, run + ": no run directory: it has no config.toml; give one that train_gan made");
  }
  OptionSet options;
  read_options_file(config_of(run), config_of(run), options);
  return options;
}

}  // namespace poise
