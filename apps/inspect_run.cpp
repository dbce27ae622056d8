#include "apps/inspect_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "apps/command_line.h"
#include "apps/flop_table.h"
#include "apps/html_report.h"
#include "apps/option_sources.h"
#include "apps/program.h"
#include "apps/run_summary.h"
#include "apps/suggestion.h"

namespace poise {
namespace {

const char* kOverview = R"(Looks at training runs: what they would cost, what they did.

  inspect_run flops --preset NAME [...]   multiply-adds per layer, iteration and run; no run needed
  inspect_run report RUN_DIR              writes report.html: figures, samples, options, on one page
  inspect_run summary RUN_DIR             the same in a few lines of text

inspect_run COMMAND --help says more; --version prints the version.
)";

const char* kFlopsFooter = R"(Examples:
  inspect_run flops --preset cifar10-sngan32-dense --density-g 0.1 --density-d 0.1
  inspect_run flops --preset tiny --density-g 0.2 --density-d 0.5 --method ddst-relaxed --cell 16x16 --json

Conventions: full counts what the steps do; reference-once what the papers' code counts, published the same with its
double n_critic, for comparison with the papers' tables. Densities hold for the whole run: of a method that changes them
this is the cost at those densities. mac_per_image in JSON is dense: forward multiply-adds of one image.)";

// All problems of a command line together, as Error(usage).
void throw_if(const std::vector<std::string>& problems) {
  if (problems.size() == 1) fail(ErrorKind::usage, problems[0]);
  if (!problems.empty()) {
    fail(ErrorKind::usage, fmt::format("{} problems:\n  {}", problems.size(), fmt::join(problems, "\n  ")));
  }
}

CommandLineSpec flops_spec() {
  using Kind = Flag::Kind;
  return {.description = "Counts the multiply-adds of training.",
          .flags = {{"--preset", Kind::value, "NAME",
                     "the model and its training (" + join_alternatives(preset_names()) +
                         "); without it, the defaults of train_gan"},
                    {"--config", Kind::value, "FILE", "options from a TOML file"},
                    {"--set", Kind::list, "KEY=VALUE", "set one option of train_gan; may be repeated"},
                    {"--density-g", Kind::value, "X", "alive share of G's maskable weights (1)"},
                    {"--density-d", Kind::value, "X", "alive share of D's maskable weights (1)"},
                    {"--density-rule", Kind::value, "RULE", join_alternatives(density_rule_names()) + " (erk)"},
                    {"--cell", Kind::value, "CELL", "1x1, 16x16 (per filter tap) or 16x16-all-taps (1x1)"},
                    {"--method", Kind::value, "NAME", join_alternatives(flop_method_names()) + " (static)"},
                    {"--convention", Kind::value, "NAME", join_alternatives(flop_convention_names()) + " (full)"},
                    {"--json", Kind::on, "", "one JSON object"}},
          .footer = kFlopsFooter};
}

FlopRequest flop_request(const CommandLine& args) {
  OptionSet options;
  for (const std::string& problem : args.problems) options.add_problem(problem);
  if (args.has("preset")) read_options_preset(args.get("preset", ""), options);
  if (args.has("config")) read_options_file(args.get("config", ""), "file " + args.get("config", ""), options);
  read_options_environment(environ, options);
  if (args.has("set")) read_options_words(args.values.at("set"), options);

  FlopRequest request;
  const auto density = [&](const char* name, double& value) {
    if (!args.has(name)) return;
    const std::string text = args.get(name, "");
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    if (parsed.ec == std::errc() && parsed.ptr == end && value > 0 && value <= 1) return;
    options.add_problem(fmt::format("--{}: expected a real number above 0 to 1 but got \"{}\"", name, text));
  };
  const auto word = [&](const char* name, const std::vector<std::string>& known, const auto& assign) {
    if (!args.has(name) || assign(args.get(name, ""))) return;
    options.add_problem(fmt::format("--{}: expected {} but got \"{}\"{}", name, join_alternatives(known),
                                    args.get(name, ""), did_you_mean(args.get(name, ""), known)));
  };
  const auto take = [](auto& target, const auto& found) {
    if (found) target = *found;
    return found.has_value();
  };
  density("density-g", request.density_g);
  density("density-d", request.density_d);
  word("density-rule", density_rule_names(),
       [&](const std::string& text) { return take(request.rule, density_rule_of(text)); });
  word("cell", {"1x1", "16x16", "16x16-all-taps"},
       [&](const std::string& text) { return take(request.cell, cell_of(text)); });
  word("convention", flop_convention_names(),
       [&](const std::string& text) { return take(request.convention, flop_convention_of(text)); });
  word("method", flop_method_names(), [&](const std::string& text) {
    const auto names = flop_method_names();
    request.method = text;
    return std::find(names.begin(), names.end(), text) != names.end();
  });
  options.throw_if_problems();
  request.settings = options.settings();
  request.preset = args.get("preset", "");
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
          .positional_help = "a run directory, finished, stopped or at work",
          .footer = ""};
}

std::string run_of(const CommandLine& args) {
  std::vector<std::string> problems = args.problems;
  if (args.positional.empty()) problems.push_back("expected a run directory; give one, as runs/latest");
  throw_if(problems);
  return args.positional;
}

int report(const CommandLine& args) { return print_result(write_html_report(run_of(args)) + "\n"), 0; }

int summary(const CommandLine& args) { return print_result(run_summary(read_run(run_of(args)))), 0; }

int inspect_run(int argc, const char* const* argv) {
  const struct {
    std::string name;
    CommandLineSpec spec;
    int (*run)(const CommandLine&);
  } commands[] = {{"flops", flops_spec(), flops},
                  {"report", run_spec("Writes report.html into a run directory and prints its path."), report},
                  {"summary", run_spec("Prints what a run has done so far."), summary}};
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "-h" || word == "--help") return print_result(kOverview), 0;
  if (word == "--version") return print_result(version_line("inspect_run") + "\n"), 0;
  std::vector<std::string> names;
  for (const auto& command : commands) {
    names.push_back(command.name);
    if (word != command.name) continue;
    const std::string name = "inspect_run " + word;  // how --help calls it
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
