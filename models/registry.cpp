#include "models/registry.h"

#include <algorithm>

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
  bool conditional = false;
};
constexpr Entry kModels[] = {{"sngan32", make_sngan32}};

void check_classes(const Entry& entry, int64_t classes) {
  if (entry.conditional ? classes >= 1 : classes == 0) return;
  const std::string name = entry.name, got = " but got " + std::to_string(classes);
  fail(ErrorKind::usage, entry.conditional ? "model " + name + " is conditional: it expects at least 1 class" + got +
                                                 "; set classes to the number of classes of the data set"
                                           : "model " + name + " is not conditional: it expects classes = 0" + got);
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

bool is_conditional(const std::string& name) {
  return std::any_of(std::begin(kModels), std::end(kModels),
                     [&](const Entry& e) { return name == e.name && e.conditional; });
}

GanModel make_model(const ModelOptions& options) {
  if (options.width_g < 1 || options.width_d < 1 || options.latent_size < 1) {
    fail(ErrorKind::usage, "model " + options.name + " expects positive widths and latent size but got width_g " +
                               std::to_string(options.width_g) + ", width_d " + std::to_string(options.width_d) +
                               ", latent_size " + std::to_string(options.latent_size));
  }
  std::string known;
  for (const Entry& entry : kModels) {
    if (options.name == entry.name) {
      check_classes(entry, options.classes);
      return entry.make(options);
    }
    known += std::string(known.empty() ? "" : ", ") + entry.name;
  }
  fail(ErrorKind::usage, "unknown model '" + options.name + "'; known models: " + known);
}

}  // namespace poise
