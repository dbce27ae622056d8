#include "apps/run/run_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/console/progress.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"

namespace fs = std::filesystem;

namespace poise {
namespace {

using Json = nlohmann::ordered_json;  // layers stay in the order of the network

double number_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return INFINITY;
  if (value == "-inf") return -INFINITY;
  return NAN;  // null, and "nan" in files of earlier versions
}

double number_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? NAN : number_of(*found);
}

int64_t count_at(const Json& object, const char* key) {
  const double value = number_at(object, key);
  return std::abs(value) < 9e15 ? static_cast<int64_t>(value) : 0;
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string text_of(const std::string& path) { return read_text_if_exists(path, ErrorKind::runtime).value_or(""); }

MaskUpdate mask_update_of(const Json& object, int64_t iteration) {
  MaskUpdate update{.iteration = iteration,
                    .network = text_at(object, "network"),
                    .kind = text_at(object, "kind"),
                    .dropped = count_at(object, "dropped"),
                    .grown = count_at(object, "grown"),
                    .alive = count_at(object, "alive"),
                    .density = number_at(object, "density"),
                    .balance_ratio = number_at(object, "balance_ratio")};
  if (const auto layers = object.find("layers"); layers != object.end() && layers->is_object()) {
    for (const auto& [name, value] : layers->items()) update.layers.emplace_back(name, number_of(value));
  }
  return update;
}

RecordedExecution execution_of(const Json& object, int64_t iteration) {
  return {.iteration = iteration,
          .layer = text_at(object, "layer"),
          .pass = text_at(object, "pass"),
          .execution = text_at(object, "execution"),
          .reason = text_at(object, "reason"),
          .density = number_at(object, "density"),
          .speedup = number_at(object, "speedup")};
}

SpeedComparison speed_of(const Json& object) {
  return {.turns = count_at(object, "turns"),
          .dense_seconds = number_at(object, "dense_seconds"),
          .sparse_seconds = number_at(object, "sparse_seconds"),
          .dense_flops = number_at(object, "dense_flops"),
          .sparse_flops = number_at(object, "sparse_flops"),
          .density_g = number_at(object, "density_g"),
          .density_d = number_at(object, "density_d"),
          .machine = text_at(object, "machine")};
}

void read_lines(const std::string& path, RunRecord& run) {
  std::istringstream lines(text_of(path));
  for (std::string line; std::getline(lines, line);) {
    const bool being_written = lines.eof();  // the line has no end yet
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("iteration") || !object["iteration"].is_number_integer()) {
      run.unread_lines += !being_written;
      continue;
    }
    const int64_t iteration = object["iteration"].get<int64_t>();
    if (object.contains("event")) {
      if (object["event"] == "mask_update") run.updates.push_back(mask_update_of(object, iteration));
      if (object["event"] == "execution") run.executions.push_back(execution_of(object, iteration));
      if (object["event"] == "speed") run.speed = speed_of(object);
      continue;
    }
    for (const auto& [key, value] : object.items()) {
      const bool not_finite = value.is_null() || value == "nan" || value == "inf" || value == "-inf";
      if (key == "iteration" || key == "schema" || !(value.is_number() || not_finite)) continue;
      run.series[key].emplace_back(static_cast<double>(iteration), number_of(value));
    }
  }
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

// Reads what OptionSet::to_toml writes. Does not use the option table, so that reports also work for runs of older and
// newer versions.
std::vector<RecordedOption> read_options(const std::string& path) {
  std::vector<RecordedOption> options;
  std::string group;
  std::istringstream lines(text_of(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('[')) group = line.substr(1, line.find(']') - 1);
    const size_t equals = line.find(" = ");
    if (line.starts_with('#') || line.starts_with('[') || equals == std::string::npos) continue;
    const size_t comment = line.rfind("  # ");
    const bool has_origin = comment != std::string::npos && comment > equals;
    options.push_back({group, trimmed(line.substr(0, equals)),
                       trimmed(line.substr(equals + 3, has_origin ? comment - equals - 3 : std::string::npos)),
                       has_origin ? trimmed(line.substr(comment + 4)) : ""});
  }
  return options;
}

void read_environment(const std::string& path, RunRecord& run) {
  const Json object = Json::parse(text_of(path), nullptr, false);
  if (!object.is_object()) return;
  for (const auto& [key, value] : object.items()) {
    if (key == "schema") continue;
    run.environment.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
}

// Removes the ETA, which is outdated when a record is read later.
std::string without_eta(std::string line) {
  const size_t eta = line.find("  ETA ");
  if (eta != std::string::npos) line.erase(eta, line.find("  ", eta + 2) - eta);
  return line;
}

void read_log(const std::string& path, RunRecord& run) {
  std::istringstream lines(text_of(path));
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    if (run.started.empty()) run.started = line.substr(0, space);
    run.last_written = line.substr(0, space);
    run.last_line = without_eta(line.substr(space + 1));
    if (run.last_line.starts_with("resumed ")) ++run.resumed;
  }
}

// samples/fakes_000250.png
std::vector<std::pair<int64_t, std::string>> find_pictures(const std::string& run) {
  std::vector<std::pair<int64_t, std::string>> pictures;
  for (const std::string& name : names_in_folder_if_exists(run + "/samples")) {
    if (!name.starts_with("fakes_") || !name.ends_with(".png")) continue;
    int64_t iteration = 0;
    const char *first = name.data() + 6, *last = name.data() + name.size() - 4;
    const auto parsed = std::from_chars(first, last, iteration);
    if (parsed.ec == std::errc() && parsed.ptr == last) pictures.emplace_back(iteration, "samples/" + name);
  }
  std::sort(pictures.begin(), pictures.end());
  return pictures;
}

}  // namespace

const Points& RunRecord::of(const std::string& key) const {
  static const Points none;
  const auto found = series.find(key);
  return found == series.end() ? none : found->second;
}

std::string RunRecord::option(const std::string& key) const {
  for (const RecordedOption& option : options) {
    if (option.key != key) continue;
    const std::string& v = option.value;
    return v.size() >= 2 && v.front() == '"' && v.back() == '"' ? v.substr(1, v.size() - 2) : v;
  }
  return "";
}

double RunRecord::last(const std::string& key) const { return of(key).empty() ? NAN : of(key).back().second; }

double RunRecord::at(const std::string& key, double iteration) const {
  double value = NAN;
  for (const auto& [x, y] : of(key))
    if (x <= iteration) value = y;
  return value;
}

std::vector<double> RunRecord::logged_iterations(size_t most) const {
  const Points& logged = of("loss_d");
  const size_t count = std::min(most, logged.size());
  std::vector<double> iterations;
  for (size_t i = 0; i < count; ++i) {
    iterations.push_back(logged[count == 1 ? 0 : i * (logged.size() - 1) / (count - 1)].first);
  }
  return iterations;
}

int64_t RunRecord::last_iteration() const {
  double last = 0;
  for (const auto& [key, points] : series)
    if (!points.empty()) last = std::max(last, points.back().first);
  if (!updates.empty()) last = std::max(last, static_cast<double>(updates.back().iteration));
  if (!pictures.empty()) last = std::max(last, static_cast<double>(pictures.back().first));
  return static_cast<int64_t>(last);
}

bool larger_is_better(const std::string& metric) {
  return metric == "IS" || metric.starts_with("IS-") || metric.starts_with("precision-recall");
}

std::vector<RunRecord::Metric> RunRecord::metrics() const {
  std::vector<Metric> found;
  for (const auto& [key, points] : series) {
    const bool known = larger_is_better(key) || key == "swd" || key.starts_with("frechet-random") ||
                       key.starts_with("FID") || key.starts_with("KID");
    if (known && !points.empty()) found.push_back({key, larger_is_better(key), &points});
  }
  return found;
}

const std::pair<double, double>& RunRecord::Metric::best() const {
  return *std::min_element(points->begin(), points->end(), [this](const auto& a, const auto& b) {
    if (std::isnan(a.second) || std::isnan(b.second)) return !std::isnan(a.second);
    return larger_is_better ? a.second > b.second : a.second < b.second;
  });
}

std::string RunRecord::Metric::text() const {
  const auto& [iteration, value] = best();
  return fmt::format("best {:.5f} at iteration {}, last {:.5f}", value, format_count(std::llround(iteration)),
                     points->back().second);
}

RunRecord read_run(const std::string& path) {
  if (!is_regular_file(path + "/config.toml")) {
    fail(ErrorKind::checkpoint, path + ": not a run directory: it has no config.toml; give one that train_gan made");
  }
  RunRecord run;
  run.path = path;
  std::error_code error;
  run.name = fs::canonical(path, error).filename().string();
  run.options = read_options(path + "/config.toml");
  read_environment(path + "/env.json", run);
  std::vector<std::string> files;
  for (const std::string& name : names_in_folder(path)) {
    if (name.ends_with(".jsonl")) files.push_back(join_path(path, name));
  }
  for (const std::string& file : files) read_lines(file, run);
  const auto earlier = [](const auto& a, const auto& b) { return a.first < b.first; };
  for (auto& [key, points] : run.series) std::stable_sort(points.begin(), points.end(), earlier);
  std::stable_sort(run.updates.begin(), run.updates.end(),
                   [](const MaskUpdate& a, const MaskUpdate& b) { return a.iteration < b.iteration; });
  read_log(path + "/log.txt", run);
  run.pictures = find_pictures(path);
  return run;
}

}  // namespace poise
