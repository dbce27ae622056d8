#include "apps/sweep/sweep_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "apps/run/run_log.h"
#include "apps/run/run_record.h"
#include "apps/run/run_settings.h"
#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kFailed = "sweep_gan: failed: ";

std::string text_of(const std::string& path) { return read_text_if_exists(path, ErrorKind::runtime).value_or(""); }

// The options as train_gan will see them: preset, environment (without variables for options in options.toml),
// options.toml, and the cell's values on its command line.
OptionSet options_of_run(const SweepPlan& plan, const SweepCell& cell, int64_t seed) {
  OptionSet options;
  if (!plan.preset.empty()) read_options_preset(plan.preset, options);
  read_options_environment(environ, options);
  for (const auto& [key, value] : plan.options) options.set(key, value, "file options.toml");
  for (const auto& [key, value] : cell.values) options.set(key, value, "command line, " + cell.label);
  options.set("seed", seed, "seeds");
  complete_data_set(options);
  complete_options(options);
  return options;
}

// The last line that is not empty, and the one before it.
std::pair<std::string, std::string> last_lines(const std::string& path) {
  std::istringstream stream(text_of(path));
  std::string last, before;
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) continue;
    before = last;
    last = line;
  }
  return {last, before};
}

std::string failure_in(const std::string& output) {
  const auto [last, before] = last_lines(output);
  if (!last.starts_with(kFailed)) return "";
  const std::string reason = before.empty() ? last.substr(std::string(kFailed).size()) : before;
  const size_t error = reason.find("error: ");
  return error == std::string::npos ? reason : reason.substr(error + 7);
}

std::string evaluations_path(const std::string& folder, const SweepRun& run) {
  return folder + "/evaluations/" + run.name + ".json";
}

Json read_evaluations(const std::string& path) {
  Json all = Json::parse(text_of(path), nullptr, /*allow_exceptions=*/false);
  return all.is_object() ? all : Json::object();
}

void read_results(const Json& all, const std::string& evaluation, int64_t iteration, RunState& state) {
  const auto found = all.find(evaluation);
  if (found == all.end() || found->value("iteration", int64_t{-1}) != iteration) {
    return state.unevaluated.push_back(evaluation);
  }
  state.evaluation_seconds += found->value("seconds", 0.0);
  for (const Json& record : found->value("results", Json::array())) {
    const Json value = record.value("value", Json());
    state.results.push_back({.evaluation = evaluation,
                             .metric = record.value("metric", ""),
                             .value = value.is_number() ? value.get<double>() : NAN,
                             .json = record.dump()});
  }
}

}  // namespace

SweepFolder::SweepFolder(const std::string& path, const SweepPlan& plan, const std::vector<SweepCell>& cells)
    : path_(path), plan_(plan), cells_(cells) {
  size_t most = 0;
  for (const SweepCell& cell : cells_) most = std::max(most, cell.seeds.size());
  for (size_t k = 0; k < most; ++k) {
    for (size_t i = 0; i < cells_.size(); ++i) {
      const SweepCell& cell = cells_[i];
      if (k >= cell.seeds.size()) continue;
      runs_.push_back({.cell = i,
                       .seed = cell.seeds[k],
                       .name = fmt::format("{}-seed{}", cell.label, cell.seeds[k]),
                       .options = options_of_run(plan_, cell, cell.seeds[k])});
    }
  }
}

void SweepFolder::check() const {
  Problems problems;
  for (const SweepRun& run : runs_) {  // runs may share a problem, which is reported once
    for (const std::string& problem : run.options.problems()) {
      if (std::find(problems.begin(), problems.end(), problem) == problems.end()) problems.push_back(problem);
    }
    if (run.name.size() > 90) {
      problems.push_back(run.name +
                         ": too long for a name; vary less in one grid, and give what all runs share under "
                         "[options]");
    }
  }
  throw_if_problems(problems, " with the sweep");
  for (const SweepRun& run : runs_) {
    const std::string directory = directory_of(run);
    if (directory.empty()) continue;
    const OptionSet stored = stored_options(directory);
    for (const Option& option : option_table()) {
      const Value was = value_of(stored.settings(), option), now = value_of(run.options.settings(), option);
      const bool classes = option.key == "classes" && now == Value(int64_t{0});  // was set from the data
      if (option.on_resume != OnResume::fixed || was == now || classes) continue;
      fail(ErrorKind::checkpoint,
           fmt::format("{}: {} is {} there but {} in the sweep; give the sweep another folder, or remove that run",
                       directory, option.key, to_toml(was), to_toml(now)));
    }
  }
}

void SweepFolder::write_plan() const {
  for (const char* name : {"runs", "output", "evaluations"}) make_folders(path_ + "/" + name);
  write_file_atomically(
      path_ + "/sweep.toml",
      "# What sweep_gan trains in this folder. To continue: sweep_gan FOLDER\n" + poise::to_toml(plan_));
  std::string text, group;
  for (const Option& option : option_table()) {
    for (const auto& [key, value] : plan_.options) {
      if (key != option.key) continue;
      if (option.group != group) text += "[" + option.group + "]\n";
      group = option.group;
      text += key + " = " + poise::to_toml(value) + "\n";
    }
  }
  write_file_atomically(path_ + "/options.toml", text);
}

// "NNNNN-LABEL-seedN".
std::string SweepFolder::directory_of(const SweepRun& run) const {
  std::string found;
  for (const std::string& name : names_in_folder_if_exists(path_ + "/runs")) {
    const size_t digits = name.find_first_not_of("0123456789");
    if (digits == std::string::npos || digits < 5 || name.substr(digits) != "-" + run.name) continue;
    found = path_ + "/runs/" + name;
  }
  return found;
}

RunState SweepFolder::state(const SweepRun& run) const {
  RunState state{.directory = directory_of(run), .failure = failure_in(output_of(run))};
  if (state.directory.empty()) {
    state.unevaluated = plan_.evaluations;
    return state;
  }
  const RunRecord record = read_run(state.directory);
  const Points& logged = record.of("loss_d");
  state.iteration = logged.empty() ? 0 : std::llround(logged.back().first);
  state.seconds = logged.empty() ? 0 : record.last("seconds");
  state.trained =
      record.last_line == finished_line(state.iteration) && state.iteration >= run.options.settings().train.iterations;
  const Json evaluations = read_evaluations(evaluations_path(path_, run));
  for (const std::string& evaluation : plan_.evaluations) read_results(evaluations, evaluation, state.iteration, state);
  return state;
}

std::vector<std::string> SweepFolder::training_arguments(const SweepRun& run, const std::string& directory,
                                                         int64_t threads) const {
  std::vector<std::string> words;
  const auto set = [&](const std::string& key, const Value& value) {
    words.insert(words.end(), {"--set", key + "=" + value_text(value)});
  };
  if (directory.empty()) {
    if (!plan_.preset.empty()) words.insert(words.end(), {"--preset", plan_.preset});
    words.insert(words.end(), {"--config", path_ + "/options.toml"});
    for (const auto& [key, value] : cells_[run.cell].values) set(key, value);
    words.insert(words.end(),
                 {"--seed", fmt::format("{}", run.seed), "--runs", path_ + "/runs", "--name", cells_[run.cell].label});
  } else {
    words = {"--resume", directory};
    const OptionSet stored = stored_options(directory);
    for (const Option& option : option_table()) {
      const Value now = value_of(run.options.settings(), option);
      const bool free = option.on_resume == OnResume::free && option.key != "threads";
      if (free && now != value_of(stored.settings(), option)) set(option.key, now);
    }
  }
  words.insert(words.end(), {"--threads", fmt::format("{}", threads), "--quiet"});
  return words;
}

SweepFolder::Variables SweepFolder::training_environment() const {
  Variables variables;
  for (const auto& [key, value] : plan_.options) variables.emplace_back(find_option(key)->environment(), "");
  return variables;
}

void SweepFolder::write_failure(const SweepRun& run, const std::string& what) const {
  std::ofstream(output_of(run), std::ios::app) << kFailed << what << "\n";
}

void SweepFolder::write_evaluation(const SweepRun& run, const std::string& evaluation, int64_t iteration,
                                   double seconds, const std::string& lines) const {
  Json results = Json::array();
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    const Json record = Json::parse(line, nullptr, false);
    if (!record.is_object() || !record.contains("metric") || !record.contains("value")) {
      fail(ErrorKind::runtime, "evaluate_gan: expected JSON with metric and value but got " + in_quotes(line));
    }
    results.push_back(record);
  }
  const std::string path = evaluations_path(path_, run);
  Json all = read_evaluations(path);
  all[evaluation] = {{"iteration", iteration}, {"seconds", seconds}, {"results", results}};
  write_file_atomically(path, all.dump(1) + "\n");
}

}  // namespace poise
