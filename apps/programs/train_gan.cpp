#include "apps/programs/train_gan.h"

#include <unistd.h>

#include "apps/console/command_line.h"
#include "apps/console/program.h"
#include "apps/console/suggestion.h"
#include "apps/console/together.h"
#include "apps/options/complete_options.h"
#include "apps/options/option_flags.h"
#include "apps/options/option_sources.h"
#include "apps/programs/training_run.h"
#include "apps/run/run_settings.h"
#include "engine/io/user_path.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

const char* kUsage = R"(train_gan trains a GAN, dense or sparse.

  train_gan --preset demo                        a sparse GAN in two minutes, from images that come with Poise
  train_gan --preset tiny --data my_pictures     your own pictures
  train_gan --preset cifar10-sngan32-ddst-strict --data ~/cifar-10-batches-bin --dry-run
                                                 what a run of the paper takes, in hours
  train_gan --resume runs/latest                 continue a run
  train_gan --help                               all presets and flags
)";

const char* kExamples = R"(Examples:
  train_gan --preset tiny                        learns from the bundled images in minutes
  train_gan --preset cifar10-sngan32-dense --data ~/cifar-10-batches-bin --dry-run
  train_gan --resume runs/latest --iterations 2000

Every option can also stand in a file (--config), in the environment (POISE_WIDTH_G=64) or after --set (width_g=64).
Precedence: defaults < preset < file < environment < command line; --print-config shows what came from where.
Exit codes: 0 done, 1 run-time failure, 2 usage, 3 environment, 4 data, 5 checkpoint, 7 another rank
failed, 75 stopped after saving.

Several processes train together if they are started so, each on its share of every batch:
  mpirun -n 4 train_gan --preset cifar10-sngan32-dense --data ~/cifar-10-batches-bin)";

CommandLineSpec command_line_spec() {
  using Kind = Flag::Kind;
  CommandLineSpec spec;
  spec.description = "Trains a GAN. Presets: " + join_alternatives(preset_names()) + ".";
  spec.flags = {
      {"--preset", Kind::once, "NAME", "start from a preset", "Run"},
      {"--config", Kind::list, "FILE", "options from a TOML file; may be repeated", "Run"},
      {"--set", Kind::list, "KEY=VALUE", "set one option; may be repeated", "Run"},
      {"--resume", Kind::once, "RUN_DIR", "continue a run, bit for bit", "Run"},
      {"--print-config", Kind::on, "", "print every option with its origin and exit", "Run"},
      {"--dry-run", Kind::on, "", "print what the run would compute, need and write, and exit", "Run"},
      {"--no-graph", Kind::on, "", "short for --graph false", "Run"},
      {"-q,--quiet", Kind::on, "", "no progress", "Run"},
      {"--version", Kind::on, "", "print the version and exit", "Run"},
  };
  for (const Flag& flag : option_flags({})) spec.flags.push_back(flag);
  spec.footer = kExamples;
  return spec;
}

OptionSet options_of_new_run(const CommandLine& args) {
  OptionSet options = options_of(args);
  complete_data_set(options);
  complete_options(options);
  return options;
}

// The options stored with a run, overridden by those of environment and command line, as far as these may change.
OptionSet options_of_resumed_run(const CommandLine& args, const std::string& run) {
  const OptionSet stored = stored_options(run);
  OptionSet options = stored;
  for (const std::string& problem : args.problems) options.add_problem(problem);
  for (const char* name : {"preset", "config"}) {
    if (args.has(name))
      options.add_problem("--" + std::string(name) + " cannot be combined with --resume: the run has its options");
  }
  read_options_environment(environ, options, OnResume::settled);
  read_option_flags(args, options);
  std::vector<std::string> free;
  for (const Option& option : option_table())
    if (option.on_resume == OnResume::free) free.push_back(option.key);
  for (const Option& option : option_table()) {
    const Value was = value_of(stored.settings(), option), now = value_of(options.settings(), option);
    if (option.on_resume == OnResume::free || was == now) continue;
    options.add_problem(option.key + ": the run has " + to_toml(was) + " but got " + to_toml(now) +
                        "; a resumed run may only change " + join_alternatives(free) + " [" +
                        options.origin(option.key) + "]");
  }
  warn_of_schedules(options, stored.settings());
  return options;
}

// The request for a run; nothing if the command line only asks for text, which has been printed.
std::optional<RunRequest> request_of(const CommandLine& args, bool prints) {
  const auto answer = [&](const std::string& text) {
    if (prints) print_result(text);
    return std::nullopt;
  };
  if (args.wants_help) return answer(args.help);
  if (args.has("version")) return answer(version_line("train_gan") + "\n");
  RunRequest request;
  request.resume = expand_home(args.get("resume", ""));
  request.options = args.has("resume") ? options_of_resumed_run(args, request.resume) : options_of_new_run(args);
  request.options.throw_if_problems();
  if (args.has("print-config")) return answer(request.options.to_toml(true));
  return request;
}

int train_gan(int argc, const char* const* argv, Ranks* ranks) {
  if (argc <= 1) return std::fputs(kUsage, stderr), static_cast<int>(ErrorKind::usage);
  CommandLine args;
  std::optional<RunRequest> asked;
  const auto failed = fails_together(ranks, [&] {
    args = parse_command_line(command_line_spec(), argc, argv);
    asked = request_of(args, is_first(ranks));
  });
  if (failed) return *failed;
  if (!asked) return 0;
  RunRequest& request = *asked;
  request.ranks = ranks;
  const Settings& settings = request.options.settings();
  request.label = !settings.output.name.empty() ? settings.output.name : args.get("preset", settings.model.name);
  request.program = argc > 0 ? argv[0] : "train_gan";
  request.quiet = args.has("quiet");
  request.dry_run = args.has("dry-run");
  return run_training(std::move(request));
}

}  // namespace

int run_train_gan(int argc, const char* const* argv) {
  return run_together("train_gan", argv, [&](Ranks* ranks) { return train_gan(argc, argv, ranks); });
}

}  // namespace poise
