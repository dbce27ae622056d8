#include "apps/programs/inspect_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/console/flag_reader.h"
#include "apps/console/program.h"
#include "apps/console/suggestion.h"
#include "apps/options/complete_options.h"
#include "apps/options/load_images.h"
#include "apps/options/option_flags.h"
#include "apps/options/option_sources.h"
#include "apps/programs/doctor_command.h"
#include "apps/programs/export_command.h"
#include "apps/programs/picture_commands.h"
#include "apps/report/band_advice.h"
#include "apps/report/flop_table.h"
#include "apps/report/html_report.h"
#include "apps/report/run_summary.h"
#include "data/verify.h"

namespace poise {
namespace {

const char* kOverview = R"(Looks at training runs, what they would cost and what they did, and at data sets.

  inspect_run flops --preset NAME [...]   multiply-adds of a training: per layer, iteration, and in all
  inspect_run flops RUN_DIR               the same of a run, with the densities it had
  inspect_run report RUN_DIR              writes report.html: figures, samples, options, on one page
  inspect_run summary RUN_DIR             the same in a few lines of text
  inspect_run calibrate-band RUN_DIR      a band of the balance ratio for DDST and DDA, from a short pilot run
  inspect_run compare RUN_DIR RUN_DIR ..  several runs on one page
  inspect_run masks RUN_DIR -o FILE       pictures of the masks over time
  inspect_run export RUN_DIR -o FILE      a network for PyTorch, as ONNX, or without its zeros
  inspect_run verify-data DIR --dataset NAME   are the files of a data set whole, and what was published?
  inspect_run doctor                      would training work on this machine, and if not, what to do?

inspect_run COMMAND --help says more; --version prints the version.
)";

const char* kFlopsFooter = R"(Examples:
  inspect_run flops --preset cifar10-sngan32-static --density-g 0.1 --density-d 0.1 --convention published
  inspect_run flops --preset cifar10-sngan32-ddst-relaxed --density-g 0.2 --cell 16x16 --json
  inspect_run flops runs/latest

Conventions: full counts what the steps do; reference-once what the papers' code counts, published the same with its
double n_critic, for comparison with the papers' tables. A plan has the densities that are known in
advance: those at the start, lowered as a method that prunes will lower them; of a run the densities that it recorded are
counted. Densities with method dense mean static. mac_per_image in JSON is dense: forward multiply-adds of one image.)";

CommandLineSpec flops_spec() {
  using Kind = Flag::Kind;
  CommandLineSpec spec = {.description = "Counts the multiply-adds of a training, planned or recorded.",
                          .positional = "run",
                          .positional_help = "a run directory: count what it did",
                          .footer = kFlopsFooter};
  spec.flags = {
      {"--preset", Kind::once, "NAME", "plan from a preset: " + join_alternatives(preset_names()), "Count"},
      {"--config", Kind::list, "FILE", "options from a TOML file; may be repeated", "Count"},
      {"--set", Kind::list, "KEY=VALUE", "set one option; may be repeated", "Count"},
      {"--convention", Kind::value, "NAME", join_alternatives(names_of<FlopConvention>()) + " (full)", "Count"},
      {"--json", Kind::on, "", "one JSON object", "Count"}};
  for (const Flag& flag : option_flags({"model", "train", "sparse"})) spec.flags.push_back(flag);
  return spec;
}

// Densities without a method mean static masks.
OptionSet planned_options(const CommandLine& args) {
  OptionSet options = options_of(args);
  const SparseOptions& s = options.settings().sparse;
  if (s.method == "dense" && (s.density_g != 1 || s.density_d != 0)) options.set("method", "static", "densities");
  complete_options(options);
  return options;
}

FlopRequest flop_request(const CommandLine& args) {
  FlopRequest request;
  FlagReader reader(args);
  request.convention = named<FlopConvention>(reader.choice("convention", names_of<FlopConvention>()))
                           .value_or(request.convention);  // recorded as a problem
  if (args.positional.empty()) {
    OptionSet options = planned_options(args);
    for (const std::string& problem : reader.problems()) options.add_problem(problem);
    options.throw_if_problems();
    request.settings = options.settings();
    request.title = args.get("preset", request.settings.model.name);
    return request;
  }
  for (const auto& [name, values] : args.values) {
    if (name != "convention" && name != "json")
      reader.add_problem("--" + name + " cannot be combined with a run: it has its options");
  }
  reader.throw_if_problems();
  request.run = read_run(reader.positional(""));
  request.settings = settings_of_run(*request.run);
  request.title = request.run->name;
  return request;
}

int flops(const CommandLine& args) {
  const FlopRequest request = flop_request(args);
  print_result(args.has("json") ? flop_json(request) : flop_text(request));
  return 0;
}

CommandLineSpec run_spec(const char* description) {
  return {.description = description,
          .flags = {},
          .positional = "run",
          .positional_help = "a run directory, finished, stopped or running",
          .footer = ""};
}

std::string run_of(const CommandLine& args) {
  FlagReader reader(args);
  const std::string run = reader.positional("expected a run directory; give one, as runs/latest");
  reader.throw_if_problems();
  return run;
}

int report(const CommandLine& args) { return print_result(write_html_report(run_of(args)) + "\n"), 0; }

int summary(const CommandLine& args) { return print_result(run_summary(read_run(run_of(args)))), 0; }

CommandLineSpec band_spec() {
  CommandLineSpec spec = run_spec(
      "Suggests band_low and band_high for methods that control D's density, from a pilot run's balance ratio.");
  spec.flags = {{"--br-mode", Flag::Kind::value, "NAME", join_alternatives(names_of<BalanceMode>()) + " (the run's)"}};
  spec.footer =
      "A pilot: static masks at the densities that the real run begins with, a few windows (--br-window) long.";
  return spec;
}

int calibrate_band(const CommandLine& args) {
  FlagReader reader(args);
  const std::string path = reader.positional("expected the run directory of a pilot; give one, as runs/latest");
  std::optional<BalanceMode> mode;
  if (args.has("br-mode")) mode = named<BalanceMode>(reader.choice("br-mode", names_of<BalanceMode>()));
  reader.throw_if_problems();
  const RunRecord run = read_run(path);
  return print_result(band_advice_text(run, band_advice(run, mode))), 0;
}

CommandLineSpec verify_spec() {
  return {.description = "Checks the files of a data set: that they are there, their sizes, and published checksums.",
          .flags = {{"--dataset", Flag::Kind::value, "NAME", join_alternatives(data_set_names())}},
          .positional = "folder",
          .positional_help = "the folder of the files",
          .footer = "Exit code 4 if anything is damaged, or missing that the default split needs."};
}

int verify(const CommandLine& args) {
  FlagReader reader(args);
  const std::string folder = reader.positional("expected the folder of the data set");
  const std::string name = args.get("dataset", "");
  const std::vector<std::string> names = data_set_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {  // it has no default
    reader.add_problem(fmt::format("--dataset: expected {} but got \"{}\"{}", join_alternatives(names), name,
                                   did_you_mean(name, names)));
  }
  reader.throw_if_problems();
  const char* unit = name == "tiny-imagenet" || name == "folder" ? "pictures" : "MiB";
  const DataVerdict verdict = verify_data(name, folder, reading_bar(unit, false));
  print_result(verdict_text(name, verdict));
  return verdict.good ? 0 : static_cast<int>(ErrorKind::data);
}

int inspect_run(int argc, const char* const* argv) {
  const struct {
    std::string name;
    CommandLineSpec spec;
    int (*run)(const CommandLine&);
  } commands[] = {{"flops", flops_spec(), flops},
                  {"report", run_spec("Writes report.html into a run directory and prints its path."), report},
                  {"summary", run_spec("Prints what a run has done so far."), summary},
                  {"calibrate-band", band_spec(), calibrate_band},
                  {"compare", compare_command_line(), run_compare},
                  {"masks", masks_command_line(), run_masks},
                  {"export", export_command_line(), run_export},
                  {"verify-data", verify_spec(), verify},
                  {"doctor", doctor_command_line(), run_doctor}};
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "-h" || word == "--help") return print_result(kOverview), 0;
  if (word == "--version") return print_result(version_line("inspect_run") + "\n"), 0;
  std::vector<std::string> names;
  for (const auto& command : commands) {
    names.push_back(command.name);
    if (word != command.name) continue;
    const std::string name = "inspect_run " + word;  // the name in --help
    std::vector<const char*> rest = {name.c_str()};
    rest.insert(rest.end(), argv + 2, argv + argc);
    const CommandLine args = parse_command_line(command.spec, static_cast<int>(rest.size()), rest.data());
    return args.wants_help ? (print_result(args.help), 0) : command.run(args);
  }
  fail(ErrorKind::usage, fmt::format("expected a command, {}, but got \"{}\"{}; inspect_run --help says what they do",
                                     join_alternatives(names), word, did_you_mean(word, names)));
}

}  // namespace

int run_inspect_run(int argc, const char* const* argv) {
  return run_program("inspect_run", [&] { return inspect_run(argc, argv); });
}

}  // namespace poise
