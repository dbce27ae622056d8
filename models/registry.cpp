#include "models/registry.h"

#include "models/biggan.h"
#include "models/dcgan.h"
#include "models/sngan.h"

namespace poise {
namespace {

using Options = ModelOptions;
constexpr DisBlockKind kFirst = DisBlockKind::first, kDown = DisBlockKind::down, kPlain = DisBlockKind::plain;

GanModel make_sngan32_with(const Options& o, DisHead head) {
  const int64_t g = o.width_g, d = o.width_d;
  const std::vector<DisStage> stages = {{d, kFirst}, {d, kDown}, {d, kPlain}, {d, kPlain}};
  return {std::make_unique<SnganGenerator>(4, std::vector{g, g, g, g}, o.latent_size),
          std::make_unique<SnganDiscriminator>(stages, head)};
}
GanModel make_sngan32(const Options& o) { return make_sngan32_with(o, DisHead::sum_without_bias); }
GanModel make_sngan32_resnet(const Options& o) { return make_sngan32_with(o, DisHead::mean_with_bias); }

// D doubles its channels at each of five blocks.
GanModel make_sngan_with(const Options& o, int64_t bottom, const std::vector<int64_t>& channels) {
  const int64_t d = o.width_d;
  const std::vector<DisStage> stages = {{d, kFirst}, {2 * d, kDown}, {4 * d, kDown}, {8 * d, kDown}, {16 * d, kDown}};
  return {std::make_unique<SnganGenerator>(bottom, channels, o.latent_size),
          std::make_unique<SnganDiscriminator>(stages, DisHead::mean_with_bias)};
}
GanModel make_sngan48(const Options& o) {
  const int64_t g = o.width_g;
  return make_sngan_with(o, 6, {8 * g, 4 * g, 2 * g, g});
}
GanModel make_sngan64(const Options& o) {
  const int64_t g = o.width_g;
  return make_sngan_with(o, 4, {16 * g, 8 * g, 4 * g, 2 * g, g});
}

GanModel make_dcgan32(const Options& o) {
  return {std::make_unique<DcganGenerator>(o.width_g, o.latent_size), std::make_unique<DcganDiscriminator>(o.width_d)};
}

GanModel make_biggan32(const Options& o) {
  return {std::make_unique<BigGan32Generator>(o.width_g, o.latent_size, o.classes),
          std::make_unique<BigGan32Discriminator>(o.width_d, o.classes)};
}

GanModel make_biggan64(const Options& o) {
  constexpr int64_t kAttentionDivides = 8, kChunks = BigGan64Generator::kChunks;
  if (o.width_g % kAttentionDivides != 0 || o.width_d % kAttentionDivides != 0 || o.latent_size % kChunks != 0) {
    fail(ErrorKind::usage, "model biggan64 expects width_g and width_d that are multiples of " +
                               std::to_string(kAttentionDivides) + " and a latent_size that is a multiple of " +
                               std::to_string(kChunks) + ", as 100, but got width_g " + std::to_string(o.width_g) +
                               ", width_d " + std::to_string(o.width_d) + ", latent_size " +
                               std::to_string(o.latent_size));
  }
  return {std::make_unique<BigGan64Generator>(o.width_g, o.latent_size, o.classes),
          std::make_unique<BigGan64Discriminator>(o.width_d, o.classes)};
}

// A model's name, builder, image side, and the sizes in which the papers train it.
struct Entry {
  const char* name;
  GanModel (*make)(const Options&);
  int64_t image_side;
  int64_t width_g, width_d, latent_size;
  int64_t classes = 0;  // > 0: conditional
};
constexpr Entry kModels[] = {
    {"sngan32", make_sngan32, 32, 256, 128, 128},     {"sngan32-resnet", make_sngan32_resnet, 32, 256, 128, 128},
    {"sngan48", make_sngan48, 48, 64, 64, 128},       {"sngan64", make_sngan64, 64, 64, 64, 128},
    {"dcgan32", make_dcgan32, 32, 64, 64, 128},       {"biggan32", make_biggan32, 32, 256, 256, 128, 10},
    {"biggan64", make_biggan64, 64, 80, 80, 100, 200}};

const Entry& entry_of(const std::string& name) {
  std::string known;
  for (const Entry& entry : kModels) {
    if (name == entry.name) return entry;
    known += std::string(known.empty() ? "" : ", ") + entry.name;
  }
  fail(ErrorKind::usage, "unknown model '" + name + "'; known models: " + known);
}

void check_classes(const Entry& entry, int64_t classes) {
  if (entry.classes > 0 ? classes >= 1 : classes == 0) return;
  const std::string name = entry.name, got = " but got " + std::to_string(classes);
  fail(ErrorKind::usage, entry.classes > 0 ? "model " + name + " is conditional: it expects at least 1 class" + got +
                                                 "; set classes to the number of classes of the data set"
                                           : "model " + name + " is not conditional: it expects classes = 0" + got);
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

int64_t image_side_of(const std::string& model) { return entry_of(model).image_side; }

ModelOptions published_model(const std::string& name) {
  const Entry& entry = entry_of(name);
  return {.name = name,
          .width_g = entry.width_g,
          .width_d = entry.width_d,
          .latent_size = entry.latent_size,
          .classes = entry.classes};
}

GanModel make_model(const ModelOptions& options) {
  if (options.width_g < 1 || options.width_d < 1 || options.latent_size < 1) {
    fail(ErrorKind::usage, "model " + options.name + " expects positive widths and latent size but got width_g " +
                               std::to_string(options.width_g) + ", width_d " + std::to_string(options.width_d) +
                               ", latent_size " + std::to_string(options.latent_size));
  }
  const Entry& entry = entry_of(options.name);
  check_classes(entry, options.classes);
  return entry.make(options);
}

}  // namespace poise
