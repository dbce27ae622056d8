#include "apps/options/load_images.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "apps/console/number_list.h"
#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "data/registry.h"
#include "engine/io/cache_folder.h"
#include "models/registry.h"

namespace poise {
namespace {

constexpr double kMoment = 1, kRedrawEvery = 0.1;  // seconds

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string data_folder(const DataOptions& options) {
  if (options.data != "sample") return options.data;
  if (options.dataset != "cifar10") {
    fail(ErrorKind::usage, fmt::format("data: dataset {} has no sample; give its folder with --data ({})",
                                       options.dataset, data_set_facts(options.dataset).where_to_get));
  }
  return shared_folder("cifar10_sample", POISE_SAMPLE_DATA_DIR);
}

ReadProgress reading_bar(const std::string& unit, bool quiet) {
  const ProgressStyle style = style_of(STDERR_FILENO);
  if (quiet || !style.terminal) return {};
  const double started = seconds_now();
  return [=, drawn = 0.0](int64_t done, int64_t total) mutable {
    const double now = seconds_now(), seconds = now - started;
    const bool last = done == total;
    if (seconds < kMoment || (last ? drawn == 0 : now - drawn < kRedrawEvery)) return;
    drawn = now;
    const ProgressView view{
        .iteration = done, .total = total, .it_per_s = static_cast<double>(done) / seconds, .unit = unit.c_str()};
    const int columns = columns_of(STDERR_FILENO);
    const std::string bar = last ? std::string() : progress_bar_line(view, columns, style.colour);
    // Blanks erase the old text; the cursor ends up after the bar, or at the start of an empty line.
    std::fprintf(stderr, "\r%*s\r%s", columns - 1, "", bar.c_str());
  };
}

ImageSet load_images(const Settings& settings, bool quiet) {
  const DataOptions& data = settings.data;
  const int64_t drawn = image_side_of(settings.model.name);
  if (data.image_size != 0 && data.image_size != drawn) {
    fail(ErrorKind::usage,
         fmt::format("image_size: expected {}, the side that model {} draws, or 0 for that but got {}", drawn,
                     settings.model.name, data.image_size));
  }
  ReadOptions options{.split = data.split, .image_size = drawn};
  if (data.data_cache) options.cache_folder = cache_folder().string();
  options.progress = reading_bar("pictures", quiet);
  options.note = [quiet](const std::string& text) {
    if (!quiet || text.starts_with("warning: ")) std::fprintf(stderr, "%s\n", text.c_str());
  };
  ImageSet images = read_images(data.dataset, data_folder(data), options);
  if (data.only_classes != "all") {
    const auto known = static_cast<int64_t>(images.class_names.size());
    keep_classes(images, known > 0 ? parse_classes("only-classes", data.only_classes, known, images.class_names)
                                   : std::vector<int32_t>());
  }
  for (const std::string& warning : images.warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  return images;
}

}  // namespace poise
