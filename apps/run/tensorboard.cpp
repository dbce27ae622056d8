#include "apps/run/tensorboard.h"

#include <fmt/format.h>

#include "engine/io/atomic_file.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

constexpr const char* kName = "events.out.tfevents.";

void cut_earlier_files(const std::string& folder, int64_t iteration) {
  for (const std::string& name : names_in_folder(folder)) {
    if (!name.starts_with(kName)) continue;
    const std::string path = folder + "/" + name;
    const std::string events = read_text_if_exists(path, ErrorKind::runtime).value_or("");
    const std::string kept = keep_events_up_to(events, iteration);
    if (kept != events) write_file_atomically(path, kept);
  }
}

// Uses the next free name. Readers take files in the order of their names and follow each as it grows, so an existing
// file is never started over.
EventFile begin_file(const std::string& folder, int64_t iteration) {
  if (iteration > 0) cut_earlier_files(folder, iteration);
  for (int number = 0;; ++number) {
    const std::string path = fmt::format("{}/{}{:010}.{}", folder, kName, iteration, number);
    if (!path_exists(path)) return EventFile(path);
  }
}

}  // namespace

TensorBoardLog::TensorBoardLog(const std::string& folder, int64_t iteration) : file_(begin_file(folder, iteration)) {
  if (iteration == 0) return;
  file_.restart(iteration + 1);
  earlier_ = iteration;
}

void TensorBoardLog::line(const std::string& group, const std::vector<JsonField>& fields) {
  std::vector<std::pair<std::string, double>> values;
  int64_t iteration = 0;
  for (const auto& [key, value] : fields) {
    if (key == "iteration") {
      iteration = std::get<int64_t>(value);
    } else if (const auto* real = std::get_if<double>(&value)) {
      values.emplace_back(group + "/" + key, *real);
    } else if (const auto* integer = std::get_if<int64_t>(&value); integer && key != "schema") {
      values.emplace_back(group + "/" + key, static_cast<double>(*integer));
    }
  }
  file_.scalars(iteration, values);
}

void TensorBoardLog::masks(const MaskEvent& event) {
  if (event.layers.empty()) return;
  const std::string group = event.network == "G" ? "density_g" : "density_d";
  std::vector<std::pair<std::string, double>> values;
  std::vector<double> densities;
  for (const auto& [layer, density] : event.layers) {
    values.emplace_back(group + "/" + layer, density);
    densities.push_back(density);
  }
  file_.scalars(event.iteration, values);
  file_.shares(event.iteration, group, densities);
}

void TensorBoardLog::picture(const std::string& name, int64_t iteration, const std::string& path) {
  const auto shown = shown_.try_emplace(name, earlier_).first;
  if (iteration <= shown->second) return;
  if (const auto png = read_text_if_exists(path, ErrorKind::runtime)) file_.picture(iteration, name, *png);
  shown->second = iteration;
}

}  // namespace poise
