#include "models/registry.h"

#include "models/sngan32.h"

namespace poise {
namespace {

GanModel make_sngan32(const ModelOptions& o) {
  return {std::make_unique<Sngan32Generator>(o.width_g, o.latent_size),
          std::make_unique<Sngan32Discriminator>(o.width_d)};
}

struct Entry {
  const char* name;
  GanModel (*make)(const ModelOptions&);
};
constexpr Entry kModels[] = {{"sngan32", make_sngan32}};

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

GanModel make_model(const ModelOptions& options) {
  if (options.width_g < 1 || options.width_d < 1 || options.latent_size < 1) {
    fail(ErrorKind::usage, "model " + options.name + " expects positive widths and latent size but got width_g " +
                               std::to_string(options.width_g) + ", width_d " + std::to_string(options.width_d) +
                               ", latent_size " + std::to_string(options.latent_size));
  }
  std::string known;
  for (const Entry& entry : kModels) {
    if (options.name == entry.name) return entry.make(options);
    known += std::string(known.empty() ? "" : ", ") + entry.name;
  }
  fail(ErrorKind::usage, "unknown model '" + options.name + "'; known models: " + known);
}

}  // namespace poise
