#include "apps/programs/sweep_gan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "apps/console/flag_reader.h"
#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/evaluation/networks.h"
#include "apps/options/option_sources.h"
#include "apps/programs/evaluation_request.h"
#include "apps/run/run_directory.h"
#include "apps/sweep/sweep_scheduler.h"
#include "apps/sweep/sweep_summary.h"
#include "engine/io/message.h"
#include "engine/io/system_file.h"
#include "engine/io/user_path.h"

namespace poise {
namespace {

constexpr int kStopped = 75;  // as in train_gan: run again to continue

const char* kExamples = R"(Examples:
  sweep_gan sweeps/density --preset tiny --vary method=static,sdst-rigl --vary density_g=0.1,0.3 --seeds 1,2
  sweep_gan sweeps/cells --config cells.toml --data ~/cifar-10-batches-bin --threads 8 --threads-per-run 2
  sweep_gan sweeps/cells                          continues what was interrupted, with what it was told before
  sweep_gan sweeps/cells --seeds 1,2,3            trains the third seed, too
  sweep_gan sweeps/cells --summary                only writes the summary of what is finished

FOLDER gets the runs and summary.md, .json and .html. Whatever ends the program, the same command continues: runs from
their checkpoints, and none that is finished is repeated. Failed runs are tried again.
Exit codes: 0 all finished, 1 some failed, 75 stopped by a signal after the runs had saved; others as train_gan.)";

CommandLineSpec command_line_spec() {
  using Kind = Flag::Kind;
  CommandLineSpec spec{.description = "Trains a grid over options and seeds, and compares what comes out.",
                       .flags = {},
                       .positional = "folder",
                       .positional_help = "of the sweep: made, or continued",
                       .footer = kExamples};
  spec.flags = {
      {"--threads", Kind::value, "N", "all runs together (those of the machine)", "Sweep"},
      {"--threads-per-run", Kind::value, "N", "of each; so many fit in side by side (1)", "Sweep"},
      {"--summary", Kind::on, "", "write the summary of what is finished, and exit", "Sweep"},
      {"--dry-run", Kind::on, "", "check all options, print the runs and how far they are, and exit", "Sweep"},
      {"-q,--quiet", Kind::on, "", "no progress", "Sweep"},
      {"--version", Kind::on, "", "print the version and exit", "Sweep"},
  };
  for (const Flag& flag : sweep_plan_flags()) spec.flags.push_back(flag);
  return spec;
}

// Makes options from environment variables part of a new sweep, so that it can be continued without them.
void take_environment(SweepPlan& plan) {
  OptionSet options;
  read_options_environment(environ, options);
  for (const Option& option : option_table()) {
    const auto same = [&](const auto& assigned) { return assigned.first == option.key; };
    if (option.on_resume != OnResume::fixed || !options.origin(option.key).starts_with("environment ")) continue;
    if (std::none_of(plan.options.begin(), plan.options.end(), same))
      plan.options.emplace_back(option.key, value_of(options.settings(), option));
  }
}

// The plan of --config, or else of the folder, overridden by flags.
SweepPlan plan_of(const CommandLine& args, const std::string& folder, Problems& problems) {
  SweepPlan plan;
  const std::string stored = folder + "/sweep.toml";
  if (args.has("config"))
    plan = read_sweep_plan(args.get("config", ""), problems);
  else if (is_regular_file(stored))
    plan = read_sweep_plan(stored, problems);
  else if (!args.has("vary"))
    fail(ErrorKind::usage,
         folder + ": there is no sweep here to continue; a new one takes --vary KEY=A,B or --config FILE");
  if (!is_regular_file(stored)) take_environment(plan);
  read_sweep_flags(args, plan, problems);
  return plan;
}

// Adds a problem unless the path exists or names the bundled sample.
void check_path(const char* option, const std::string& path, Problems& problems) {
  if (path.empty() || path == "sample" || path_exists(expand_home(path))) return;
  problems.push_back(fmt::format("{}: {}: there is no such file or folder", option, path));
}

// Checks the arguments now, since errors would otherwise show only after the first run is trained.
void check_evaluation(const std::string& evaluation, Problems& problems) {
  std::vector<std::string> words = {"evaluate_gan", "RUN"};
  for (const std::string& word : evaluation_words(evaluation, problems)) words.push_back(word);
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  try {
    const EvaluationRequest request = evaluation_request_of(
        parse_command_line(evaluation_command_line(), static_cast<int>(argv.size()), argv.data()), false);
    check_path("--reference", request.reference, problems);
    check_path("--inception", request.inception, problems);
    for (const std::string& name : request.metrics) {
      const FeatureMetric metric = *find_feature_metric(name);
      if (!metric.random) inception_weights_for(metric, request.inception);
    }
  } catch (const Error& error) {
    problems.push_back(fmt::format("evaluate \"{}\": {}", evaluation, error.what()));
  }
}

// Checks that the data exist, since every run that needs them would fail.
void check_data(const SweepFolder& folder) {
  Problems problems;
  std::set<std::string> seen;
  for (const SweepRun& run : folder.runs()) {
    const std::string& data = run.options.settings().data.data;
    if (seen.insert(data).second) check_path("data", data, problems);
  }
  throw_if_problems(problems, " with the sweep");
}

// Prints each warning once, with the first run it applies to unless it applies to all. Skips warnings about shared
// options that apply to some runs only: such an option has no effect on these runs, but is meant for others.
void print_warnings(const SweepFolder& folder) {
  std::map<std::string, size_t> counts;
  for (const SweepRun& run : folder.runs())
    for (const std::string& warning : run.options.warnings()) ++counts[warning];
  for (const SweepRun& run : folder.runs()) {
    for (const std::string& warning : run.options.warnings()) {
      const size_t count = std::exchange(counts[warning], 0);
      const bool of_all = count == folder.runs().size(), shared = warning.ends_with("[file options.toml]");
      if (count == 0 || (shared && !of_all)) continue;
      std::fprintf(stderr, "sweep_gan: warning: %s%s\n", of_all ? "" : (run.name + ": ").c_str(), warning.c_str());
    }
  }
}

std::string runs_text(const SweepFolder& folder) {
  std::string text;
  for (const SweepRun& run : folder.runs()) {
    const RunState state = folder.state(run);
    text += fmt::format("{:<48} {:>8} of {} iterations{}\n", run.name, state.iteration,
                        run.options.settings().train.iterations, state.finished() ? ", finished" : "");
  }
  return text + fmt::format("{} of {}\n", counted(static_cast<int64_t>(folder.runs().size()), "run"),
                            counted(static_cast<int64_t>(folder.cells().size()), "combination"));
}

int write_summary(const SweepFolder& folder) {
  write_sweep_summary(folder);
  const SweepResults results = collect_results(folder);
  for (const std::string& line : incomparable_runs(results))
    std::fprintf(stderr, "sweep_gan: warning: %s\n", line.c_str());
  std::string text = sweep_state_text(results) + "\n";
  for (const char* name : {"md", "json", "html"})
    text += fmt::format("summary     {}/summary.{}\n", folder.path(), name);
  print_result(text);
  return 0;
}

int sweep_gan(int argc, const char* const* argv) {
  const CommandLine args = parse_command_line(command_line_spec(), argc, argv);
  if (args.wants_help) return print_result(args.help), 0;
  if (args.has("version")) return print_result(version_line("sweep_gan") + "\n"), 0;

  FlagReader reader(args);
  const std::string path = expand_home(reader.positional("expected a folder for the sweep; give one, as sweeps/first"));
  SweepSchedule schedule{.programs = program_folder(),
                         .threads = reader.integer("threads", thread_count(), 1, kMostThreads),
                         .threads_per_run = reader.integer("threads-per-run", 1, 1, kMostThreads),
                         .quiet = args.has("quiet")};
  if (schedule.threads_per_run > schedule.threads && args.has("threads")) {
    reader.add_problem(fmt::format("--threads-per-run: expected at most --threads {} but got {}", schedule.threads,
                                   schedule.threads_per_run));
  }
  Problems problems;
  const SweepPlan plan = plan_of(args, path, problems);
  if (!args.has("summary")) {  // the summary evaluates nothing
    for (const std::string& evaluation : plan.evaluations) check_evaluation(evaluation, problems);
  }
  const std::vector<SweepCell> cells = cells_of(plan, problems);
  for (const std::string& problem : problems) reader.add_problem(problem);
  reader.throw_if_problems();

  const SweepFolder folder(path, plan, cells);
  folder.check();
  if (args.has("summary")) return write_summary(folder);
  check_data(folder);
  print_warnings(folder);
  if (args.has("dry-run")) return print_result(runs_text(folder)), 0;
  for (const char* program : {"train_gan", "evaluate_gan"}) {
    if (!is_regular_file(schedule.programs + "/" + program)) {
      fail(ErrorKind::environment,
           fmt::format("{}/{}: not there; build it, sweep_gan runs it", schedule.programs, program));
    }
  }
  const SweepEnd end = run_sweep(folder, schedule);
  write_summary(folder);
  if (end == SweepEnd::stopped) {
    print_result(fmt::format("continue with: {} {}\n", shell_word(argv[0]), shell_word(path)));
    return kStopped;
  }
  return end == SweepEnd::finished ? 0 : static_cast<int>(ErrorKind::runtime);
}

}  // namespace

int run_sweep_gan(int argc, const char* const* argv) {
  return run_program("sweep_gan", [&] { return sweep_gan(argc, argv); });
}

}  // namespace poise
